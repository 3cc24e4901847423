"""A session that ends is over everywhere, at once, and for good."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bff.current_session import STORE
from bff.database import Database, DatabaseUnavailable
from bff.listener import LISTENER
from bff.sessions.revocation import ENDED
from tests.bff.auth.redirects import begin, come_back, prove
from tests.bff.sessions.refreshing import PAST, Hold, code, elsewhere, ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.world import Browser, World

STREAM = "/graph/threads/x/stream"


async def until(holds: Callable[[], bool], seconds: float = 5.0) -> float:
    """Wait until something holds and return how long it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def open_stream(world: World, browser: Browser) -> aiohttp.ClientResponse:
    before = world.graph.open_streams
    answer = await browser.get(STREAM)
    assert answer.status == 200
    await answer.content.readany()
    assert world.graph.open_streams == before + 1
    return answer


async def is_cut(answer: aiohttp.ClientResponse, within: float = 1.0) -> None:
    async def read() -> None:
        while await answer.content.readany():
            pass

    with pytest.raises(aiohttp.ClientError):
        await asyncio.wait_for(read(), within)
    answer.close()


async def refused_soon(browser: Browser, jar: dict[str, str]) -> None:
    """Check that within a second these cookies are worth nothing there."""
    async with asyncio.timeout(1):
        while True:
            browser.set_cookies({})
            browser.session.cookie_jar.update_cookies(jar)
            answer = await browser.get("/whoami")
            if answer.status == 401:
                break
            await asyncio.sleep(0.02)
    assert await code(answer) == (401, "session_ended")
    browser.session.cookie_jar.update_cookies(jar)
    assert await code(await browser.post("/auth/refresh")) == (401, "session_ended")


async def test_signing_out_makes_the_old_cookies_worthless(world: World) -> None:
    async with world.signed_in() as browser:
        old = browser.cookies

        answer = await browser.post("/auth/logout")

        assert answer.status == 204
        assert answer.headers["Clear-Site-Data"] == '"cache"'
        assert browser.cookies == {}
        browser.set_cookies(old)
        assert await code(await browser.get("/whoami")) == (401, "session_ended")
        assert browser.cookies == {}
        browser.set_cookies(old)
        session = await browser.get("/auth/session")
        assert await session.json() == {"authenticated": False}
        assert [one.type for one in world.provider.events][-1] == "LOGOUT"


async def test_signing_out_says_where_the_providers_own_session_ends(
    world: World,
) -> None:
    async with world.browser() as browser:
        await come_back(browser, await prove(browser, await begin(browser)))
        # It is remembered through a renewal.
        assert (await browser.post("/auth/refresh")).status == 200
        url = (await browser.post("/auth/logout")).headers["X-Logout-Url"]

    assert url.startswith(f"{world.issuer}/")
    assert "client_id=nexius-bff" in url
    assert "token" not in url.lower().replace("token_endpoint", "")


async def test_after_a_password_the_provider_has_no_session_to_end_in_the_browser(
    world: World,
) -> None:
    async with world.signed_in() as browser:
        answer = await browser.post("/auth/logout")

    assert answer.status == 204
    assert "X-Logout-Url" not in answer.headers


async def test_signing_out_ends_the_session_on_the_other_replica_and_its_stream(
    world: World,
) -> None:
    async with (
        world.another_gateway() as other,
        world.signed_in() as browser,
        elsewhere(world, other, browser.cookies) as second,
    ):
        jar = browser.cookies
        here = await open_stream(world, browser)
        there = await open_stream(world, second)

        assert (await browser.post("/auth/logout")).status == 204

        await asyncio.gather(is_cut(here), is_cut(there))
        await until(lambda: world.graph.open_streams == 0, 1)
        await refused_soon(second, jar)
        await refused_soon(browser, jar)


async def test_signing_out_everywhere_ends_every_browser_of_the_person_only(
    world: World,
) -> None:
    async with (
        world.another_gateway() as other,
        world.signed_in() as first,
        world.signed_in() as second,
        world.signed_in("bob@globex.test") as bob,
        elsewhere(world, other, second.cookies) as there,
    ):
        jar = second.cookies
        stream = await open_stream(world, there)
        stays = await open_stream(world, bob)

        answer = await first.post("/auth/logout", json={"everywhere": True})

        assert answer.status == 204
        await is_cut(stream)
        await refused_soon(there, jar)
        await refused_soon(second, jar)
        assert (await bob.get("/whoami")).status == 200
        assert await stays.content.readany()
        stays.close()


async def test_signing_out_here_leaves_the_other_browser_alone(world: World) -> None:
    async with world.signed_in() as first, world.signed_in() as second:
        await first.post("/auth/logout")

        assert (await second.get("/whoami")).status == 200
        assert (await second.post("/auth/refresh")).status == 200


async def test_signing_out_without_the_provider_still_signs_out(world: World) -> None:
    async with world.signed_in() as browser:
        old = browser.cookies

        async def down(request: aiohttp.web.Request) -> aiohttp.web.Response:
            return aiohttp.web.Response(status=503)

        world.provider.intercept = down
        assert (await browser.post("/auth/logout")).status == 204
        assert browser.cookies == {}
        await refused_soon(browser, old)


async def test_signing_out_without_or_with_broken_cookies_is_204(world: World) -> None:
    async with world.browser() as browser:
        assert (await browser.post("/auth/logout")).status == 204
        for jar in (
            {"nx_access": "x", "nx_access.1": "y", "nx_refresh": "z"},
            {"nx_signin.state": "x"},
        ):
            browser.set_cookies(jar)
            assert (await browser.post("/auth/logout")).status == 204
            assert browser.cookies == {}


async def test_no_other_site_signs_anybody_out(world: World) -> None:
    async with world.signed_in() as browser:
        answer = await browser.post(
            "/auth/logout", headers={"Sec-Fetch-Site": "cross-site"}
        )
        assert await code(answer) == (403, "cross_site_refused")
        assert (await browser.get("/whoami")).status == 200


async def test_an_expired_session_is_signed_out_all_the_same(world: World) -> None:
    async with world.signed_in() as browser:
        mine = ticket(world, browser.cookies)
        world.clock.ahead += PAST
        assert (await browser.post("/auth/logout")).status == 204
        assert await world.app[ENDED].is_ended(mine.sid)


async def test_a_browser_that_leaves_while_signing_out_is_signed_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.signed_in() as browser:
        old, hold = browser.cookies, Hold(world)
        store = world.app[STORE]
        began, go = asyncio.Event(), asyncio.Event()
        original = store.end

        async def slow(*args: Any, **kwargs: Any) -> bool:
            began.set()
            await go.wait()
            return await original(*args, **kwargs)

        monkeypatch.setattr(store, "end", slow)
        leaving = asyncio.ensure_future(browser.post("/auth/logout"))
        await began.wait()
        leaving.cancel()
        await asyncio.sleep(0.1)
        go.set()
        hold.go.set()

        await refused_soon(browser, old)


def no_database(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    asked: list[int] = []

    def away(_: Database) -> Any:
        asked.append(1)
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(Database, "_transaction", away)
    return asked


async def test_signing_out_without_a_database_ends_what_can_be_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.signed_in() as browser:
        old = browser.cookies
        stream = await open_stream(world, browser)
        no_database(monkeypatch)

        everywhere = await browser.post("/auth/logout", json={"everywhere": True})
        assert await code(everywhere) == (503, "unavailable")
        assert browser.cookies == old, "to try again with"

        assert (await browser.post("/auth/logout")).status == 204
        assert browser.cookies == {}
        await is_cut(stream)
        browser.set_cookies(old)
        assert await code(await browser.get("/whoami")) == (401, "session_ended")
        assert [one.type for one in world.provider.events][-1] == "LOGOUT"


async def test_without_database_and_listener_nobody_is_signed_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.signed_in() as browser:
        asked = no_database(monkeypatch)
        monkeypatch.setattr(world.app[LISTENER], "hears", False)

        for _ in range(5):
            assert (await browser.get("/graph/threads/x")).status == 200
            assert (await browser.get("/whoami")).status == 200
        assert len(asked) <= 2, "a database that is away is asked once a second"
        assert browser.cookies != {}


async def test_a_replica_that_starts_later_knows_who_has_left(world: World) -> None:
    async with world.signed_in() as browser:
        old = browser.cookies
        await browser.post("/auth/logout")
        async with (
            world.another_gateway() as other,
            world.browser(other) as second,
        ):
            await refused_soon(second, old)
