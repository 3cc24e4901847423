"""Drop a template: first it is used no more, then its copies go, then the row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from bff.cli.common import fail
from bff.cli.working import odoo_postgres
from bff.sessions.sealing import Unopenable
from bff.sites import operating
from bff.sites.postgres import close, reopen
from bff.sites.safe import TemplateSafe
from bff.sites.warm import WarmRows
from odoo import errors
from odoo.databases import State
from odoo.entering import entered
from odoo.safe import ADMIN_LOGIN, Credentials

if TYPE_CHECKING:
    from bff.sites.operating import TemplateRow
    from bff.sites.workshop import Workshop
    from odoo.entering import Site


async def drop(workshop: Workshop, name: str, *, force: bool) -> None:
    """Do it, and say what is done; ends the command where that must not be.

    Raises:
        NotOurs: when what is called so does not open by what we keep.
        Unopenable: when the key ring has lost the key of one that was never finished.
        OdooError: when it must be run again.
        DatabaseUnavailable: likewise.
    """
    if not force:
        series = await workshop.server.databases.server.version()
        if name == workshop.server.template_for(series):
            fail(f"{name} is in use: build another first, or say --force")
    async with workshop.database.shared_transaction() as connection:
        making = await operating.being_made(connection, name)
        # Not by force either: only the template's row tells what must not open them.
        if making:
            tenants = ", ".join(map(str, making))
            fail(
                f"of {name} databases are being made, of tenants {tenants}: wait, or "
                "drop what they have so far (bff odoo drop)"
            )
        row = (await operating.templates(connection)).get(name)
        if row is None:
            fail(f"there is no template {name}")
    site, kept = await _kept(workshop, row, force=force)
    async with workshop.database.shared_transaction() as connection:
        await operating.retire_template(connection, name)
    await _drop_copies(workshop, name)
    # Else nobody asked Odoo for it: what is called so is somebody else's.
    if kept is None or kept.begun:
        await _drop_database(workshop, site, kept, force=force)
    async with workshop.database.shared_transaction() as connection:
        await operating.forget_template(connection, name)
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


async def _kept(
    workshop: Workshop, row: TemplateRow, *, force: bool
) -> tuple[Site, Credentials | None]:
    """Return the template's database, and what is kept of it.

    None where the key ring has lost the key of one that was finished, thus ours, or of
    one that is gone.

    Raises:
        Unopenable: when the key is lost and nobody can tell whose it is.
    """
    safe = TemplateSafe(workshop.database, workshop.ring, row.name, row.series)
    site = workshop.server.site(row.name, row.series, safe)
    try:
        return site, await safe.kept() or Credentials()
    except Unopenable:
        is_ours = row.usable
        if not is_ours and force:
            is_ours = await site.databases.state(site.name) is State.MISSING
        if not is_ours:
            raise
        return site, None


async def _drop_database(
    workshop: Workshop, site: Site, kept: Credentials | None, *, force: bool
) -> None:
    """Open the template, should it be closed, and drop it if it is ours."""
    name, databases = site.name, site.databases
    was_closed = False
    if workshop.server.settings.postgres_url.get_secret_value():
        async with odoo_postgres(workshop.server) as server:
            was_closed = await reopen(server, name)
    elif not force and await databases.state(name) is State.MISSING:
        fail(
            f"Odoo cannot see {name}: it is gone, or closed. Set odoo.postgres_url so "
            "that it can be opened; or drop it by SQL and say --force"
        )
    try:
        if kept is not None:
            await _check_ours(site, kept)
    except errors.NotOurs:
        if was_closed:
            async with odoo_postgres(workshop.server) as server:
                await close(server, name)
        raise
    await databases.drop(name)


async def _check_ours(site: Site, kept: Credentials) -> None:
    """Return if what we keep opens it, or there is nothing to open.

    Of one that is half made, only the administrator's password opens it.

    Raises:
        NotOurs: when nothing does.
        OdooError: when Odoo is away, or cannot load it.
    """
    if await site.databases.state(site.name) is State.MISSING:
        return
    signs_in = site.databases.authenticate
    if await signs_in(site.name, ADMIN_LOGIN, kept.admin_password) is None:
        await entered(site, kept, None)
