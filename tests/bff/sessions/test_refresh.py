"""A session comes to its next generation exactly once, and survives what can happen."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import aiohttp
import pytest

from bff.dev.provider import Realm
from tests.bff.sessions.refreshing import (
    NEAR,
    PAST,
    Hold,
    elsewhere,
    generation,
    refreshes,
    renewing,
    ticket,
)
from tests.world import World

if TYPE_CHECKING:
    from tests.databases import Databases


@pytest.mark.parametrize("rotate", [False, True])
async def test_fifty_requests_near_the_end_renew_once(
    databases: Databases, *, rotate: bool
) -> None:
    async with (
        renewing(databases, rotate=rotate) as world,
        world.signed_in() as browser,
    ):
        world.clock.ahead += NEAR
        old = browser.cookies

        answers = await asyncio.gather(*(browser.get("/whoami") for _ in range(50)))

        assert Counter(one.status for one in answers) == {200: 50}
        assert refreshes(world) == 1
        assert browser.cookies != old
        assert generation(world, browser) == 2
        assert (await browser.get("/whoami")).status == 200
        assert refreshes(world) == 1


@pytest.mark.parametrize("rotate", [False, True])
async def test_two_replicas_renew_once(databases: Databases, *, rotate: bool) -> None:
    async with (
        renewing(databases, rotate=rotate) as world,
        world.another_gateway() as other,
        world.signed_in() as browser,
        elsewhere(world, other, browser.cookies) as second,
    ):
        world.clock.ahead += PAST
        hold = Hold(world)
        asked = [
            asyncio.ensure_future(one.get("/whoami"))
            for _ in range(10)
            for one in (browser, second)
        ]
        await hold.came.wait()
        await asyncio.sleep(0.1)
        hold.go.set()
        answers = await asyncio.gather(*asked)

        assert Counter(one.status for one in answers) == {200: 20}
        assert refreshes(world) == 1
        assert hold.asked == 1
        assert (
            ticket(world, browser.cookies).access_token
            == ticket(world, second.cookies).access_token
        )


@pytest.mark.parametrize("rotate", [False, True])
async def test_many_generations_follow_each_other(
    databases: Databases, *, rotate: bool
) -> None:
    async with (
        renewing(databases, rotate=rotate) as world,
        world.signed_in() as browser,
    ):
        sid = ticket(world, browser.cookies).sid
        for number in range(2, 6):
            world.clock.ahead += NEAR
            assert (await browser.get("/whoami")).status == 200
            assert generation(world, browser) == number
        for number in range(6, 9):
            answer = await browser.post("/auth/refresh")
            assert (await answer.json())["ok"] is True
            assert generation(world, browser) == number

        assert ticket(world, browser.cookies).sid == sid
        assert refreshes(world) == 7


async def test_a_short_lived_token_is_renewed_in_its_last_fifth(
    databases: Databases,
) -> None:
    world = World(databases, realm=Realm(access_ttl=10))
    async with world.running(), world.signed_in() as browser:
        world.clock.ahead += 7
        await browser.get("/whoami")
        assert refreshes(world) == 0
        world.clock.ahead += 1.5
        await browser.get("/whoami")
        assert refreshes(world) == 1


async def test_the_new_token_reaches_the_graph_with_the_very_same_request(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        old = ticket(world, browser.cookies).access_token
        world.clock.ahead += NEAR

        answer = await browser.get("/graph/threads/x")

        assert answer.status == 200
        new = ticket(world, browser.cookies).access_token
        assert new != old
        assert world.graph.seen[-1]["headers"]["authorization"] == f"Bearer {new}"
        assert len(answer.headers.getall("Set-Cookie")) == 2


async def test_cookies_are_written_only_when_the_tokens_changed(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        for path in ("/whoami", "/auth/session", "/graph/threads/x", "/nowhere"):
            assert "Set-Cookie" not in (await browser.get(path)).headers


async def test_a_browser_that_leaves_does_not_lose_the_token(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        world.clock.ahead += PAST
        hold = Hold(world)
        leaving = asyncio.ensure_future(browser.get("/whoami"))
        await hold.came.wait()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await asyncio.sleep(0.1)
        hold.go.set()

        assert (await browser.get("/whoami")).status == 200
        assert refreshes(world) == hold.asked == 1
        assert generation(world, browser) == 2


async def test_a_request_of_the_generation_before_gets_the_successor(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        old = browser.cookies
        await browser.post("/auth/refresh")
        new = ticket(world, browser.cookies)

        for ahead in (0.0, 120.0, 1200.0):
            world.clock.ahead += ahead
            browser.set_cookies(old)
            answer = await browser.post("/auth/refresh")
            assert answer.status == 200
            assert ticket(world, browser.cookies).access_token == new.access_token
        assert refreshes(world) == 1


async def test_looking_at_the_session_never_extends_it(databases: Databases) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        before = browser.cookies
        for ahead in (NEAR, PAST - NEAR, 1000.0):
            world.clock.ahead += ahead
            answer = await browser.get("/auth/session")
            assert (await answer.json())["authenticated"] is True
            assert "Set-Cookie" not in answer.headers
        assert refreshes(world) == 0
        assert browser.cookies == before


async def test_a_request_that_gives_up_waiting_does_not_stop_the_others(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        world.clock.ahead += PAST
        hold = Hold(world)
        staying = asyncio.ensure_future(browser.get("/whoami"))
        await hold.came.wait()
        with pytest.raises(TimeoutError):
            await browser.get("/whoami", timeout=aiohttp.ClientTimeout(total=0.1))
        hold.go.set()

        assert (await staying).status == 200
        assert refreshes(world) == 1
