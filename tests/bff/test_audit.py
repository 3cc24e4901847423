"""The audit log is written with the act, by its tenant alone, and never again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import asyncpg
import pytest

from bff.audit import SYSTEM, Actor, Entry, page, record, record_each
from bff.database import Database, connect

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases

A, B = 1, 2
ANN = Actor("https://sso.test ann", "ann@x.test", "192.0.2.1", "request-1")


@pytest.fixture
async def database(databases: Databases) -> AsyncGenerator[Database]:
    async with connect(databases.app, size=3) as opened:
        yield opened


@pytest.fixture
async def superuser(databases: Databases) -> AsyncGenerator[asyncpg.Connection]:
    async with databases.superuser() as connection:
        yield connection


async def add(database: Database, tenant_id: int, *actions: str) -> None:
    async with database.tenant_transaction(tenant_id) as connection:
        for action in actions:
            await record(connection, ANN.did(action, tenant_id, "x", n=1))


async def test_an_entry_says_who_did_what(
    database: Database, superuser: asyncpg.Connection
) -> None:
    await add(database, A, "area.done")

    row = await superuser.fetchrow("SELECT * FROM audit_log")
    assert row is not None
    kept = dict(row)
    assert kept.pop("audit_id")
    assert kept.pop("at")
    assert json.loads(kept.pop("detail")) == {"n": 1}
    assert kept == {
        "tenant_id": A,
        "action": "area.done",
        "actor": "https://sso.test ann",
        "actor_email": "ann@x.test",
        "subject": "x",
        "address": "192.0.2.1",
        "request_id": "request-1",
    }


async def test_a_tenant_reads_its_own_entries_only(database: Database) -> None:
    await add(database, A, "area.first", "area.second")
    await add(database, B, "area.third")
    async with database.shared_transaction() as connection:
        await record(connection, SYSTEM.did("area.nobodys", None))

    for tenant_id, expected in (
        (A, ["area.second", "area.first"]),
        (B, ["area.third"]),
    ):
        async with database.tenant_transaction(tenant_id) as connection:
            rows = await connection.fetch(
                "SELECT action FROM audit_log ORDER BY audit_id DESC"
            )
            assert [row["action"] for row in rows] == expected
            found = await page(connection, A + B - tenant_id, limit=9)
            assert found == []
    async with database.shared_transaction() as connection:
        assert await connection.fetch("SELECT * FROM audit_log") == []
    async with database.user_transaction(ANN.user_id) as connection:
        assert await connection.fetch("SELECT * FROM audit_log") == []


@pytest.mark.parametrize("tenant_id", [B, None])
async def test_nobody_writes_into_another_s_log(
    database: Database, superuser: asyncpg.Connection, tenant_id: int | None
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.tenant_transaction(A) as connection:
            await record(connection, SYSTEM.did("area.done", tenant_id))
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.user_transaction(ANN.user_id) as connection:
            await record(connection, SYSTEM.did("area.done", A))

    assert not await superuser.fetchval("SELECT count(*) FROM audit_log")


CHANGES = (
    "UPDATE audit_log SET actor = 'somebody else'",
    "UPDATE audit_log SET at = now()",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "SELECT * FROM audit_log FOR UPDATE",
    "ALTER TABLE audit_log DISABLE ROW LEVEL SECURITY",
    "DROP TABLE audit_log",
    (
        "INSERT INTO audit_log (audit_id, tenant_id, action) OVERRIDING SYSTEM VALUE "
        "VALUES (1, 1, 'a.b') ON CONFLICT (audit_id) DO UPDATE SET actor = 'x'"
    ),
)


@pytest.mark.parametrize("statement", CHANGES)
async def test_who_serves_changes_nothing_that_is_written(
    database: Database, superuser: asyncpg.Connection, statement: str
) -> None:
    await add(database, A, "area.done")

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.tenant_transaction(A) as connection:
            await connection.execute(statement)

    assert await superuser.fetchval("SELECT actor FROM audit_log") == ANN.user_id


async def test_the_worker_forgets_and_cannot_change_either(
    databases: Databases, database: Database
) -> None:
    await add(database, A, "area.done")
    async with connect(databases.worker, size=1) as worker:
        for statement in CHANGES:
            if statement.startswith("DELETE"):
                continue
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with worker.shared_transaction() as connection:
                    await connection.execute(statement)
        async with worker.shared_transaction() as connection:
            assert await connection.execute("DELETE FROM audit_log") == "DELETE 1"


async def test_an_act_that_fails_leaves_no_entry(
    database: Database, superuser: asyncpg.Connection
) -> None:
    async def half() -> None:
        async with database.tenant_transaction(A) as connection:
            await record(connection, ANN.did("area.done", A))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await half()
    assert not await superuser.fetchval("SELECT count(*) FROM audit_log")


@pytest.mark.parametrize(
    "action", ["", "done", "Area.done", "area.", "area.a b", "a.1"]
)
async def test_an_action_is_an_area_and_what_was_done(
    database: Database, action: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await add(database, A, action)


async def test_whatever_a_browser_sends_can_be_kept(
    database: Database, superuser: asyncpg.Connection
) -> None:
    odd = "a\0b\ud800c"
    entry = Entry("area.done", A, odd, odd, odd, {odd: [odd, {"x": odd}], "n": 1.5})
    async with database.tenant_transaction(A) as connection:
        await record(connection, entry)

    row = await superuser.fetchrow("SELECT * FROM audit_log")
    assert row is not None
    assert (row["actor"], row["subject"]) == ("ab?c", "ab?c")
    assert json.loads(row["detail"]) == {"ab?c": ["ab?c", {"x": "ab?c"}], "n": 1.5}


async def test_entries_of_several_tenants_go_each_to_its_own(
    database: Database,
) -> None:
    async with database.user_transaction(ANN.user_id) as connection:
        await record_each(
            connection, [ANN.did("area.done", one) for one in (A, None, B)]
        )

    for tenant_id in (A, B):
        async with database.tenant_transaction(tenant_id) as connection:
            assert len(await page(connection, tenant_id, limit=9)) == 1


async def test_pages_follow_each_other(database: Database) -> None:
    await add(database, A, *(f"area.act_{letter}" for letter in "abcde"), "other.act")
    await add(database, B, "area.act_z")
    async with database.tenant_transaction(A) as connection:
        first = await page(connection, A, action="area.", limit=3)
        before = first[-1]["audit_id"]
        second = await page(connection, A, action="area.", before=before, limit=3)
        # A prefix is no pattern.
        assert await page(connection, A, action="area_", limit=9) == []
        assert await page(connection, A, action="%", limit=9) == []

    found = [row["action"][-1] for row in [*first, *second]]
    assert found == ["e", "d", "c", "b", "a"]
