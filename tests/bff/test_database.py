"""When PostgreSQL is away, full or silent, callers hear one thing: unavailable."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import asyncpg
import pytest

from bff import database as module
from bff.database import (
    Database,
    DatabaseConflict,
    DatabaseUnavailable,
    connect,
)
from bff.dev.ports import free_port
from bff.errors import Unavailable
from bff.problems import translate

if TYPE_CHECKING:
    from tests.databases import Databases


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ACQUIRE_TIMEOUT", 0.4)


async def kill(databases: Databases, pid: int) -> None:
    async with databases.superuser() as superuser:
        assert await superuser.fetchval("SELECT pg_terminate_backend($1, 2000)", pid)


async def test_a_server_that_refuses_is_unavailable() -> None:
    url = f"postgresql://bff_app:x@127.0.0.1:{free_port()}/x"
    async with connect(url) as database:
        with pytest.raises(DatabaseUnavailable):
            async with database.tenant_transaction(1):
                pass


@pytest.mark.parametrize("wrong", ["password", "database", "role"])
async def test_a_server_that_does_not_let_us_in_is_unavailable(
    databases: Databases, wrong: str
) -> None:
    place = databases.app.partition("@")[2]
    server = place.partition("/")[0]
    url = {
        "password": f"postgresql://bff_app:wrong@{place}",
        "database": databases.app.rpartition("/")[0] + "/nosuch",
        "role": f"postgresql://nobody:x@{server}/postgres",
    }[wrong]
    async with connect(url) as database:
        with pytest.raises(DatabaseUnavailable):
            async with database.shared_transaction():
                pass


async def test_a_connection_killed_in_the_middle_is_unavailable_and_the_next_is_fine(
    databases: Databases,
) -> None:
    async with connect(databases.app, size=2) as database:

        async def use() -> None:
            async with database.tenant_transaction(1) as connection:
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                await kill(databases, pid)
                await connection.execute("SELECT 1")

        with pytest.raises(DatabaseUnavailable):
            await use()
        async with database.tenant_transaction(1) as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_a_connection_killed_before_the_commit_is_never_taken_for_done(
    databases: Databases,
) -> None:
    async with connect(databases.app, size=2) as database:

        async def half() -> None:
            async with database.tenant_transaction(1) as connection:
                await connection.execute("INSERT INTO tenants VALUES (1, 'half')")
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                await kill(databases, pid)

        with pytest.raises(DatabaseUnavailable):
            await half()
    async with databases.superuser() as superuser:
        assert await superuser.fetchval("SELECT count(*) FROM tenants") == 0


async def test_a_connection_killed_while_idle_is_replaced(databases: Databases) -> None:
    async with connect(databases.app, size=2) as database:
        async with database.shared_transaction() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
        await kill(databases, pid)
        await asyncio.sleep(0.05)  # the news of it arrives
        async with database.shared_transaction() as connection:
            assert await connection.fetchval("SELECT pg_backend_pid()") != pid


async def test_a_full_pool_is_unavailable_in_time_and_heals(
    databases: Databases,
) -> None:
    async with connect(databases.app, size=1) as database:
        async with database.shared_transaction():
            began = asyncio.get_running_loop().time()
            with pytest.raises(DatabaseUnavailable):
                async with database.shared_transaction():
                    pass
            assert asyncio.get_running_loop().time() - began < 3
        async with database.shared_transaction():
            pass


async def test_a_statement_that_takes_too_long_is_unavailable(
    databases: Databases,
) -> None:
    async with connect(databases.app, size=1, command_timeout=0.2) as database:
        with pytest.raises(DatabaseUnavailable):
            async with database.shared_transaction() as connection:
                await connection.execute("SELECT pg_sleep(5)")
        async with database.shared_transaction() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_a_statement_that_takes_too_long_goes_on_nowhere(
    databases: Databases,
) -> None:
    """Nor does what it holds."""
    async with connect(databases.app, size=1) as database:

        async def use() -> None:
            async with database.tenant_transaction(1) as connection:
                await connection.execute("INSERT INTO tenants VALUES (1, 'x')")
                await connection.execute("SELECT pg_sleep(60)", timeout=0.1)

        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await use()
            async with databases.superuser() as superuser:
                query = (
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'bff_app' "
                    "AND datname = current_database() AND state <> 'idle'"
                )
                assert await superuser.fetchval(query) == 0


@pytest.mark.parametrize("state", ["deadlock_detected", "serialization_failure"])
async def test_who_is_in_another_s_way_may_try_again(
    databases: Databases, state: str
) -> None:
    async with connect(databases.app, size=1) as database:
        with pytest.raises(DatabaseConflict) as told:
            async with database.shared_transaction() as connection:
                await connection.execute(
                    f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$"
                )
        async with database.shared_transaction() as connection:
            assert await connection.fetchval("SELECT 1") == 1

    error = translate(told.value)
    assert isinstance(error, Unavailable)
    assert error.headers["Retry-After"] == "1"


async def test_a_server_that_falls_silent_is_unavailable_too(
    databases: Databases,
) -> None:
    async with connect(databases.app, size=1, command_timeout=0.2) as database:
        stopped: list[int] = []

        async def use() -> None:
            async with database.shared_transaction() as connection:
                stopped.append(await connection.fetchval("SELECT pg_backend_pid()"))
                os.kill(stopped[0], signal.SIGSTOP)
                await connection.execute("SELECT 1")

        try:
            with pytest.raises(DatabaseUnavailable):
                await use()
        finally:
            os.kill(stopped[0], signal.SIGCONT)
        async with database.shared_transaction() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def freeze(database: Database) -> int:
    """Stop the one connection's server process between two transactions."""
    async with database.shared_transaction() as connection:
        pid = int(await connection.fetchval("SELECT pg_backend_pid()"))
    os.kill(pid, signal.SIGSTOP)
    return pid


async def test_a_server_too_frozen_to_begin_is_found_out_soon(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEGIN_TIMEOUT", 0.2)
    async with connect(databases.app, size=1, command_timeout=60) as database:
        stopped = await freeze(database)
        try:
            async with asyncio.timeout(10):
                with pytest.raises(DatabaseUnavailable):
                    async with database.shared_transaction():
                        pass
        finally:
            os.kill(stopped, signal.SIGCONT)
        async with database.shared_transaction() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_who_is_told_to_stop_stops_even_at_a_frozen_server(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CANCEL_TIMEOUT", 0.2)
    monkeypatch.setattr(module, "ACQUIRE_TIMEOUT", 30)
    async with connect(databases.app, size=1, command_timeout=60) as database:
        stopped = 0

        async def use(*, begun: bool) -> None:
            nonlocal stopped
            if not begun:
                stopped = await freeze(database)
            async with database.shared_transaction() as connection:
                stopped = await connection.fetchval("SELECT pg_backend_pid()")
                os.kill(stopped, signal.SIGSTOP)
                await connection.execute("SELECT 1")

        for begun in (True, False):
            task = asyncio.ensure_future(use(begun=begun))
            try:
                while not stopped:  # noqa: ASYNC110 - what others do sets no event
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.1)
                task.cancel()
                async with asyncio.timeout(10):
                    with pytest.raises(asyncio.CancelledError):
                        await task
            finally:
                os.kill(stopped, signal.SIGCONT)
                stopped = 0


async def test_an_error_of_the_statement_stays_what_it_is(databases: Databases) -> None:
    async with connect(databases.app, size=1) as database:
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with database.shared_transaction() as connection:
                await connection.execute("SELECT 1/0")
        with pytest.raises(asyncpg.DataError):
            async with database.shared_transaction() as connection:
                await connection.fetchval("SELECT $1::bigint", 10**30)


async def test_a_cancelled_caller_gives_its_connection_back(
    databases: Databases,
) -> None:
    async with connect(databases.app, size=1) as database:

        async def wait() -> None:
            async with database.shared_transaction() as connection:
                await connection.execute("SELECT pg_sleep(5)")

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with database.shared_transaction() as connection:
            assert await connection.fetchval("SELECT 1") == 1


def test_the_browser_is_told_to_try_again_and_nothing_else() -> None:
    error = translate(DatabaseUnavailable("postgresql://secret"))

    assert isinstance(error, Unavailable)
    assert error.status == 503
    assert "postgres" not in error.detail
