"""Open a tenant's database, for whoever holds the tenant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bff.errors_odoo import OdooMissing
from bff.sites.failures import Failure
from bff.sites.pool import Pooled
from bff.sites.safe import Replaced, TenantSafe
from bff.sites.store import Sites, Templates
from bff.sites.warm import WarmRows

if TYPE_CHECKING:
    from bff.database import Database
    from bff.sessions.sealing import KeyRing
    from bff.sites.holding import Hold
    from bff.sites.server import OdooServer
    from bff.sites.store import Connection
    from odoo.cloning import Way
    from odoo.entering import Site
    from odoo.models import Models
    from odoo.safe import Safe

MISSING = OdooMissing.detail
MOVED = (
    "Your Odoo is on another server than the one that is set up now. "
    "Ask the people who run this service."
)


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """All that working on tenants' databases takes; *database* is the worker's."""

    database: Database
    ring: KeyRing
    server: OdooServer

    @property
    def sites(self) -> Sites:
        """Return the rows."""
        return Sites(self.database)

    @property
    def templates(self) -> Templates:
        """Return the templates."""
        return Templates(self.database, self.ring)

    def way(self, series: str, tenant_id: int, safe: Safe) -> Way:
        """Return how a tenant's database is copied: by renaming one that is ready."""
        return Pooled(
            rows=WarmRows(self.database),
            databases=self.server.databases,
            tenant_id=tenant_id,
            otherwise=self.server.way(series),
            ring=self.ring,
            safe=safe,
        )

    async def ensure(self, tenant_id: int) -> Connection:
        """Return a tenant's connection, made as the settings say if there was none.

        Raises:
            BadName: when the setting makes no good name of this number.
            DatabaseUnavailable: when the database goes away.
        """
        return await self.sites.ensure(
            tenant_id,
            server_url=self.server.settings.server_url,
            db_name=self.server.name_for(tenant_id),
            base_url=self.server.address_for(tenant_id),
        )

    async def made(self, hold: Hold) -> Connection:
        """Return the row of a database that is there, on the server that is set up.

        Raises:
            Failure: when there is none, or it is elsewhere: what opens it is not shown
                to a stranger.
            DatabaseUnavailable: when the database goes away.
        """
        found = await self.sites.get(hold.tenant_id)
        if found is None or not found.made:
            raise Failure("odoo_missing", MISSING)
        if found.server_url != self.server.settings.server_url:
            raise Failure("odoo_moved", MOVED)
        return found

    async def upgraded(self, connection: Connection, hold: Hold) -> Connection:
        """Return the row with the series that Odoo has by now, and note another one.

        Raises:
            Replaced: when another worker took over.
            OdooError: when Odoo is away.
            DatabaseUnavailable: when the database goes away.
        """
        series = await self.server.databases.server.version()
        if series == connection.series:
            return connection
        if not await self.sites.note(hold, series=series):
            raise Replaced
        return replace(connection, series=series)

    def site(self, connection: Connection, hold: Hold) -> Site:
        """Return the tenant's database with its safe."""
        safe = TenantSafe(self.database, self.ring, hold)
        return self.server.site(connection.db_name, connection.series, safe)

    async def models(self, site: Site) -> Models:
        """Return the models of a database by our key; nothing is asked of Odoo."""
        kept = await site.kept()
        return site.by_key(kept.user, kept.key)
