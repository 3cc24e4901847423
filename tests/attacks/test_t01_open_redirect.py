"""T1: no address that a stranger makes up leads a browser away from us.

Seen as CVE-2020-5233 (a backslash), CVE-2020-11053 (encoded blanks),
CVE-2021-21291 (suffix of a domain), CVE-2022-23527, CVE-2026-28512 (`user@host`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.attacks.hostile_urls import CORPUS, LEADS, PLACES, leaves, written
from tests.attacks.outside import ask, hostile
from tests.bff.auth.redirects import Try, begin, come_back, prove

if TYPE_CHECKING:
    from tests.world import Browser, World

BLANKS = (
    "/%20/evil.test",
    "/%E3%80%82evil.test",
    "/login%0d%0aLocation:%20//evil.test",
)
NAMES = (
    "redirect_uri",
    "post_logout_redirect_uri",
    "rd",
    "next",
    "login_hint",
    "kc_idp_hint",
    "id_token_hint",
    "acr_values",
    "request_uri",
    "scope",
    "response_type",
    "response_mode",
    "client_id",
)
NAVIGATION = ("Sec-Fetch-Mode: navigate", "Accept: text/html")


async def returned(world: World, browser: Browser, value: str) -> str:
    """Go through a whole sign-in with *value* as its `return_to`."""
    # Beside the jar: aiohttp's client would tidy the address up on its way.
    start = await ask(
        world, f"GET /auth/sso?return_to={written(value)}", *NAVIGATION, jar=None
    )
    assert start.status == 302
    cookie = start.headers["set-cookie"].partition(";")[0]
    back = await prove(browser, Try(start.headers["location"]))
    answer = await ask(world, f"GET {back}", *NAVIGATION, f"Cookie: {cookie}")
    assert answer.status == 303, value
    return answer.headers["location"]


async def test_no_sign_in_ends_elsewhere(world: World) -> None:
    corpus = [one for one in CORPUS if one.endswith(PLACES[::3])]
    assert len(corpus) > 200
    async with world.browser() as browser:
        await come_back(browser, await prove(browser, await begin(browser)))
        for value in corpus:
            location = await returned(world, browser, value)
            assert not leaves(location, world.url), (value, location)


@hostile(30)
@given(
    st.lists(
        st.sampled_from([*LEADS, *PLACES, "/", "\\", "%2f", "..", "\t", "#", "?"])
        | st.text(max_size=4).filter(lambda one: one.isprintable()),
        max_size=6,
    ).map("".join)
)
async def test_no_made_up_address_ends_elsewhere(world: World, value: str) -> None:
    async with world.browser() as browser:
        location = await returned(world, browser, value)
    assert not leaves(location, world.url), (value, location)


async def test_only_return_to_of_the_query_is_believed_and_nothing_else(
    world: World,
) -> None:
    """Whatever else the address or a header says, the way there is the same."""
    query = "&".join(f"{name}={written('https://evil.test/x')}" for name in NAMES)
    plain = await ask(world, "GET /auth/sso", *NAVIGATION)
    for line, headers in (
        (f"GET /auth/sso?{query}", ()),
        ("GET /auth/sso?prompt=none&prompt=consent", ()),
        ("GET /auth/sso", ("Referer: https://evil.test/",)),
        ("GET /auth/sso", ("X-Forwarded-Host: evil.test", "X-Forwarded-Proto: https")),
        ("GET /auth/sso", ("Forwarded: host=evil.test;proto=https",)),
        ("GET /auth/sso", ("X-Original-URL: //evil.test", "X-Host: evil.test")),
    ):
        answer = await ask(world, line, *NAVIGATION, *headers)
        expected, found = (Try(one.headers["location"]) for one in (plain, answer))
        assert found.location.startswith(f"{world.issuer}/protocol/")
        assert found.query.keys() == expected.query.keys()
        assert found.query["redirect_uri"] == f"{world.url}/auth/callback"
        assert found.query["scope"] == expected.query["scope"]
        assert "evil" not in found.location


async def test_signing_out_leads_to_the_provider_and_home_only(world: World) -> None:
    async with world.browser() as browser:
        await come_back(browser, await prove(browser, await begin(browser)))
        query = "&".join(f"{name}={written('//evil.test')}" for name in NAMES)
        answer = await browser.post(
            f"/auth/logout?{query}", headers={"Referer": "https://evil.test/"}
        )

        assert answer.status == 204
        url = answer.headers["X-Logout-Url"]
        assert url.startswith(f"{world.issuer}/protocol/")
        assert Try(url).query["post_logout_redirect_uri"] == f"{world.url}/"
        assert "evil" not in url


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_no_page_sends_a_browser_away(world: World, name: str) -> None:
    """Pages move to our first name or to the sign-in page: by the path they are at."""
    host = f"{name}:{world.url.rpartition(':')[2]}"
    moved = 0
    for value in (*CORPUS[::7], *BLANKS):
        for path in ("", "/onboarding?x=", "/login/", "//login", "/login?"):
            sent = f"{path}{written(value) if '?' in path else in_line(value)}"
            answer = await ask(world, f"GET {sent}", *NAVIGATION, host=host)
            location = answer.headers.get("location", "/")
            assert not leaves(location, world.url), (sent, location)
            assert answer.status in {200, 303, 307, 400, 404, 421}, (sent, answer.raw)
            moved += answer.status in {303, 307}
    assert moved > 50


def in_line(value: str) -> str:
    """Write *value* into a request line as it is, but for what would end the line."""
    return "".join(
        one if one not in " \r\n\x00" else f"%{ord(one):02X}" for one in value
    )
