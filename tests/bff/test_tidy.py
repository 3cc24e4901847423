"""What is over is deleted, what is not stays; one replica at a time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bff import background, config, database
from bff.dev.ports import free_port
from bff.tidy import LOCK, OVER, PAUSE, keep_tidy, tidy
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import asyncpg

    from bff.database import Database
    from tests.databases import Databases

# A row that is over, and one that is not yet, of each table; $1 is its age.
SESSION = (
    "INSERT INTO auth_session (sid, iss, sub, ended_at, expires_at) VALUES "
    "(gen_random_uuid(), 'i', 's', "
)
INVITE = (
    "INSERT INTO tenant_invites (tenant_id, token_hash, created_by, expires_at) VALUES "
    "(7, sha256(random()::text::bytea), 'i s', now() - $1::text::interval)"
)
FAILURE = (
    "INSERT INTO sign_in_failure (pair, account, network, at) VALUES ('', '', '', "
)
ANNOUNCEMENT = "INSERT INTO ended_session VALUES (gen_random_uuid(), "
ENTRY = "INSERT INTO audit_log (action, at) VALUES ('a.b', "
ATTEMPT = "INSERT INTO attempts VALUES ('k', '', "
TOKEN = "INSERT INTO logout_token VALUES (gen_random_uuid()::text, "
SIGNATURE = "INSERT INTO acra_signature VALUES (sha256(random()::text::bytea), "
AGED = "now() - $1::text::interval)"
NOTE = (
    "INSERT INTO pgqueuer_log (job_id, status, priority, entrypoint, aggregated, "
    "created) VALUES (1, 'successful', 0, 'x', true, now() - $1::text::interval)"
)
UNCOUNTED = NOTE.replace("true", "false")
COUNT = (
    "INSERT INTO pgqueuer_statistics (count, priority, status, entrypoint, created) "
    "VALUES (1, 0, 'successful', 'x', now() - $1::text::interval)"
)
ROWS = {
    "ended session": (
        "auth_session",
        SESSION + "now() - $1::text::interval, now() + interval '20 days')",
        ("7 days 1 hour", "6 days 23 hours"),
    ),
    "expired session": (
        "auth_session",
        f"{SESSION} NULL, {AGED}",
        ("7 days 1 hour", "6 days 23 hours"),
    ),
    "session that lives": ("auth_session", f"{SESSION} NULL, {AGED}", (None, "-1 day")),
    "announcement": (
        "ended_session",
        ANNOUNCEMENT + AGED,
        ("25 hours", "2 hours"),
    ),
    "failure": ("sign_in_failure", FAILURE + AGED, ("25 hours", "23 hours")),
    "attempt": (
        "attempts",
        ATTEMPT + AGED,
        ("49 hours", "47 hours"),
    ),
    "logout token": (
        "logout_token",
        TOKEN + AGED,
        ("25 hours", "23 hours"),
    ),
    "webhook's signature": (
        "acra_signature",
        SIGNATURE + AGED,
        ("1 hour", "-1 hour"),
    ),
    "invite": ("tenant_invites", INVITE, ("31 days", "29 days")),
    "note of the queue": ("pgqueuer_log", NOTE, ("8 days", "6 days")),
    "note that is not counted": ("pgqueuer_log", UNCOUNTED, (None, "8 days")),
    "count of the queue": ("pgqueuer_statistics", COUNT, ("8 days", "6 days")),
    "audit entry": ("audit_log", ENTRY + AGED, ("401 days", "399 days")),
}


@asynccontextmanager
async def worker(databases: Databases) -> AsyncGenerator[Database]:
    async with database.connect(databases.worker, size=2) as db:
        yield db


async def make(connection: asyncpg.Connection, kind: str, *, over: bool) -> None:
    _, statement, (old, young) = ROWS[kind]
    if age := old if over else young:
        await connection.execute(statement, age)


async def count(connection: asyncpg.Connection, table: str) -> int:
    return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - names of this file


@pytest.fixture
async def superuser(databases: Databases) -> AsyncGenerator[asyncpg.Connection]:
    async with databases.superuser() as connection:
        await connection.execute(
            "INSERT INTO tenants (tenant_id, name) VALUES (7, 'seven')"
        )
        yield connection


async def test_every_table_has_rows_here() -> None:
    assert {table for table, _, _ in ROWS.values()} == {*OVER, "audit_log"}


@pytest.mark.parametrize("kind", ROWS)
async def test_what_is_over_goes_and_the_rest_stays(
    databases: Databases, superuser: asyncpg.Connection, kind: str
) -> None:
    table, _, (old, _) = ROWS[kind]
    await make(superuser, kind, over=True)
    await make(superuser, kind, over=False)

    async with worker(databases) as db:
        deleted = await tidy(db)
        again = await tidy(db)

    assert deleted == ({table: 1} if old else {})
    assert again == {}
    assert await count(superuser, table) == 1


async def test_many_go_in_batches(
    databases: Databases, superuser: asyncpg.Connection
) -> None:
    for _ in range(25):
        await make(superuser, "attempt", over=True)

    async with worker(databases) as db:
        assert await tidy(db, batch=10) == {"attempts": 25}

    assert await count(superuser, "attempts") == 0


async def test_while_another_replica_does_it_nothing_is_done(
    databases: Databases, superuser: asyncpg.Connection
) -> None:
    await make(superuser, "attempt", over=True)

    async with worker(databases) as db, superuser.transaction():
        await superuser.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        assert await asyncio.wait_for(tidy(db), 10) == {}

    assert await count(superuser, "attempts") == 1


async def test_how_long_the_audit_log_is_kept_is_a_setting(
    databases: Databases, superuser: asyncpg.Connection
) -> None:
    await superuser.execute(f"{ENTRY} {AGED}", "31 days")
    await superuser.execute(f"{ENTRY} {AGED}", "29 days")
    settings = config.Config.model_validate(
        {
            "database": {"url": databases.app, "worker_url": databases.worker},
            "audit": {"keep_days": 30},
        }
    )

    async def gone() -> bool:
        return await count(superuser, "audit_log") == 1

    async with background.worker(settings):
        await until(gone)


async def test_the_worker_of_a_deployment_tidies_at_its_start(
    databases: Databases,
    superuser: asyncpg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await make(superuser, "ended session", over=True)
    settings = config.Config.model_validate(
        {"database": {"url": databases.app, "worker_url": databases.worker}}
    )

    async def gone() -> bool:
        return await count(superuser, "auth_session") == 0

    with caplog.at_level(logging.INFO, logger="bff.tidy"):
        async with background.worker(settings):
            await until(gone)
            await until(lambda: said(caplog, "tidied: 1 of auth_session"))


async def said(caplog: pytest.LogCaptureFixture, sentence: str) -> bool:
    return sentence in caplog.messages


async def test_without_a_database_it_says_so_and_comes_again(
    databases: Databases,
    superuser: asyncpg.Connection,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await make(superuser, "attempt", over=True)
    monkeypatch.setattr("bff.tidy.PAUSE", 0.05)
    url = databases.worker.replace(
        databases.worker.rpartition("@")[2].partition("/")[0],
        f"127.0.0.1:{free_port()}",
    )
    closing = asyncio.Event()
    async with database.connect(url, size=1) as away:
        task = asyncio.ensure_future(keep_tidy(away, closing, lambda: 0.5))
        await until(lambda: said(caplog, "nothing was tidied: no database"), seconds=20)
        await asyncio.sleep(0.2)
        assert not task.done()
        closing.set()
        await asyncio.wait_for(task, 20)

    assert caplog.messages.count("nothing was tidied: no database") > 1


async def test_replicas_started_together_part(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    closing = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            closing.set()

    async def nothing(_: object, **__: object) -> dict[str, int]:
        return {}

    monkeypatch.setattr("bff.tidy.asyncio.sleep", sleep)
    monkeypatch.setattr("bff.tidy.tidy", nothing)
    numbers = iter((0.0, 0.5, 1.0))
    # Never asked, and so never connected.
    async with database.connect("postgresql://nobody@127.0.0.1:1/none") as db:
        await keep_tidy(db, closing, lambda: next(numbers))

    assert slept == [PAUSE * 0.9, PAUSE, PAUSE * 1.1]
