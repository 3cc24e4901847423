"""The sign-in page in Chromium: with keys only, in its states, with hostile input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from playwright.async_api import expect

from bff.dev.provider.otp import code_at
from tests.real.axe import assert_clean
from tests.real.pages import ALICE, PATIENCE, answer_with, focused, new_page
from tests.world import PASSWORD, TOTP_SECRET, World

if TYPE_CHECKING:
    from playwright.async_api import Page, Route

    from tests.databases import Databases

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

HOSTILE = [
    "//evil.test/",
    "/\\evil.test",
    "javascript:alert(1)",
    "https://evil.test/",
    "/\t/evil.test",
    "data:text/html,<script>alert(1)</script>",
    "/login?return_to=/login",
]


async def fill(page: Page, email: str, password: str, otp: str = "") -> None:
    await page.fill("#email", email)
    await page.fill("#password", password)
    await page.fill("#otp", otp)
    await page.click("#sign-in")


async def test_the_page_is_open_to_everybody_in_all_its_states(world: World) -> None:
    async with new_page() as (page, record):
        await page.goto(f"{world.url}/login")
        await assert_clean(page, "sign-in")
        await fill(page, ALICE, "Wrong-Horse-1")
        await expect(page.locator("#error")).to_contain_text("is not right")
        await assert_clean(page, "sign-in refused")
        assert [one for one in record.complaints if "401" not in one] == []


async def test_somebody_signs_in_with_keys_only(world: World) -> None:
    async with new_page() as (page, _):
        await page.goto(
            f"{world.url}/login?return_to=%2Fonboarding%3Freturn_to%3D%252F"
        )
        await page.keyboard.press("Tab")
        assert await focused(page) == "Skip to sign-in"
        await page.keyboard.press("Enter")
        for wanted in ("sso", "email"):
            await page.keyboard.press("Tab")
            assert await focused(page) == wanted
        await page.keyboard.type(ALICE)
        await page.keyboard.press("Tab")
        await page.keyboard.type("Wrong-Horse-1")
        await page.keyboard.press("Enter")
        await expect(page.locator("#error")).to_contain_text("is not right")
        # Whoever mistyped it types it again at once.
        assert await focused(page) == "password"
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{world.url}/", timeout=PATIENCE)


async def test_a_one_time_code_may_be_written_with_spaces(world: World) -> None:
    async with new_page() as (page, _):
        await page.goto(f"{world.url}/login")
        await fill(page, "totp@acme.test", PASSWORD)
        await expect(page.locator("#error")).to_contain_text("one-time code")
        code = code_at(TOTP_SECRET, world.clock())
        await fill(page, "totp@acme.test", PASSWORD, f" {code[:3]} {code[3:]} ")
        await page.wait_for_url("**/onboarding?return_to=**", timeout=PATIENCE)


async def test_signing_in_ends_on_our_own_origin(world: World) -> None:
    for hostile in HOSTILE:
        # Each in a browser of its own: what the page before still loads would, without
        # its cookies, go to the sign-in page by itself.
        async with new_page() as (page, record):
            await page.goto(f"{world.url}/login?return_to={quote(hostile, safe='')}")
            sso = page.locator("#sso")
            await expect(sso).to_have_attribute("href", "/auth/sso?return_to=%2F")
            await fill(page, ALICE, PASSWORD)
            await page.wait_for_url(lambda url: "/login" not in url, timeout=PATIENCE)
            assert page.url.startswith(f"{world.url}/"), hostile
        asked = [url.split("?")[0] for _, url, _ in record.requests]
        assert not [url for url in asked if "evil" in url]


async def test_an_outage_is_told_and_nothing_typed_is_lost(world: World) -> None:
    async with new_page() as (page, _):
        await page.goto(f"{world.url}/login")
        await page.context.set_offline(True)
        await fill(page, ALICE, PASSWORD)
        await expect(page.locator("#error")).to_contain_text("could not reach")
        assert await page.input_value("#password") == PASSWORD
        await expect(page.locator("#sign-in")).to_have_text("Sign in")
        await page.context.set_offline(False)
        await page.click("#sign-in")
        await page.wait_for_url(lambda url: "/login" not in url, timeout=PATIENCE)


FAILURES: list[tuple[dict[str, Any], str]] = [
    ({"status": 429, "headers": {"Retry-After": "7"}}, "again in 7 seconds"),
    ({"status": 503, "body": "<h1>bad gateway</h1>"}, "not possible right now"),
    ({"status": 500, "json": {"detail": "<img src=x>"}}, "<img src=x>"),
    ({"status": 404, "body": "{}"}, "Use single sign-on"),
]


async def test_what_went_wrong_is_said_in_words(world: World) -> None:
    async with new_page() as (page, _):
        await page.goto(f"{world.url}/login")
        for answer, told in FAILURES:
            await answer_with(page, "/auth/login", **answer)
            await fill(page, ALICE, PASSWORD)
            await expect(page.locator("#error")).to_contain_text(told)
            assert await page.locator("#error img").count() == 0


async def test_a_way_on_at_the_provider_is_a_web_address_or_none(world: World) -> None:
    async with new_page() as (page, _):
        await page.goto(f"{world.url}/login")
        for address, shown in (("javascript:alert(1)", 0), ("https://kc.test/do", 1)):
            body = {"code": "account_action_required", "continue_url": address}
            await answer_with(page, "/auth/login", status=403, json=body)
            await fill(page, ALICE, PASSWORD)
            await expect(page.locator("#error")).to_contain_text("one more step")
            assert await page.locator("#error a").count() == shown


async def test_a_failed_single_sign_on_ends_on_a_page_of_ours(
    databases: Databases,
) -> None:
    async with World(databases).running() as world, new_page() as (page, _):
        hostile = "<script>document.title='owned'</script>"
        query = f"error=x&error_description={quote(hostile)}&state={quote(hostile)}"
        await page.goto(f"{world.url}/auth/callback?{query}")
        await expect(page.locator("h1")).to_have_text("Sign-in failed")
        assert await page.title() == "Sign-in failed · Nexius"
        assert "script" not in await page.inner_text("body")
        await assert_clean(page, "failed single sign-on")
        await page.click("text=Back to sign-in")
        await expect(page.locator("#sign-in-form")).to_be_visible()


async def test_what_is_shown_while_a_ui_is_away_is_open_to_everybody(
    world: World,
) -> None:
    away = [True]

    async def look(route: Route) -> None:
        if route.request.method == "HEAD" and away[0]:
            await route.fulfill(status=502)
        else:
            await route.continue_()

    async with new_page() as (page, _):
        await page.clock.install()
        await page.route("**/unavailable.html", look)
        await page.goto(f"{world.url}/static/unavailable.html")
        await expect(page.locator("h1")).to_contain_text("cannot be reached")
        await assert_clean(page, "unavailable")
        # Whoever reads it is not disturbed until there is somewhere to go.
        await page.evaluate("window.stays = true")
        async with page.expect_response("**/unavailable.html"):
            await page.clock.run_for(10_000)
        assert await page.evaluate("window.stays")
        away[0] = False
        async with page.expect_event("load"):
            await page.clock.run_for(10_000)
        assert await page.evaluate("window.stays") is None
