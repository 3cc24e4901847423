"""The lease on a session's row, and what the database does to a renewal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from bff.current_session import STORE
from bff.database import Database, DatabaseUnavailable
from bff.sessions import refresh
from bff.sessions.store import SessionStore
from tests.bff.sessions.refreshing import (
    NEAR,
    PAST,
    Hold,
    code,
    generation,
    refreshes,
    renewing,
    ticket,
)

if TYPE_CHECKING:
    from tests.databases import Databases
    from tests.world import World


async def lease(world: World, seconds: float) -> None:
    """Let the holder of the lease have died with this much of it left."""
    async with world.databases.superuser() as connection:
        await connection.execute(
            "UPDATE auth_session SET refreshing_by = gen_random_uuid(), "
            "refreshing_until = now() + make_interval(secs => $1)",
            seconds,
        )


async def test_a_dead_holders_lease_is_taken_over_when_it_ends(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        await lease(world, 0.6)
        asked = asyncio.ensure_future(browser.post("/auth/refresh"))
        await asyncio.sleep(0.3)
        assert refreshes(world) == 0, "the lease still runs"

        assert (await asyncio.wait_for(asked, 5)).status == 200
        assert refreshes(world) == 1
        assert generation(world, browser) == 2


async def test_a_lease_that_lasts_too_long_is_an_outage_and_no_end(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        before = browser.cookies
        await lease(world, 3600)
        asked = asyncio.ensure_future(browser.post("/auth/refresh"))
        await asyncio.sleep(0.2)
        world.clock.ahead += 20  # patience is over

        answer = await asyncio.wait_for(asked, 5)
        assert await code(answer) == (503, "auth_unavailable")
        assert browser.cookies == before
        assert refreshes(world) == 0


async def test_one_lease_at_a_time_and_only_for_the_present_generation(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        store, mine = world.app[STORE], ticket(world, browser.cookies)
        user, sid = mine.user_id, mine.sid
        first, second = uuid4(), uuid4()

        assert await store.lease(user, sid, 2, first, 9) is None
        assert await store.lease("https://x somebody", sid, 1, first, 9) is None
        taken = await asyncio.gather(
            *(store.lease(user, sid, 1, uuid4(), 9) for _ in range(8))
        )
        assert sum(one is not None for one in taken) == 1
        await store.release(user, sid, first)
        assert await store.lease(user, sid, 1, second, 9) is None, "not first's lease"


async def test_a_result_of_a_lost_lease_is_not_published_and_the_winners_counts(
    databases: Databases,
) -> None:
    async with renewing(databases, rotate=False) as world, world.signed_in() as browser:
        hold = Hold(world)
        slow = asyncio.ensure_future(browser.post("/auth/refresh"))
        await hold.came.wait()
        await lease(world, -1)
        world.provider.intercept = None
        async with world.another_gateway() as other, world.browser(other) as second:
            second.session.cookie_jar.update_cookies(browser.cookies)
            assert (await second.post("/auth/refresh")).status == 200
            winner = ticket(world, second.cookies).access_token
            hold.go.set()

            assert (await slow).status == 200
            assert ticket(world, browser.cookies).access_token == winner


async def test_a_session_that_ends_while_it_is_renewed_stays_ended(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        hold = Hold(world)
        asked = asyncio.ensure_future(browser.post("/auth/refresh"))
        await hold.came.wait()
        mine = ticket(world, browser.cookies)
        await world.app[STORE].end(mine.user_id, mine.sid, "signed_out")
        hold.go.set()

        assert await code(await asked) == (401, "session_ended")
        assert browser.cookies == {}


def failing(
    monkeypatch: pytest.MonkeyPatch, owner: type[object], name: str, times: int
) -> list[int]:
    """Let the first *times* calls find no database."""
    original: Any = getattr(owner, name)
    calls: list[int] = []

    async def maybe(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) <= times:
            raise DatabaseUnavailable("gone")
        return await original(*args, **kwargs)

    monkeypatch.setattr(owner, name, maybe)
    return calls


async def test_a_database_that_hiccups_after_the_grant_does_not_lose_the_tokens(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        failing(monkeypatch, SessionStore, "publish", 2)

        assert (await browser.post("/auth/refresh")).status == 200
        assert generation(world, browser) == 2
        assert (await browser.post("/auth/refresh")).status == 200
        assert refreshes(world) == 2


@pytest.mark.parametrize("name", ["lease", "look", "publish", "release"])
async def test_a_database_that_is_away_is_an_outage_and_keeps_the_cookies(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(refresh, "INSIST", (0.01,))
    async with renewing(databases) as world, world.signed_in() as browser:
        before = browser.cookies
        if name == "release":
            hold = Hold(world)
            hold.instead = (503, "")
            hold.go.set()
        elif name == "look":
            await lease(world, 60)
        failing(monkeypatch, SessionStore, name, 1000)

        answer = await browser.post("/auth/refresh")
        assert await code(answer) == (503, "auth_unavailable")
        assert browser.cookies == before


async def test_without_a_database_a_living_token_goes_on(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:

        def away(_: Database) -> Any:
            raise DatabaseUnavailable("gone")

        monkeypatch.setattr(Database, "_transaction", away)
        world.clock.ahead += NEAR
        for path in ("/whoami", "/graph/threads/x"):
            assert (await browser.get(path)).status == 200
        world.clock.ahead += PAST - NEAR
        assert await code(await browser.get("/whoami")) == (503, "auth_unavailable")
        assert browser.cookies != {}


async def test_a_successor_that_no_longer_opens_is_as_good_as_none(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        old = browser.cookies
        await browser.post("/auth/refresh")
        async with world.databases.superuser() as connection:
            await connection.execute("UPDATE auth_session SET successor = '\\x09ff'")

        browser.set_cookies(old)
        answer = await browser.post("/auth/refresh")

        assert await code(answer) == (401, "session_ended")
        assert "Set-Cookie" not in answer.headers


async def test_the_successor_rests_sealed(databases: Databases) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        await browser.post("/auth/refresh")
        token = ticket(world, browser.cookies).access_token
        async with world.databases.superuser() as connection:
            row = await connection.fetchrow("SELECT * FROM auth_session")

    assert row is not None
    assert token[:40].encode() not in row["successor"]
    assert b"access_token" not in row["successor"]
