"""A renewal that takes long holds nobody up, and what it brings is not lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from bff import current_session
from bff.current_session import REFRESHER
from bff.database import DatabaseUnavailable
from bff.serve import drain
from bff.sessions import refresh
from bff.sessions.store import SessionStore
from bff.telemetry import METRICS
from tests.bff.sessions.refreshing import (
    NEAR,
    PAST,
    Hold,
    code,
    elsewhere,
    generation,
    refreshes,
    renewing,
)
from tests.bff.waiting import until

if TYPE_CHECKING:
    from typing import Any

    import pytest

    from tests.databases import Databases
    from tests.world import Browser, World


async def renewed(world: World, browser: Browser) -> None:
    """Wait until a request brings the next generation."""

    async def look() -> bool:
        answer = await browser.get("/whoami")
        return answer.status == 200 and generation(world, browser) == 2

    await until(look)
    assert refreshes(world) == 1


async def test_a_living_token_does_not_wait_for_the_next(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current_session, "WHILE_ALIVE", 0.1)
    async with renewing(databases) as world, world.signed_in() as browser:
        hold = Hold(world)
        world.clock.ahead += NEAR
        for path in ("/whoami", "/graph/threads/x"):
            answer = await asyncio.wait_for(browser.get(path), 10)
            assert answer.status == 200
            assert "Set-Cookie" not in answer.headers
        assert hold.asked == 1
        hold.go.set()

        await renewed(world, browser)


async def test_a_token_about_to_end_is_worth_waiting_for(databases: Databases) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        hold = Hold(world)
        world.clock.ahead += 299  # of 300: it would be dead before the wait is over
        asked = asyncio.ensure_future(browser.get("/whoami"))
        await hold.came.wait()
        await asyncio.sleep(refresh.WHILE_ALIVE + 0.5)
        assert not asked.done()
        hold.go.set()

        assert (await asked).status == 200
        assert generation(world, browser) == 2


async def test_what_comes_after_everybody_gave_up_is_kept(databases: Databases) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        world.app[REFRESHER]._patience = 0.3
        hold, before = Hold(world), browser.cookies
        world.clock.ahead += PAST
        for _ in range(3):
            answer = await browser.get("/whoami")
            assert await code(answer) == (503, "auth_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
        assert browser.cookies == before
        assert hold.asked == 1
        hold.go.set()

        await renewed(world, browser)


async def test_the_lease_is_kept_for_as_long_as_its_holder_asks(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "LEASE", 1.0)
    monkeypatch.setattr(refresh, "PULSE", 0.1)
    async with (
        renewing(databases) as world,
        world.another_gateway() as other,
        world.signed_in() as browser,
        elsewhere(world, other, browser.cookies) as second,
    ):
        world.clock.ahead += PAST
        hold = Hold(world)
        asked = [asyncio.ensure_future(browser.get("/whoami"))]
        await hold.came.wait()
        asked.append(asyncio.ensure_future(second.get("/whoami")))
        await asyncio.sleep(2.5)
        assert hold.asked == 1
        hold.go.set()

        assert [one.status for one in await asyncio.gather(*asked)] == [200, 200]
        assert refreshes(world) == 1


async def test_keeping_the_lease_outlives_a_database_that_stumbles(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "PULSE", 0.05)
    extend, calls = SessionStore.extend, [0]

    async def stumbling(*args: Any) -> None:
        calls[0] += 1
        if calls[0] < 3:
            raise DatabaseUnavailable("gone")
        await extend(*args)

    monkeypatch.setattr(SessionStore, "extend", stumbling)
    async with renewing(databases) as world, world.signed_in() as browser:
        hold = Hold(world)
        asked = asyncio.ensure_future(browser.post("/auth/refresh"))
        await hold.came.wait()

        async def kept() -> bool:
            return calls[0] > 4

        await until(kept)
        hold.go.set()
        assert (await asked).status == 200


async def test_keys_that_are_away_after_the_grant_are_asked_for_again(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        world.provider.rotate_keys()
        world.clock.ahead += 5  # keys were fetched at the sign-in
        refused = [0]

        async def fail_once(request: web.Request) -> web.Response | None:
            if request.path.endswith("/certs") and not refused[0]:
                refused[0] = 1
                return web.Response(status=503)
            return None

        world.provider.intercept = fail_once

        # The grant is spent: its tokens are proven later, not thrown away.
        assert (await browser.post("/auth/refresh")).status == 200
        assert refused == [1]
        assert refreshes(world) == 1
        assert generation(world, browser) == 2


async def test_the_end_of_the_process_waits_for_a_renewal(databases: Databases) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        hold = Hold(world)
        asked = asyncio.ensure_future(browser.post("/auth/refresh"))
        await hold.came.wait()
        ending = asyncio.ensure_future(drain(world.app, 30))
        await asyncio.sleep(0.2)
        assert not ending.done()
        hold.go.set()

        await asyncio.wait_for(ending, 10)
        assert (await asked).status == 200
        assert generation(world, browser) == 2
        await asyncio.wait_for(drain(world.app, 0.1), 10)


async def test_a_gateway_that_ends_publishes_what_nobody_waits_for_any_more(
    databases: Databases,
) -> None:
    async with (
        renewing(databases) as world,
        world.signed_in() as browser,
    ):
        hold = Hold(world)
        async with world.another_gateway() as other:
            async with elsewhere(world, other, browser.cookies) as leaving:
                asked = asyncio.ensure_future(leaving.post("/auth/refresh"))
                await hold.came.wait()
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
            asyncio.get_running_loop().call_later(1.5, hold.go.set)

        assert refreshes(world) == 1
        world.clock.ahead += PAST
        await renewed(world, browser)


async def test_keeping_the_lease_outlives_whatever_goes_wrong_and_says_so(
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(refresh, "PULSE", 0.05)
    calls = [0]

    async def broken(*_: Any) -> None:
        calls[0] += 1
        raise ValueError("of another kind")

    monkeypatch.setattr(SessionStore, "extend", broken)
    async with renewing(databases) as world, world.signed_in() as browser:
        hold = Hold(world)
        asked = asyncio.ensure_future(browser.post("/auth/refresh"))
        await hold.came.wait()

        async def tried_again() -> bool:
            return calls[0] > 2

        await until(tried_again)
        hold.go.set()
        assert (await asked).status == 200
    assert "a lease could not be kept" in caplog.text


async def test_who_lost_patience_is_counted_apart_from_outages(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current_session, "WHILE_ALIVE", 0.1)
    async with renewing(databases) as world, world.signed_in() as browser:
        hold = Hold(world)
        world.clock.ahead += NEAR
        assert (await browser.get("/whoami")).status == 200
        hold.go.set()
        registry = world.app[METRICS].registry
        counted = {
            name: registry.get_sample_value("bff_refreshes_total", {"outcome": name})
            for name in ("late", "unavailable")
        }
        assert counted == {"late": 1.0, "unavailable": None}
