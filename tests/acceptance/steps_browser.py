"""What the user interface does, and what ends with a sign-out (lines 8 and 9)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from playwright.async_api import expect

from tests.acceptance.plan import Plan
from tests.acceptance.steps_workspace import NAME
from tests.bff.waiting import until
from tests.real.odoo_browser import enter_odoo, is_in
from tests.real.pages import answered, say
from tests.replicas import ticket

if TYPE_CHECKING:
    from tests.acceptance.place import Place

BROWSER = Plan()
CUT_SECONDS = 5.0  # we promise one; a busy machine is no failure
UNDERWAY = '[data-role="ai"][data-streaming="true"]'


@BROWSER.promise("8a", "The header shows the person and their tenant")
async def header(place: Place) -> None:
    shown = place.page.locator("#identity")
    await expect(shown).to_contain_text(place.alice.email)
    await expect(shown).to_contain_text(NAME)


@BROWSER.promise("8b", "Who has one tenant is offered no other")
async def switcher(place: Place) -> None:
    tenants = (await place.alice.asks("GET", "/auth/tenants"))["tenants"]
    assert [one["tenant_id"] for one in tenants] == [place.alices]


@BROWSER.promise("8c", "Events stream with cookies, token by token")
async def streamed(place: Place) -> None:
    await place.page.goto(f"{place.here.url}/")
    await say(place.page, "long 30")
    last = place.page.locator('[data-role="ai"]').last
    await expect(last).to_contain_text("tok2")
    assert await place.page.locator(UNDERWAY).count() == 1, "it came all at once"
    await answered(place.page, "tok29")
    await say(place.page, "whoami")
    await answered(place.page, place.alice.email)


@BROWSER.promise("8d", "No request of the browser carries a token we gave")
async def no_tokens(place: Place) -> None:
    ours = [
        (url, headers)
        for _, url, headers in place.record.requests
        if url.startswith(place.here.url)
    ]
    assert len(ours) > 20
    for url, headers in ours:
        assert "authorization" not in headers, url
        assert "eyJ" not in url
    kept = await place.page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert "eyJ" not in kept
    assert "nx_" not in await place.page.evaluate("document.cookie")


BROWSER.superseded(
    "8e",
    "The Authorization header is on all requests of the browser",
    "the later plan has it the other way round (8d)",
)


@BROWSER.promise("9d", "Single sign-on: the same person is in their own Odoo")
async def single_sign_on(place: Place) -> None:
    info = await place.alice.asks("GET", "/session/odoo_info")
    page = await place.page.context.new_page()
    await enter_odoo(page, info["odoo"]["login_url"])
    await is_in(page, place.alice.email)
    await page.close()


@BROWSER.promise("9e", "A token's end is not noticed: stream and page go on")
async def renewed(place: Place) -> None:
    await place.alice.sign_in()
    before = ticket(place.alice.browser.cookies)
    await asyncio.sleep(max(before.access_exp - time.time(), 0) + 1)
    assert (await place.alice.asks("GET", "/whoami"))["tenant_id"] == place.alices
    made = await place.alice.asks("POST", "/graph/threads", json={})
    assert made["thread_id"]
    after = ticket(place.alice.browser.cookies)
    assert after.gen == before.gen + 1
    assert after.access_exp > before.access_exp
    await say(place.page, "hello again")
    await answered(place.page, "for more")
    assert "/login" not in place.page.url


@BROWSER.promise("9f", "A foreign page can change nothing, and cookies stay with us")
async def foreign(place: Place) -> None:
    headers = {"Origin": "https://elsewhere.test", "Sec-Fetch-Site": "cross-site"}
    status, body = await place.status(
        place.alice, "POST", "/graph/threads", json={}, headers=headers
    )
    assert (status, body["code"]) == (403, "cross_site_refused")
    cookies = await place.page.context.cookies(place.here.url)
    ours = [one for one in cookies if one["name"].startswith("nx_")]
    assert ours
    assert all(one["httpOnly"] for one in ours)
    assert {one["sameSite"] for one in ours} <= {"Lax", "Strict"}


@BROWSER.promise("9g", "Signing out everywhere cuts what streams, on every page")
async def signed_out(place: Place) -> None:
    await place.page.goto(f"{place.here.url}/")
    await say(place.page, "long 600")
    await expect(place.page.locator('[data-role="ai"]').last).to_contain_text("tok1")
    await place.alice.sign_in()
    began = time.monotonic()
    await place.alice.asks("POST", "/auth/logout", json={"everywhere": True})

    async def gone() -> bool:
        return "/login" in place.page.url or (
            await place.page.locator(UNDERWAY).count() == 0
        )

    await until(gone, seconds=CUT_SECONDS)
    assert time.monotonic() - began < CUT_SECONDS
    await place.page.wait_for_url(f"{place.here.url}/login?**")


@BROWSER.promise("8f", "Who is signed out is sent to sign in, and comes back")
async def sent_to_sign_in(place: Place) -> None:
    await place.page.goto(f"{place.here.url}/account")
    await place.page.wait_for_url(f"{place.here.url}/login?**")
    assert "return_to=%2Faccount" in place.page.url or "/account" in place.page.url


@BROWSER.promise("9h", "Signed out, Keycloak asks again before Odoo opens anew")
async def odoo_asks_again(place: Place) -> None:
    await place.page.click("#sso")  # Keycloak knows her: it was not signed out of
    await place.page.wait_for_url(f"{place.here.url}/account")
    await place.page.goto(f"{place.here.url}/")
    await expect(place.page.locator("#identity")).to_contain_text(place.alice.email)
    await place.page.click("#me")
    await place.page.click("#sign-out")
    await place.page.wait_for_url(f"{place.here.url}/login**")
    info = await place.bob.asks("GET", "/session/odoo_info")
    page = await place.page.context.new_page()
    await enter_odoo(page, info["odoo"]["login_url"])
    await expect(page.locator("#kc-login")).to_be_visible()
    await page.close()


BROWSER.superseded(
    "9i",
    "A sign-out at the gateway ends a session that Odoo has begun",
    "Odoo has no single sign-out: decision 147; suspending a tenant ends them all",
)
