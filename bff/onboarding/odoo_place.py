"""Take a tenant's database in hand for a phase, where its row says it is."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict, Unpack

import asyncpg

from bff.onboarding.worker import PhaseFailed, Suspended
from bff.sessions.standing import is_active
from bff.sites.holding import holding
from bff.sites.safe import Replaced
from bff.sites.workshop import MOVED
from odoo.client import HASH_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from bff.sites.holding import Hold
    from bff.sites.store import Connection, Sites
    from bff.sites.workshop import Workshop
    from odoo.entering import Site

NAME_TAKEN = (
    "Your database would get the name of another workspace's. "
    "Ask the people who run this service."
)


class Noted(TypedDict, total=False):
    """Columns of the row that phases write."""

    series: str
    template: str
    sso_client_id: str
    key_expires_at: datetime
    made: bool


@dataclass(frozen=True, kw_only=True)
class Place:
    """A tenant's database, in our hands."""

    connection: Connection
    hold: Hold
    site: Site
    sites: Sites

    async def note(self, **values: Unpack[Noted]) -> None:
        """Write to the row; see `Sites.note`.

        Raises:
            Replaced: when somebody else works on the database by now.
        """
        if not await self.sites.note(self.hold, **values):
            raise Replaced


async def ensure_row(workshop: Workshop, tenant_id: int) -> Connection:
    """Return the tenant's row, made now if there was none.

    Raises:
        PhaseFailed: when its database would have another tenant's name.
    """
    try:
        return await workshop.ensure(tenant_id)
    except asyncpg.UniqueViolationError as error:
        raise PhaseFailed(NAME_TAKEN, "odoo_name_taken") from error


@asynccontextmanager
async def opened(workshop: Workshop, tenant_id: int) -> AsyncGenerator[Place]:
    """Hold the tenant's database for as long as the context is open.

    The series is asked for each time: Odoo may have been upgraded in between.

    Raises:
        PhaseFailed: when it is not where it could be reached.
        Suspended: when nobody may be let in.
        StillHeld: when somebody else has it in hand for too long.
        OdooError: when Odoo is away.
    """
    await ensure_row(workshop, tenant_id)
    series = await workshop.server.databases.server.version()
    async with holding(workshop.database, tenant_id) as hold:
        # Whoever suspends the tenant from now on finds it held, and waits for us.
        if not await is_active(workshop.database, tenant_id):
            raise Suspended
        connection = await _placed(workshop, tenant_id, hold)
        changed = connection.series != series
        connection = replace(connection, series=series)
        place = Place(
            connection=connection,
            hold=hold,
            # Odoo hashes passwords in some calls, and other tenants' beside ours.
            site=workshop.site(connection, hold).patient(HASH_SECONDS),
            sites=workshop.sites,
        )
        if changed:
            await place.note(series=series)
        yield place


async def _placed(workshop: Workshop, tenant_id: int, hold: Hold) -> Connection:
    """Return the row, which follows the settings until Odoo was asked for it.

    From then on a database does not move with a setting; its address does until it is
    there, for Odoo may find it by that only.
    """
    connection, server = await ensure_row(workshop, tenant_id), workshop.server
    url, name = server.settings.server_url, server.name_for(tenant_id)
    kept = await workshop.site(connection, hold).safe.kept()
    if connection.made or (kept and kept.begun):
        if connection.server_url != url:
            raise PhaseFailed(MOVED, "odoo_moved")
        name = connection.db_name
    base = server.address_for(tenant_id, name)
    now = (connection.server_url, connection.db_name, connection.base_url)
    if connection.made or now == (url, name, base):
        return connection
    try:
        return await workshop.sites.place(
            hold, server_url=url, db_name=name, base_url=base
        )
    except asyncpg.UniqueViolationError as error:
        raise PhaseFailed(NAME_TAKEN, "odoo_name_taken") from error
