"""Signing in at the provider, there and back, and every way it can go wrong."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from yarl import URL

from tests.bff.auth.redirects import Try, begin, come_back, prove, query_of
from tests.bff.auth.test_return_to import HOSTILE

if TYPE_CHECKING:
    import pytest

    from tests.world import World


async def test_a_sign_in_goes_there_and_back(world: World) -> None:
    async with world.browser() as browser:
        attempt = await begin(browser, return_to="/onboarding?step=2")
        answer = await come_back(browser, await prove(browser, attempt))

        assert answer.status == 303
        assert answer.headers["Location"] == "/onboarding?step=2"
        assert answer.headers["Cache-Control"] == "no-store"
        ours = {name for name in browser.cookies if name.startswith("nx_")}
        assert ours == {"nx_access", "nx_refresh"}
        who = await (await browser.get("/whoami")).json()
        assert (who["email"], who["tenant_id"]) == ("alice@acme.test", 1001)


async def test_each_try_has_fresh_values_and_asks_for_what_it_must(
    world: World,
) -> None:
    async with world.browser() as browser:
        tries = [(await begin(browser)).query for _ in range(4)]

    for name in ("state", "nonce", "code_challenge"):
        assert len({one[name] for one in tries}) == 4
        assert all(len(one[name]) >= 43 for one in tries)
    one = tries[0]
    assert one["response_type"] == "code"
    assert one["code_challenge_method"] == "S256"
    assert one["client_id"] == "nexius-bff"
    assert one["redirect_uri"] == f"{world.url}/auth/callback"
    assert "openid" in one["scope"].split()
    assert not set(one) & {"prompt", "code_verifier", "client_secret"}


async def test_the_cookie_of_a_try_is_short_and_closed(world: World) -> None:
    async with world.browser() as browser:
        answer = await browser.navigate("/auth/sso")

        (header,) = answer.headers.getall("Set-Cookie")
        name, _, rest = header.partition("=")
        assert name == "nx_signin." + query_of(answer.headers["Location"])["state"]
        assert rest.split("; ")[1:] == [
            "Path=/",
            "Max-Age=600",
            "HttpOnly",
            "SameSite=Lax",
        ]
        assert answer.headers["Cache-Control"] == "no-store"


async def test_several_tabs_sign_in_at_once(world: World) -> None:
    async with world.browser() as browser:
        tries = [await begin(browser, return_to=f"/tab/{one}") for one in range(3)]
        backs = [await prove(browser, one) for one in tries]

        for number in (2, 0, 1):
            answer = await come_back(browser, backs[number])
            assert answer.headers["Location"] == f"/tab/{number}"
        assert (await browser.get("/whoami")).status == 200
        assert not [one for one in browser.cookies if one.startswith("nx_signin")]


async def test_at_most_five_tries_live_and_the_oldest_goes_first(world: World) -> None:
    async with world.browser() as browser:
        states = []
        for _ in range(8):
            states.append((await begin(browser)).query["state"])
            world.clock.ahead += 1
        kept = {one for one in browser.cookies if one.startswith("nx_signin")}

    assert kept == {f"nx_signin.{state}" for state in states[-5:]}


async def test_only_allowed_prompts_are_passed_on(world: World) -> None:
    async with world.browser() as browser:
        for prompt in ("login", "create"):
            assert (await begin(browser, prompt=prompt)).query["prompt"] == prompt
        for prompt in ("none", "consent", "login create", "LOGIN", "", "x&a=b"):
            assert "prompt" not in (await begin(browser, prompt=prompt)).query


async def test_no_hostile_return_address_leaves_the_origin(world: World) -> None:
    async with world.browser() as browser:
        await come_back(browser, await prove(browser, await begin(browser)))
        for value in HOSTILE:
            if value.isascii() or value.isprintable():
                attempt = await begin(browser, return_to=value)
            else:
                sent = urlencode({"return_to": value.encode("utf-8", "surrogatepass")})
                url = f"{world.url}/auth/sso?{sent}"
                raw = await browser.session.get(
                    URL(url, encoded=True), allow_redirects=False
                )
                assert raw.status == 302
                attempt = Try(raw.headers["Location"])
            home = await come_back(browser, await prove(browser, attempt))
            assert home.headers["Location"] == "/", value


async def test_a_navigation_by_another_name_moves_to_the_first_one(
    world: World,
) -> None:
    port = world.url.rpartition(":")[2]
    other = f"127.0.0.1:{port}"
    async with world.browser() as browser:
        for path in ("/auth/sso?return_to=/x&prompt=login", "/login?return_to=/x"):
            answer = await browser.navigate(path, headers={"Host": other})
            assert answer.status == 307
            assert answer.headers["Location"] == world.url + path
            assert "Set-Cookie" not in answer.headers
            kept = await browser.navigate(path)
            assert kept.status in {200, 302}


async def test_nothing_of_a_sign_in_reaches_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with world.browser() as browser:
        attempt = await begin(browser)
        said = query_of(back := await prove(browser, attempt))
        await asyncio.gather(*(come_back(browser, back) for _ in range(2)))
        secrets = [said["code"], said["state"], attempt.query["nonce"]]
        secrets += browser.cookies.values()

    ours = "\n".join(
        one.getMessage() + str(getattr(one, "fields", ""))
        for one in caplog.records
        if one.name.startswith(("bff", "aiohttp.access"))
    )
    assert "/auth/callback" in ours
    assert not [one for one in secrets if one in ours]
