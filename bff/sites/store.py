"""Keep whose Odoo database is where, and which templates there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from bff.audit import record
from bff.sites.safe import Replaced, name_of_template, unseal
from odoo.safe import Template

if TYPE_CHECKING:
    from datetime import datetime

    from asyncpg import Record

    from bff.audit import Entry
    from bff.database import Database
    from bff.sessions.sealing import KeyRing
    from bff.sites.holding import Hold

# What the serving role may read; never the sealed column.
READ = """
SELECT tenant_id, server_url, series, db_name, base_url, template, sso_client_id,
  key_expires_at, made, active, checked_at, problem
FROM odoo_connections WHERE tenant_id = $1
"""


@dataclass(frozen=True, slots=True)
class Connection:
    """A tenant's database, by everything that is no secret.

    *made*: it is there and ours. *problem* is what the last check found, None if it
    was well or there was none (*checked_at* tells which).
    """

    tenant_id: int
    server_url: str
    series: str
    db_name: str
    base_url: str
    template: str
    sso_client_id: str
    key_expires_at: datetime | None
    made: bool
    active: bool
    checked_at: datetime | None
    problem: str | None


class Sites:
    """Read and write the rows; the serving role may read only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: int) -> Connection | None:
        """Return a tenant's connection, None before there is any."""
        async with self._database.tenant_transaction(tenant_id) as connection:
            row = await connection.fetchrow(READ, tenant_id)
        return _read(row) if row else None

    async def ensure(
        self, tenant_id: int, *, server_url: str, db_name: str, base_url: str
    ) -> Connection:
        """Return a tenant's connection, made now if there was none.

        What is there already stays: a database does not move with a setting.
        """
        async with self._database.tenant_transaction(tenant_id) as connection:
            await connection.execute(
                "INSERT INTO odoo_connections "
                "(tenant_id, server_url, db_name, base_url) "
                "VALUES ($1, $2, $3, $4) ON CONFLICT (tenant_id) DO NOTHING",
                tenant_id,
                server_url,
                db_name,
                base_url,
            )
            (row,) = await connection.fetch(READ, tenant_id)
        return _read(row)

    async def place(
        self, hold: Hold, *, server_url: str, db_name: str, base_url: str
    ) -> Connection:
        """Say where a database will be that is not made yet, and return the row.

        Raises:
            Replaced: when another worker took over.
            asyncpg.UniqueViolationError: when the name is another tenant's.
        """
        async with self._database.tenant_transaction(hold.tenant_id) as connection:
            done = await connection.fetchval(
                "UPDATE odoo_connections "
                "SET server_url = $3, db_name = $4, base_url = $5 "
                "WHERE tenant_id = $1 AND fence = $2 AND NOT made RETURNING true",
                hold.tenant_id,
                hold.fence,
                server_url,
                db_name,
                base_url,
            )
            (row,) = await connection.fetch(READ, hold.tenant_id)
        if not done:
            raise Replaced
        return _read(row)

    async def note(
        self,
        hold: Hold,
        *,
        series: str | None = None,
        base_url: str | None = None,
        template: str | None = None,
        sso_client_id: str | None = None,
        key_expires_at: datetime | None = None,
        made: bool | None = None,
        active: bool | None = None,
        entry: Entry | None = None,
    ) -> bool:
        """Write what is given, and *entry* with it; False if another took over."""
        async with self._database.tenant_transaction(hold.tenant_id) as connection:
            done = bool(
                await connection.fetchval(
                    "UPDATE odoo_connections SET series = coalesce($3, series), "
                    "template = coalesce($4, template), "
                    "sso_client_id = coalesce($5, sso_client_id), "
                    "key_expires_at = coalesce($6, key_expires_at), "
                    "made = coalesce($7, made), active = coalesce($8, active), "
                    "base_url = coalesce($9, base_url) "
                    "WHERE tenant_id = $1 AND fence = $2 RETURNING true",
                    hold.tenant_id,
                    hold.fence,
                    series,
                    template,
                    sso_client_id,
                    key_expires_at,
                    made,
                    active,
                    base_url,
                )
            )
            if done and entry is not None:
                await record(connection, entry)
        return done

    async def note_check(self, hold: Hold, problem: str | None) -> None:
        """Write what a look at the database found; None is well."""
        async with self._database.tenant_transaction(hold.tenant_id) as connection:
            await connection.execute(
                "UPDATE odoo_connections SET checked_at = now(), problem = $3 "
                "WHERE tenant_id = $1 AND fence = $2",
                hold.tenant_id,
                hold.fence,
                problem,
            )


class Templates:
    """Read the templates, with what opens their copies; for the worker's role."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring

    async def get(self, name: str, series: str = "") -> Template | None:
        """Return a finished template, None if there is none by this name.

        With *series* none of another version of Odoo either.

        Raises:
            Unopenable: when the key ring has lost the key.
            DatabaseUnavailable: when it cannot be read.
        """
        async with self._database.shared_transaction() as connection:
            sealed = await connection.fetchval(
                "SELECT sealed FROM odoo_templates WHERE name = $1 AND usable "
                "AND ($2 = '' OR series = $2)",
                name,
                series,
            )
        credentials = unseal(self._ring, name_of_template(name), sealed or b"")
        return Template(name=name, credentials=credentials) if credentials else None

    async def finish(self, name: str) -> None:
        """Let copies be made of it."""
        async with self._database.shared_transaction() as connection:
            await connection.execute(
                "UPDATE odoo_templates SET usable = true WHERE name = $1", name
            )


def _read(row: Record) -> Connection:
    return Connection(**dict(row))


SITES = web.AppKey("sites", Sites)
