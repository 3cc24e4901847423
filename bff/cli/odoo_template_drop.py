"""Drop a template: first it is used no more, then its copies go, then the row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from bff.cli.common import fail
from bff.cli.working import odoo_postgres
from bff.sites.warm import WarmRows
from odoo.databases import State

if TYPE_CHECKING:
    from bff.sites.workshop import Workshop

UNUSABLE = "UPDATE odoo_templates SET usable = false WHERE name = $1 RETURNING true"
MAKING = "SELECT tenant_id FROM odoo_connections WHERE template = $1 AND NOT made"


async def drop(workshop: Workshop, name: str, *, force: bool) -> None:
    """Do it, and say what is done; ends the command where that must not be.

    Raises:
        OdooError: when it must be run again.
        DatabaseUnavailable: likewise.
    """
    if not force:
        series = await workshop.server.databases.server.version()
        if name == workshop.server.template_for(series):
            fail(f"{name} is in use: build another first, or say --force")
    async with workshop.database.shared_transaction() as connection:
        making = await connection.fetch(MAKING, name)
        if making and not force:
            tenants = ", ".join(str(row["tenant_id"]) for row in making)
            fail(f"of {name} databases are being made, of tenants {tenants}: wait")
        if not await connection.fetchval(UNUSABLE, name):
            fail(f"there is no template {name}")
    await _drop_copies(workshop, name)
    await _drop_database(workshop, name, force=force)
    async with workshop.database.shared_transaction() as connection:
        await connection.execute("DELETE FROM odoo_templates WHERE name = $1", name)
    typer.echo(f"the template {name} is dropped")


async def _drop_copies(workshop: Workshop, template: str) -> None:
    rows = WarmRows(workshop.database)
    free, in_hand = await rows.retire(template)
    for name in free:
        await workshop.server.databases.drop(name)
        await rows.forget(name)
        typer.echo(f"the copy {name} is dropped")
    if in_hand:
        fail(f"the copy {in_hand[0]} is in a worker's hands: run this again soon")


async def _drop_database(workshop: Workshop, name: str, *, force: bool) -> None:
    """Open the template, should it be closed, and drop it."""
    databases = workshop.server.databases
    if workshop.server.settings.postgres_url.get_secret_value():
        async with odoo_postgres(workshop.server) as server:
            query = "SELECT quote_ident(datname) FROM pg_database WHERE datname = $1"
            quoted = await server.fetchval(query, name)
            if quoted is not None:
                flags = "IS_TEMPLATE false ALLOW_CONNECTIONS true"
                await server.execute(f"ALTER DATABASE {quoted} {flags}")
    elif not force and await databases.state(name) is State.MISSING:
        fail(
            f"Odoo cannot see {name}: it is gone, or closed. Set odoo.postgres_url so "
            "that it can be opened; or drop it by SQL and say --force"
        )
    await databases.drop(name)
