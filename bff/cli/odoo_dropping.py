"""Drop a tenant's Odoo: the database, the client it signed people in with, the row.

Each step looks first, and the row goes last: killed anywhere, it is run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from bff.audit import SYSTEM, record
from bff.background import make_sign_on, make_workshop
from bff.cli.common import fail
from bff.cli.odoo_files import new_file
from bff.cli.working import as_worker, confirmed, odoo_postgres
from bff.identity.clients import ClientNotOurs
from bff.onboarding.undoing import undo
from bff.outbound import client_session
from bff.sites import operating
from bff.sites.holding import holding
from bff.sites.postgres import exists
from bff.sites.safe import Replaced
from bff.tenancy.operating import NoSuchTenant, overview
from odoo import errors
from odoo.client import HASH_SECONDS
from odoo.databases import State
from odoo.dumping import ToFile, dump
from odoo.entering import entered
from odoo.records import MARKER, parameter
from odoo.safe import ADMIN_LOGIN

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp
    from asyncpg.pool import PoolConnectionProxy

    from bff.config import Config
    from bff.sites.holding import Hold
    from bff.sites.store import Connection
    from bff.sites.workshop import Workshop
    from odoo.entering import Site
    from odoo.models import Models
    from odoo.safe import Credentials

# Seconds to wait for a worker to let go; one that was killed does after ten.
PATIENCE = 15.0
# What an onboarding is when nobody works on it.
AT_REST = ("none", "ready", "error")


@dataclass(frozen=True, kw_only=True)
class Order:
    """Whose Odoo is to go; *dump* is None for no dump, *yes* what was typed already."""

    tenant_id: int
    dump: Path | None
    yes: str | None


async def drop(settings: Config, order: Order) -> None:
    """Do it, and say what is done.

    Raises:
        NoSuchTenant: when there is none by this number.
        NotOurs: when the database is not this tenant's; nothing was done.
        StillHeld, Replaced: when a worker has it in hand.
        OdooError, ProviderUnavailable, CallRefused: when it must be run again.
    """
    async with as_worker(settings, size=4) as db, client_session() as http:
        workshop = make_workshop(settings, db, http)
        connection = await _chosen(workshop, order)
        if connection is None:
            typer.echo(f"tenant {order.tenant_id} has no Odoo: nothing to drop")
            return
        what = f"Odoo of tenant {order.tenant_id}, with all that is in it, is dropped."
        confirmed(connection.db_name, order.yes, what=what)
        async with holding(db, order.tenant_id, patience=PATIENCE) as hold:
            # Again: somebody may have had it set up while the name was being typed.
            async with db.tenant_transaction(order.tenant_id) as one:
                await _at_rest(one, order.tenant_id)
            size = await _drop_database(workshop, connection, hold, order)
            client = await _drop_client(settings, connection, http)
            entry = SYSTEM.did(
                "odoo.dropped",
                order.tenant_id,
                database=connection.db_name,
                dumped=size,
                client=client,
            )
            async with db.tenant_transaction(order.tenant_id) as one:
                if not await operating.forget(one, hold):
                    raise Replaced("a worker has taken the tenant over")
                await undo(one, order.tenant_id, datetime.now(UTC))
                await record(one, entry)
    typer.echo(f"tenant {order.tenant_id} has no Odoo any more")


async def _chosen(workshop: Workshop, order: Order) -> Connection | None:
    """Return what is to be dropped, or end the command where that must not be now."""
    tenant_id = order.tenant_id
    async with workshop.database.tenant_transaction(tenant_id) as connection:
        await _at_rest(connection, tenant_id)
    site = await workshop.sites.get(tenant_id)
    here = workshop.server.settings.server_url
    if site is not None and site.server_url != here:
        fail(f"{site.db_name} is on {site.server_url}; odoo.server_url is {here}")
    return site


async def _at_rest(connection: PoolConnectionProxy, tenant_id: int) -> None:
    """End the command while the tenant is being set up.

    Raises:
        NoSuchTenant: when there is none by this number.
    """
    found = await overview(connection, tenant_id)
    if not found:
        raise NoSuchTenant(tenant_id)
    if found[0].onboarding not in AT_REST:
        fail(
            f"tenant {tenant_id} is being set up ({found[0].onboarding}): wait until "
            "that has ended, well or not; a worker must run for it"
        )


async def _drop_database(
    workshop: Workshop, connection: Connection, hold: Hold, order: Order
) -> int:
    """Dump and drop the database if it is there; return the dump's size in bytes."""
    series = connection.series or await workshop.server.databases.server.version()
    safe = workshop.site(connection, hold).safe
    site = workshop.server.site(connection.db_name, series, safe).patient(HASH_SECONDS)
    if not await _is_there(workshop, site, connection):
        typer.echo(f"the database {site.name} is gone already")
        return 0
    size = 0
    if order.dump is not None:
        size = await _dumped(site, order.dump)
        typer.echo(f"dumped to {order.dump}: {size:,} bytes")
    # What is wrong with the manager is found before anybody is told that Odoo is gone.
    await site.databases.preflight()
    async with workshop.database.tenant_transaction(order.tenant_id) as one:
        await _at_rest(one, order.tenant_id)
        # Before it is: killed in between, none is called ready whose database is gone.
        await undo(one, order.tenant_id, datetime.now(UTC))
    await site.safe.still_ours()
    await site.databases.drop(site.name)
    typer.echo(f"the database {site.name} is dropped")
    return size


async def _is_there(workshop: Workshop, site: Site, connection: Connection) -> bool:
    """Tell whether there is something to drop.

    Raises:
        NotOurs: when it is not this tenant's, or nobody can tell.
    """
    state = await site.databases.state(site.name)
    if state is State.MISSING:
        if await _is_closed(workshop, site.name):
            raise errors.NotOurs(f"{site.name} takes no connections: open it by SQL")
        return False
    # Not before: of one that was dropped by hand nothing need be opened.
    kept = await site.safe.kept()
    if kept is None or not kept.begun:
        raise errors.NotOurs(f"{site.name} is there, and we have never asked for it")
    if state is State.BROKEN and not connection.made:
        return True  # what is left of a creation of ours that broke off
    marker = await parameter(await _models(workshop, site, connection, kept), MARKER)
    # A copy that broke off has none yet.
    is_new = marker is None and not connection.made
    if marker != str(connection.tenant_id) and not is_new:
        raise errors.NotOurs(f"{site.name} is marked as {marker!r}, another tenant's")
    return True


async def _models(
    workshop: Workshop, site: Site, connection: Connection, kept: Credentials
) -> Models:
    if not connection.made and not connection.template:
        # Half made from nothing: the administrator's password is all there is.
        uid = await site.databases.authenticate(
            site.name, ADMIN_LOGIN, kept.admin_password
        )
        if uid is not None:
            return site.by_password(uid, kept.admin_password)
    template = await workshop.templates.get(connection.template)
    return (await entered(site, kept, template)).models


async def _is_closed(workshop: Workshop, name: str) -> bool:
    """Ask PostgreSQL, where we may, about what Odoo takes for missing."""
    if not workshop.server.settings.postgres_url.get_secret_value():
        return False
    async with odoo_postgres(workshop.server) as server:
        return await exists(server, name)


async def _dumped(site: Site, file: Path) -> int:
    try:
        with new_file(file) as stream:
            return await dump(site.databases, site.name, ToFile(stream))
    except FileExistsError:
        fail(f"{file} is there already: give another name; nothing was dropped")
    except OSError as error:
        fail(f"{file} cannot be written ({error.strerror}); nothing was dropped")


async def _drop_client(
    settings: Config, connection: Connection, http: aiohttp.ClientSession
) -> str:
    """Delete the tenant's own client at the identity provider; return which it was."""
    if shared := settings.odoo.sso_client_id:
        typer.echo(
            f"the client {shared!r} serves all tenants: take "
            f"{connection.base_url} out of its redirect URIs"
        )
        return ""
    sign_on = make_sign_on(settings, http)
    if sign_on.clients is None:
        return ""
    client = connection.sso_client_id or sign_on.client_id(connection)
    try:
        deleted = await sign_on.clients.delete(client)
    except ClientNotOurs as error:
        typer.echo(f"{error}: it stays")
        return ""
    if deleted:
        typer.echo(f"the client {client!r} is deleted at the identity provider")
    return client
