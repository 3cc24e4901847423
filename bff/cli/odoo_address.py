"""Move a tenant's Odoo to the address that the settings give it by now.

The row goes last, and each step may be done twice: broken off, it is run again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from bff.audit import SYSTEM
from bff.background import make_sign_on, make_workshop
from bff.cli.common import fail
from bff.cli.working import as_worker
from bff.outbound import client_session
from bff.sites.holding import PATIENCE, holding
from bff.sites.safe import Replaced
from odoo.client import HASH_SECONDS
from odoo.entering import entered
from odoo.records import BASE_URL, set_parameter

if TYPE_CHECKING:
    from bff.config import Config
    from bff.sites.store import Connection
    from bff.sites.workshop import Workshop


async def move(settings: Config, tenant_id: int) -> None:
    """Do it, and say what is done; ends the command where there is nothing to move.

    Raises:
        NotOurs: when nothing of ours opens the database.
        StillHeld, Replaced: when a worker has it in hand.
        OdooError, ProviderUnavailable, CallRefused: when it must be run again.
    """
    async with as_worker(settings, size=4) as db, client_session() as http:
        workshop = make_workshop(settings, db, http)
        connection = await _chosen(workshop, tenant_id)
        old = connection.base_url
        new = workshop.server.address_for(tenant_id, connection.db_name)
        connection = replace(connection, base_url=new)
        async with holding(db, tenant_id, patience=PATIENCE) as hold:
            await make_sign_on(settings, http).ensured(connection)
            connection = await workshop.upgraded(connection, hold)
            site = workshop.site(connection, hold).patient(HASH_SECONDS)
            models = (await entered(site, await site.kept(), None)).models
            await set_parameter(models, BASE_URL, new)
            entry = SYSTEM.did("odoo.moved", tenant_id, old=old, new=new)
            changed = entry if old != new else None
            if not await workshop.sites.note(hold, base_url=new, entry=changed):
                raise Replaced("a worker has taken the tenant over")
    typer.echo(f"the Odoo of tenant {tenant_id} is at {new}")
    if old != new and settings.odoo.sso_client_id:
        typer.echo(f"take {old} out of the redirect URIs of the client for all tenants")


async def _chosen(workshop: Workshop, tenant_id: int) -> Connection:
    found = await workshop.sites.get(tenant_id)
    if found is None or not found.made:
        fail(f"tenant {tenant_id} has no Odoo yet: its address follows the settings")
    here = workshop.server.settings.server_url
    if found.server_url != here:
        fail(f"{found.db_name} is on {found.server_url}; odoo.server_url is {here}")
    return found
