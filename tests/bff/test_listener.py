"""A listener that has gone deaf says so, and hears again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import asyncpg

from bff import listener as module
from bff.current_session import STORE
from bff.listener import LISTENER, Listener
from bff.sessions.revocation import ENDED
from tests.bff.sessions.refreshing import code, ticket
from tests.bff.sessions.test_ending import until

if TYPE_CHECKING:
    import pytest

    from tests.databases import Databases
    from tests.world import World


async def kill_listeners(databases: Databases) -> int:
    """End every connection that listens, as a failover would."""
    async with databases.superuser() as connection:
        found = await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND (query ILIKE 'LISTEN%' OR query LIKE '%pg_notify%' "
            "OR query LIKE '%ended_session%')"
        )
    return len(found)


async def test_what_is_announced_is_heard_by_channel(databases: Databases) -> None:
    listener = Listener(databases.app)
    heard: list[str] = []
    listener.on("one", lambda payload: heard.append(f"a {payload}"))
    listener.on("one", lambda payload: heard.append(f"b {payload}"))
    listener.on("two", lambda payload: heard.append(f"c {payload}"))
    async with listener.running():
        await until(lambda: listener.hears)
        async with databases.superuser() as connection:
            for channel in ("one", "two", "three"):
                await connection.execute("SELECT pg_notify($1, 'x')", channel)
        await until(lambda: len(heard) == 3)

    assert heard == ["a x", "b x", "c x"]
    assert not listener.hears


async def test_it_stops_at_whatever_moment_it_is_told_to(databases: Databases) -> None:
    async with asyncio.timeout(20):
        for number in range(60):
            listener = Listener(databases.app)
            async with listener.running():
                if number % 2:
                    await until(lambda: listener.hears)  # noqa: B023 - called at once
                # The echo comes while this pause lasts, or just as it ends.
                await asyncio.sleep(number % 12 * 0.0003)
            assert not listener.hears


async def test_a_stop_that_meets_the_echo_is_not_swallowed(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sly(asyncio.Event):
        async def wait(self) -> Literal[True]:
            found = await super().wait()
            task.cancel()
            return found

    class Asyncio:
        Event = Sly

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

    monkeypatch.setattr(module, "asyncio", Asyncio())
    task = asyncio.ensure_future(Listener(databases.app)._forever())

    stopped, _ = await asyncio.wait([task], timeout=3)

    assert stopped == {task}
    assert task.cancelled()


async def test_a_lost_connection_is_noticed_at_once_and_caught_up(
    databases: Databases,
) -> None:
    listener = Listener(databases.app)
    caught_up: list[bool] = []

    async def catch_up(connection: asyncpg.Connection) -> None:
        caught_up.append(listener.hears)
        await connection.fetchval("SELECT 1")

    listener.on("one", lambda _: None)
    listener.on_connect(catch_up)
    async with listener.running():
        await until(lambda: listener.hears)
        assert await kill_listeners(databases)
        await until(lambda: not listener.hears, 1.0)
        await until(lambda: listener.hears, 5.0)

    assert caught_up == [False, False], "what is missed is read before it says it hears"


async def test_a_database_that_is_not_there_is_tried_again(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    tries = 0
    connect = asyncpg.connect

    async def flaky(*args: object, **kwargs: object) -> asyncpg.Connection:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise ConnectionRefusedError
        return await connect(databases.app)

    monkeypatch.setattr(asyncpg, "connect", flaky)
    listener = Listener(databases.app)
    async with listener.running():
        assert not listener.hears
        await until(lambda: listener.hears)

    assert tries == 4


async def test_a_connection_without_an_echo_is_given_up(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", 0.1)
    listener = Listener(databases.app)
    async with listener.running():
        await until(lambda: listener.hears)
        # Half open: statements seem to work, but nothing comes back.
        monkeypatch.setattr(module, "PULSE", "another channel")
        await until(lambda: not listener.hears)
        await until(lambda: listener.hears)


async def test_a_deaf_gateway_asks_the_table_and_recovers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 1.5)
    async with world.signed_in() as first, world.signed_in("bob@globex.test") as bob:
        hears = world.app[LISTENER]
        await until(lambda: hears.hears)
        mine = ticket(world, first.cookies)
        assert await kill_listeners(world.databases)
        await until(lambda: not hears.hears, 1.0)

        async with world.another_gateway():
            # Announced while deaf: as another replica would.
            await world.app[STORE].end(mine.user_id, mine.sid, "signed_out")
        assert not hears.hears
        assert await code(await first.get("/whoami")) == (401, "session_ended")
        assert (await bob.get("/whoami")).status == 200
        assert not hears.hears

        await until(lambda: hears.hears, 5.0)
        theirs = ticket(world, bob.cookies)
        await world.app[STORE].end(theirs.user_id, theirs.sid, "signed_out")
        await until(lambda: theirs.sid.int in world.app[ENDED]._ended, 1.0)


async def test_what_ended_while_deaf_is_cut_after_hearing_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.3)
    async with world.signed_in() as browser:
        hears, mine = world.app[LISTENER], ticket(world, browser.cookies)
        await until(lambda: hears.hears)
        stream = await browser.get("/graph/threads/x/stream")
        await stream.content.readany()
        await kill_listeners(world.databases)
        await until(lambda: not hears.hears, 1.0)
        await world.app[STORE].end(mine.user_id, mine.sid, "signed_out")
        assert world.graph.open_streams == 1

        await until(lambda: world.graph.open_streams == 0, 5.0)
        await asyncio.sleep(0)
        stream.close()
