"""Every table with a tenant, asked directly by the role that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from bff.database import Database, connect
from tests.isolation.tenants import MARKS, QUIET, fingerprint, settle, tenant_tables
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases

A, B = MARKS
# Of these the tenant's setting alone shows nothing: see the policies.
NOT_BY_TENANT = {"auth_session"}
# The serving role has no grant at all on these.
WORKERS = {"odoo_warm": "SELECT 1 FROM odoo_warm"}


@pytest.fixture
async def tables(databases: Databases) -> AsyncGenerator[list[str]]:
    async with World(databases, settings=QUIET).running() as world:
        await settle(world)
        async with databases.superuser() as superuser:
            every = await tenant_tables(superuser)
        assert set(every) > set(WORKERS)
        yield [table for table in every if table not in WORKERS]


@pytest.fixture
async def database(databases: Databases) -> AsyncGenerator[Database]:
    async with connect(databases.app, size=1) as opened:
        yield opened


async def test_without_a_tenant_no_table_shows_a_row(
    tables: list[str], database: Database
) -> None:
    async with database.shared_transaction() as connection:
        for table in tables:
            assert await connection.fetch(f"SELECT 1 FROM {table}") == [], table  # noqa: S608 - from the catalogue


async def test_what_is_the_worker_s_alone_is_not_even_asked(
    tables: list[str], database: Database
) -> None:
    assert tables
    for look in WORKERS.values():
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.tenant_transaction(A) as connection:
                await connection.fetch(look)


async def test_every_table_shows_a_tenant_its_own_rows_only(
    tables: list[str], database: Database
) -> None:
    for tenant_id in (A, B):
        async with database.tenant_transaction(tenant_id) as connection:
            for table in tables:
                rows = await connection.fetch(f"SELECT DISTINCT tenant_id FROM {table}")  # noqa: S608 - from the catalogue
                seen = {row["tenant_id"] for row in rows}
                expected = set() if table in NOT_BY_TENANT else {tenant_id}
                assert seen == expected, table


async def test_no_row_of_another_s_can_be_changed_removed_or_taken(
    tables: list[str], database: Database, databases: Databases
) -> None:
    acts = (
        "UPDATE {} SET tenant_id = {a} WHERE tenant_id = {b}",
        "UPDATE {} SET tenant_id = tenant_id WHERE tenant_id = {b}",
        "DELETE FROM {} WHERE tenant_id = {b}",
        "DELETE FROM {} WHERE tenant_id <> {a}",
    )
    async with databases.superuser() as superuser:
        before = await fingerprint(superuser, B)
        for table in tables:
            for act in acts:
                try:
                    async with database.tenant_transaction(A) as connection:
                        done = await connection.execute(act.format(table, a=A, b=B))
                except asyncpg.InsufficientPrivilegeError:
                    continue  # there is no such grant
                assert done.endswith(" 0"), f"{act}: {table}"
        assert await fingerprint(superuser, B) == before


async def test_no_row_can_be_given_to_another(
    tables: list[str], database: Database, databases: Databases
) -> None:
    async with databases.superuser() as superuser:
        before = await fingerprint(superuser, B)
        for table in tables:
            if table in NOT_BY_TENANT:
                continue  # none is seen, so none can be given
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with database.tenant_transaction(A) as connection:
                    await connection.execute(f"UPDATE {table} SET tenant_id = {B}")  # noqa: S608 - from the catalogue
        assert await fingerprint(superuser, B) == before
