"""Tenants with and without Odoo, seen by the worker, by routes, and from above."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bff.sites.safe import TenantSafe, name_of_tenant, seal
from bff.sites.tasks import ask
from tests.bff.sessions.tickets import ring

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncpg import Record

    from bff.database import Database
    from bff.sites.holding import Hold
    from bff.sites.tasks import Asked, Kind
    from odoo.safe import Credentials
    from tests.databases import Databases

TENANT = 7
SERVER = "https://odoo.test"
RING = ring(1)


@dataclass(frozen=True)
class Scene:
    """The roles' databases, and a look from above."""

    databases: Databases
    worker: Database
    app: Database

    async def execute(self, statement: str, *values: object) -> None:
        async with self.databases.superuser() as superuser:
            await superuser.execute(statement, *values)

    async def value(self, query: str, *values: object) -> Any:
        async with self.databases.superuser() as superuser:
            return await superuser.fetchval(query, *values)

    async def rows(self, query: str, *values: object) -> list[Record]:
        async with self.databases.superuser() as superuser:
            return await superuser.fetch(query, *values)

    async def tenant(self, tenant_id: int = TENANT, *, has_odoo: bool = True) -> int:
        """Found a tenant."""
        await self.execute(
            "INSERT INTO tenants (tenant_id, name) VALUES ($1, 'a tenant')", tenant_id
        )
        if has_odoo:
            await self.execute(
                "INSERT INTO odoo_connections (tenant_id, server_url, db_name, "
                "base_url, series) VALUES ($1, $2, $3, $2, '19.0')",
                tenant_id,
                SERVER,
                f"odoo_t{tenant_id}",
            )
        return tenant_id

    async def row(self, tenant_id: int = TENANT) -> Record:
        (found,) = await self.rows(
            "SELECT * FROM odoo_connections WHERE tenant_id = $1", tenant_id
        )
        return found

    async def keep(self, credentials: Credentials, tenant_id: int = TENANT) -> None:
        await self.execute(
            "UPDATE odoo_connections SET sealed = $2 WHERE tenant_id = $1",
            tenant_id,
            seal(RING, name_of_tenant(tenant_id), credentials),
        )

    def safe(self, hold: Hold) -> TenantSafe:
        return TenantSafe(self.worker, RING, hold)

    async def ask(self, kind: Kind, tenant_id: int = TENANT, **how: Any) -> Asked:
        """Ask as a route does."""
        async with self.app.tenant_transaction(tenant_id) as connection:
            return await ask(connection, tenant_id, kind, **how)

    async def task(self, kind: Kind, tenant_id: int = TENANT) -> Record:
        (found,) = await self.rows(
            "SELECT * FROM odoo_tasks WHERE tenant_id = $1 AND kind = $2",
            tenant_id,
            str(kind),
        )
        return found

    async def jobs(self) -> int:
        return int(await self.value("SELECT count(*) FROM pgqueuer"))

    @asynccontextmanager
    async def away(self, role: str = "bff_worker") -> AsyncGenerator[None]:
        """Let PostgreSQL be away for a role: connections are cut, none is made."""
        cut = (
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE usename = $1 AND datname = current_database()"
        )
        async with self.databases.superuser() as superuser:
            await superuser.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
            try:
                await superuser.execute(cut.replace("$1", f"'{role}'"))
                yield
            finally:
                await superuser.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
