"""Two tenants in one database never meet, whatever a statement asks for."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest

from bff.database import Database, connect, set_tenant

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases

A, B = 1, 2
ISS = "https://sso.test"
BY_TENANT = ("tenants", "tenant_users", "onboarding", "lead_scores")


@pytest.fixture
async def database(databases: Databases) -> AsyncGenerator[Database]:
    async with databases.superuser() as superuser:
        await superuser.execute("INSERT INTO companies (name) VALUES ('c1'), ('c2')")
        for tenant, person in ((A, "ann"), (B, "ben")):
            await superuser.execute(
                "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2)",
                tenant,
                person,
            )
            await superuser.execute(
                "INSERT INTO tenant_users (tenant_id, iss, sub) VALUES ($1, $2, $3)",
                tenant,
                ISS,
                person,
            )
            await superuser.execute(
                "INSERT INTO onboarding (tenant_id, phases, founder) "
                "VALUES ($1, '[]', $2)",
                tenant,
                person,
            )
            await superuser.execute(
                "INSERT INTO lead_scores (tenant_id, company_id, score) "
                "SELECT $1::bigint, company_id, 0.5 FROM companies",
                tenant,
            )
            await superuser.execute(
                "INSERT INTO auth_session (sid, iss, sub, tenant_id, provider_sid, "
                "expires_at) VALUES ($1, $2, $3, $4, $3, $5)",
                uuid4(),
                ISS,
                person,
                tenant,
                datetime.now(UTC) + timedelta(days=1),
            )
    async with connect(databases.app, size=3) as opened:
        yield opened


async def count(connection: asyncpg.pool.PoolConnectionProxy, table: str) -> int:
    return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - our own names


async def test_without_a_tenant_there_are_no_rows(database: Database) -> None:
    async with database.shared_transaction() as connection:
        for table in (*BY_TENANT, "auth_session"):
            assert await count(connection, table) == 0, table


async def test_empty_settings_mean_no_rows_and_no_error(database: Database) -> None:
    async with database.shared_transaction() as connection:
        for name in ("tenant_id", "user_id", "provider_sid"):
            await connection.execute(
                "SELECT set_config($1, '', true)", f"request.{name}"
            )
        for table in (*BY_TENANT, "auth_session"):
            assert await count(connection, table) == 0, table


async def test_a_tenant_sees_its_own_rows_only(database: Database) -> None:
    async with database.tenant_transaction(A) as connection:
        for table in BY_TENANT:
            rows = await connection.fetch(f"SELECT DISTINCT tenant_id FROM {table}")  # noqa: S608 - our own names
            assert [row["tenant_id"] for row in rows] == [A], table
        assert await count(connection, "auth_session") == 0


async def test_a_person_sees_their_own_memberships_and_sessions_only(
    database: Database,
) -> None:
    async with database.user_transaction(f"{ISS} ann") as connection:
        for table in ("tenant_users", "auth_session"):
            rows = await connection.fetch(f"SELECT sub FROM {table}")  # noqa: S608 - our own names
            assert [row["sub"] for row in rows] == ["ann"], table
        for table in ("tenants", "onboarding", "lead_scores"):
            assert await count(connection, table) == 0


FOREIGN_CHANGES = (
    "UPDATE tenants SET name = 'x' WHERE tenant_id = 2",
    "UPDATE tenant_users SET roles = '{admin}' WHERE tenant_id = 2",
    "UPDATE onboarding SET error = 'x' WHERE tenant_id = 2",
    "UPDATE lead_scores SET score = 0 WHERE tenant_id = 2",
    "DELETE FROM lead_scores WHERE tenant_id = 2",
    "UPDATE auth_session SET end_reason = 'x'",
)
GIFTS = (
    "INSERT INTO tenants (tenant_id, name) VALUES (3, 'mine')",
    "INSERT INTO tenant_users (tenant_id, iss, sub) VALUES (2, 'i', 'ann')",
    "INSERT INTO onboarding (tenant_id, phases, founder) VALUES (3, '[]', 'x')",
    "INSERT INTO lead_scores (tenant_id, company_id) VALUES (2, 9)",
    "UPDATE tenant_users SET tenant_id = 2",
    "UPDATE lead_scores SET tenant_id = 2",
    (
        "INSERT INTO auth_session (sid, iss, sub, expires_at) "
        "VALUES (gen_random_uuid(), 'i', 'ben', now())"
    ),
)


async def test_another_s_rows_cannot_be_changed(database: Database) -> None:
    async with database.tenant_transaction(A) as connection:
        for act in FOREIGN_CHANGES:
            assert (await connection.execute(act)).endswith(" 0"), act


async def test_rows_cannot_be_given_to_another(database: Database) -> None:
    for act in GIFTS:
        with pytest.raises(
            asyncpg.InsufficientPrivilegeError, match="row-level security"
        ):
            async with database.tenant_transaction(A) as connection:
                await connection.execute(act)


async def test_a_person_cannot_pass_a_session_on(database: Database) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.user_transaction(f"{ISS} ann") as connection:
            await connection.execute("UPDATE auth_session SET sub = 'ben'")


async def test_a_logout_token_s_session_can_be_seen_and_not_changed(
    database: Database,
) -> None:
    async with database.shared_transaction() as connection:
        await connection.execute("SELECT set_config('request.provider_sid','ben',true)")
        assert await count(connection, "auth_session") == 1
        done = await connection.execute("UPDATE auth_session SET end_reason = 'x'")
        assert done == "UPDATE 0"


async def test_a_used_connection_brings_no_tenant_along(databases: Databases) -> None:
    async with connect(databases.app, size=2) as database:
        async with database.tenant_transaction(A) as connection:
            first = await connection.fetchval("SELECT pg_backend_pid()")
        async with database.user_transaction("someone") as connection:
            pass
        async with database.shared_transaction() as connection:
            assert await connection.fetchval("SELECT pg_backend_pid()") == first
            for name in ("request.tenant_id", "request.user_id"):
                left = await connection.fetchval(
                    "SELECT current_setting($1, true)", name
                )
                assert not left


async def test_a_tenant_is_set_for_its_transaction_alone(databases: Databases) -> None:
    connection = await asyncpg.connect(databases.app)
    try:
        async with connection.transaction():
            await set_tenant(connection, A)  # type: ignore[arg-type]  # as good as its proxy
        left = await connection.fetchval(
            "SELECT current_setting('request.tenant_id', true)"
        )
        assert not left  # whoever resets connections between uses, or does not
    finally:
        await connection.close()


async def test_an_error_in_the_middle_leaves_no_tenant_behind(
    databases: Databases,
) -> None:
    async with connect(databases.app, size=2) as database:
        for failing in ("SELECT 1/0", "INSERT INTO tenants (name) VALUES (NULL)"):
            with pytest.raises(asyncpg.PostgresError):
                async with database.tenant_transaction(A) as connection:
                    await connection.execute(failing)
            async with database.shared_transaction() as connection:
                left = await connection.fetchval(
                    "SELECT current_setting('request.tenant_id', true)"
                )
                assert not left


async def test_what_failed_half_way_is_undone(database: Database) -> None:
    async def half() -> None:
        async with database.tenant_transaction(A) as connection:
            await connection.execute("UPDATE tenants SET name = 'half'")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await half()
    async with database.tenant_transaction(A) as connection:
        assert await connection.fetchval("SELECT name FROM tenants") == "ann"


async def test_two_hundred_interleaved_transactions_never_see_each_other(
    database: Database,
) -> None:
    chance = random.Random(7)  # noqa: S311 - only to shuffle

    async def look(tenant: int) -> None:
        async with database.tenant_transaction(tenant) as connection:
            for _ in range(2):
                await asyncio.sleep(chance.random() / 500)
                seen = await connection.fetch(
                    "SELECT tenant_id FROM lead_scores UNION ALL "
                    "SELECT tenant_id FROM tenants"
                )
                assert {row["tenant_id"] for row in seen} == {tenant}
            if chance.random() < 0.1:
                raise ZeroDivisionError

    tenants = [A, B] * 100
    chance.shuffle(tenants)
    done = await asyncio.gather(*map(look, tenants), return_exceptions=True)
    assert {type(error) for error in done} == {type(None), ZeroDivisionError}


async def test_a_second_tenant_in_one_transaction_replaces_the_first(
    database: Database,
) -> None:
    async with database.tenant_transaction(A) as connection:
        await set_tenant(connection, B)
        assert await connection.fetchval("SELECT tenant_id FROM tenants") == B
