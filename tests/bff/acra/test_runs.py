"""One run at a time, whatever becomes of its process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bff import database
from bff.acra.runs import Run, RunLost, Runs
from bff.acra.source import SourceError
from bff.database import DatabaseUnavailable
from bff.dev.ports import free_port
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import asyncpg

    from bff.database import Database
    from tests.databases import Databases

HOLDERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.fixture
async def worker(databases: Databases) -> AsyncGenerator[Database]:
    async with database.connect(databases.worker, size=4) as db:
        yield db


@pytest.fixture
async def superuser(databases: Databases) -> AsyncGenerator[asyncpg.Connection]:
    async with databases.superuser() as connection:
        yield connection


async def rows(superuser: asyncpg.Connection) -> list[tuple[str, str, str | None]]:
    found = await superuser.fetch(
        "SELECT reason, status, error FROM acra_runs ORDER BY run_id"
    )
    return [(row["reason"], row["status"], row["error"]) for row in found]


async def note(worker: Database, run: Run) -> None:
    async with worker.shared_transaction() as connection:
        await run.note(connection, {"read": 3})


async def test_a_run_is_written_down_from_its_beginning_to_its_end(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    async with Runs(worker).begin("test") as run:
        assert run is not None
        await note(worker, run)
        assert await rows(superuser) == [("test", "running", None)]

    assert await rows(superuser) == [("test", "done", None)]
    assert await superuser.fetchval("SELECT counts FROM acra_runs") == '{"read": 3}'
    assert await superuser.fetchval("SELECT ended_at >= started_at FROM acra_runs")


async def test_a_second_run_does_not_begin_beside_the_first(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    async with Runs(worker).begin("first") as first:
        async with Runs(worker).begin("second") as second:
            assert (first is None, second) == (False, None)
        assert await rows(superuser) == [("first", "running", None)]
    async with Runs(worker).begin("third") as third:
        assert third is not None


async def test_of_many_that_begin_at_once_one_does(databases: Databases) -> None:
    begun = asyncio.Event()
    together = asyncio.Barrier(5)

    async def one() -> bool:
        async with database.connect(databases.worker, size=2) as db:
            await together.wait()
            async with Runs(db).begin("race") as run:
                if run is None:
                    return False
                await begun.wait()
                return True

    tasks = [asyncio.create_task(one()) for _ in range(5)]
    await until(lambda: _four_done(tasks))
    begun.set()

    assert sorted([await task for task in tasks]) == [False] * 4 + [True]


async def _four_done(tasks: list[asyncio.Task[bool]]) -> bool:
    return sum(task.done() for task in tasks) == 4


async def test_a_queued_run_waits_and_is_taken_up(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    queued = await superuser.fetchval(
        "INSERT INTO acra_runs (reason) VALUES ('webhook') RETURNING run_id"
    )

    async with Runs(worker).begin("command") as run:
        assert run is not None
        async with Runs(worker).begin("x", queued=queued) as other:
            assert other is None
        assert (await rows(superuser))[0] == ("webhook", "queued", None)
    async with Runs(worker).begin("x", queued=queued) as run:
        assert run is not None
        assert run.run_id == queued
    async with Runs(worker).begin("x", queued=queued) as run:
        assert run is None
    assert (await rows(superuser))[0] == ("webhook", "done", None)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SourceError("a sentence of ours"), "a sentence of ours"),
        (ValueError("postgresql://user:secret@host"), "ValueError"),
        (asyncio.CancelledError(), "stopped"),
    ],
    ids=["ours", "another's", "stopped"],
)
async def test_a_run_that_fails_says_why_in_our_words(
    worker: Database,
    superuser: asyncpg.Connection,
    error: BaseException,
    said: str,
) -> None:
    with pytest.raises(type(error)):
        async with Runs(worker).begin("test"):
            raise error

    assert await rows(superuser) == [("test", "failed", said)]


async def test_a_run_whose_process_is_gone_is_taken_over_at_once(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    async def be_first() -> None:
        async with Runs(worker).begin("first") as first:
            assert first is not None
            await superuser.execute(HOLDERS)
            async with Runs(worker).begin("second") as second:
                assert second is not None
            await note(worker, first)

    with pytest.raises(RunLost):
        await be_first()

    assert await rows(superuser) == [
        ("first", "failed", "its process is gone"),
        ("second", "done", None),
    ]


async def test_a_silent_run_is_taken_over_and_can_write_no_more(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    async with Runs(worker).begin("first") as first:
        assert first is not None
        await superuser.execute(
            "UPDATE acra_runs SET beat_at = now() - interval '6 minutes'"
        )
        async with Runs(worker).begin("second") as second:
            assert second is not None
            with pytest.raises(RunLost):
                await note(worker, first)
            await note(worker, second)


async def test_a_run_shows_that_it_lives(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    async def beats() -> bool | None:
        found: bool | None = await superuser.fetchval(
            "SELECT beat_at > now() - interval '1 minute' FROM acra_runs"
        )
        return found

    async with Runs(worker, beat=0.02).begin("test"):
        await superuser.execute(
            "UPDATE acra_runs SET beat_at = now() - interval '4 minutes'"
        )
        assert await until(beats)


async def test_a_beat_that_fails_is_not_the_last(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    async def beats() -> bool | None:
        found: bool | None = await superuser.fetchval(
            "SELECT beat_at > now() - interval '1 minute' FROM acra_runs"
        )
        return found

    async with Runs(worker, beat=0.02).begin("test"):
        # A failure that is none of the connection: the role may not.
        await superuser.execute("REVOKE UPDATE ON acra_runs FROM bff_worker")
        await superuser.execute(
            "UPDATE acra_runs SET beat_at = now() - interval '4 minutes'"
        )
        await asyncio.sleep(0.2)
        assert not await beats()
        await superuser.execute("GRANT UPDATE ON acra_runs TO bff_worker")
        assert await until(beats)


async def test_a_run_that_lost_its_lock_writes_no_more(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    async def ends() -> None:
        async with Runs(worker, beat=0.02).begin("test") as run:
            assert run is not None
            await superuser.execute(HOLDERS)
            for _ in range(500):
                await note(worker, run)
                await asyncio.sleep(0.02)

    with pytest.raises(RunLost, match="the lock of the run was lost"):
        await ends()

    assert (await rows(superuser))[0][1] == "failed"


async def test_a_run_that_is_done_is_done_though_its_lock_was_lost(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    async with Runs(worker, beat=0.02).begin("test"):
        await superuser.execute(HOLDERS)
        await asyncio.sleep(0.1)

    assert await rows(superuser) == [("test", "done", None)]


async def test_without_a_database_no_run_begins() -> None:
    url = f"postgresql://bff_worker:pw@127.0.0.1:{free_port()}/nowhere"

    async with database.connect(url, size=2) as db:
        with pytest.raises(DatabaseUnavailable):
            async with Runs(db).begin("test"):
                pytest.fail("it began")
