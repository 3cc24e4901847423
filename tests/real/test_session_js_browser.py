"""/static/session.js in Chromium, used by a page that somebody else made."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.bff.pages.sites import made, showing
from tests.bff.waiting import until
from tests.real.browser import browser_context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page

    from tests.databases import Databases
    from tests.world import World

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

PAGE = """<!doctype html><title>A UI</title><script type="module">
import * as api from "/static/session.js";
Object.assign(self, api, { heard: [], ticks: [] });
api.onSignedOut((why) => heard.push(why));
self.ready = true;
</script>"""
PATIENCE = 20_000  # milliseconds


@pytest.fixture
async def site(databases: Databases, tmp_path: Path) -> AsyncGenerator[World]:
    root = made(tmp_path / "ui", {"index.html": PAGE, "favicon.ico": ""})
    async with showing(databases, root).running() as world:
        yield world


@asynccontextmanager
async def signed_in(site: World) -> AsyncGenerator[BrowserContext]:
    """Give a Chromium in which Alice is signed in."""
    async with site.signed_in() as alice, browser_context() as context:
        for name, value in alice.cookies.items():
            await context.add_cookies([{"name": name, "value": value, "url": site.url}])
        yield context


async def opened(context: BrowserContext, site: World, *, frozen: bool = False) -> Page:
    page = await context.new_page()
    if frozen:
        await page.clock.install()
    await page.goto(f"{site.url}/deep/page?x=1#part")
    await page.wait_for_function("self.ready", timeout=PATIENCE)
    return page


async def heard(page: Page, *expected: str) -> None:
    async def has() -> bool:
        return bool(await page.evaluate("heard") == list(expected))

    await until(has)


async def test_a_page_learns_who_is_signed_in(site: World) -> None:
    async with signed_in(site) as context:
        page = await opened(context, site)
        found = await page.evaluate("session()")
        assert found["authenticated"]
        assert found["email"] == "alice@acme.test"
        back = "/login?return_to=%2Fdeep%2Fpage%3Fx%3D1%23part"
        assert await page.evaluate("signInUrl()") == back


async def test_signing_out_is_heard_in_every_tab_once(site: World) -> None:
    async with signed_in(site) as context:
        first, second = await opened(context, site), await opened(context, site)
        for page in (first, second):
            await page.evaluate("session()")
        assert await first.evaluate("signOut()") is None
        await heard(first, "here")
        await heard(second, "elsewhere")
        assert not (await second.evaluate("session()"))["authenticated"]
        status = "withSession('/whoami').then((answer) => answer.status)"
        assert await second.evaluate(status) == 401
        await heard(second, "elsewhere")


async def test_a_session_that_ended_elsewhere_is_noticed(site: World) -> None:
    async with signed_in(site) as context, site.signed_in() as phone:
        page = await opened(context, site)
        await page.evaluate("session()")
        await phone.post("/auth/logout", json={"everywhere": True})
        status = "withSession('/whoami').then((answer) => answer.status)"
        assert await page.evaluate(status) == 401
        await heard(page, "ended")


async def test_a_401_is_tried_once_more_after_a_renewal(site: World) -> None:
    """As when another tab has renewed the session just before."""
    async with signed_in(site) as context:
        page = await opened(context, site)
        asked: list[tuple[str, str | None]] = []

        async def once(route: Any) -> None:
            asked.append((route.request.method, route.request.post_data))
            if len(asked) == 1:
                await route.fulfill(status=401, body="{}")
            else:
                await route.continue_()

        await page.route("**/icp/rules", once)
        statuses = await page.evaluate(
            """Promise.all([
              withSession("/icp/rules", { method: "POST", body: "{\\"n\\": 1}",
                headers: { "Content-Type": "application/json" } }),
            ]).then((answers) => answers.map((one) => one.status))"""
        )
        assert statuses == [422]  # the gateway's own answer
        assert asked == [("POST", '{"n": 1}')] * 2
        await heard(page)


async def test_an_outage_signs_nobody_out(site: World) -> None:
    async with signed_in(site) as context:
        page = await opened(context, site)
        await page.evaluate("session()")

        async def away(route: Any) -> None:
            await route.fulfill(status=503, body="{}")

        await page.route("**/auth/*", away)
        for call in ("session()", "renew()", "signOut()"):
            said = await page.evaluate(f"{call}.then(() => '', (e) => e.message)")
            assert "503" in said
        await heard(page)


async def test_the_last_seconds_are_counted_down(site: World) -> None:
    async with signed_in(site) as context:
        page = await opened(context, site, frozen=True)
        found = await page.evaluate("session()")
        await page.evaluate("void countdown((left) => ticks.push(left), { from: 3 })")
        now = await page.evaluate("Date.now() / 1000")
        lasts = found["session_expires_at"] - now
        assert lasts > 60
        # Further than any timer reaches.
        await page.clock.fast_forward(int((lasts - 30) * 1000))
        assert await page.evaluate("ticks") == []
        site.clock.ahead += lasts + 1
        await page.clock.run_for(45_000)
        await heard(page, "ended")
        assert await page.evaluate("ticks") == [3, 2, 1]
