"""T17: nobody is signed in as somebody else, and nothing planted outlives a sign-in.

Seen as oauth2-proxy CVE-2017-1000069 and mod_auth_openidc's session fixation.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from multidict import CIMultiDict

from bff.origin import Gate, passes
from tests.attacks.outside import ask, set_cookies
from tests.bff.auth.redirects import begin, come_back, prove
from tests.bff.auth.test_callback import is_plain_page, is_stranger
from tests.bff.raw import exchange, head
from tests.world import PASSWORD, World

if TYPE_CHECKING:
    from tests.databases import Databases
    from tests.world import Browser

SITES = (None, "cross-site", "same-site", "none", "", "Same-Origin", "same-origin,x")
ORIGINS = (None, "null", "https://evil.test", "ours0", "sub.ours", "OURS", "ours/")
MODES = (None, "navigate", "no-cors", "cors")
KINDS = ("application/json", "text/plain", "application/x-www-form-urlencoded")


async def test_no_other_site_signs_a_browser_in_by_any_combination(
    world: World,
) -> None:
    """Sign-in and sign-out by every mix of headers that a strange page causes."""
    body = json.dumps({"email": "bob@globex.test", "password": PASSWORD}).encode()
    ours = world.url
    spelt = {
        "ours0": f"{ours}0",
        "sub.ours": ours.replace("//", "//sub."),
        "OURS": ours.upper(),
        "ours/": f"{ours}/",
    }
    tried = 0
    async with world.signed_in() as victim:
        before = world.provider.events.copy()
        for site, origin, mode in itertools.product(SITES, ORIGINS, MODES):
            origin = spelt.get(origin or "", origin)  # noqa: PLW2901 - this world's
            named = {"Sec-Fetch-Site": site, "Origin": origin, "Sec-Fetch-Mode": mode}
            lines = [f"{name}: {one}" for name, one in named.items() if one is not None]
            for path in ("/auth/login", "/auth/logout", "/auth/refresh"):
                kind = KINDS[tried % len(KINDS)]
                jar = "; ".join(f"{name}={one}" for name, one in victim.cookies.items())
                lines_too = [
                    f"Cookie: {jar}",
                    f"Content-Type: {kind}",
                    f"Content-Length: {len(body)}",
                ]
                raw = head(ours, f"POST {path}", *lines, *lines_too) + body
                answer = await exchange(ours, raw)
                assert (answer.status, answer.json["code"]) == (
                    403,
                    "cross_site_refused",
                ), lines
                assert set_cookies(answer) == []
                tried += 1
        assert tried == 3 * 7 * 7 * 4
        assert world.provider.events == before, "nobody was asked about a password"
        assert (await victim.get("/whoami")).status == 200, "nor signed out"


async def test_our_own_page_does_sign_in_or_all_this_proves_nothing(
    world: World,
) -> None:
    body = json.dumps({"email": "bob@globex.test", "password": PASSWORD}).encode()
    answer = await ask(world, "POST /auth/login", body=body)

    assert answer.status == 200
    assert passes("POST", CIMultiDict(), (), Gate.UNSAFE_METHODS) is False


async def test_a_callback_in_another_browser_signs_nobody_in(world: World) -> None:
    """The attacker stops before the callback and gives the victim its address."""
    mixes = itertools.product(SITES, ("navigate", "no-cors", None), ("text/html", "*"))
    async with world.browser() as attacker, world.browser() as victim:
        await begin(victim)  # the victim has a try of its own under way
        back = await prove(attacker, await begin(attacker))
        for site, mode, accept in mixes:
            named = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Accept": accept}
            headers = {name: one for name, one in named.items() if one is not None}
            await is_plain_page(await come_back(victim, back, headers=headers))
        await is_stranger(victim)
        assert "CODE_TO_TOKEN" not in {one.type for one in world.provider.events}

        assert (await come_back(attacker, back)).status == 303, "good where it began"


async def test_a_planted_try_dies(world: World) -> None:
    """Nothing but the very cookie that /auth/sso set opens, and only once."""
    async with world.browser() as attacker, world.browser() as victim:
        mine = await begin(attacker)
        (name,), (value,) = zip(*attacker.cookies.items(), strict=True)
        theirs = await begin(victim)
        real = dict(victim.cookies)
        (right,) = real
        planted = (
            {right: value},  # the attacker's, under the victim's state
            {right: "A" * len(value)},
            {right: f"{real[right][:-4]}AAAA"},
            {right: real[right][: len(value) // 2]},
            {right: real[right] + "AAAA"},
            {right.upper(): real[right]},
            {f"{right}.0": real[right]},
            {"nx_signin": real[right]},
            {"nx_access": real[right]},
            {name: real[right]},
        )
        back = await prove(victim, theirs)
        for jar in planted:
            victim.set_cookies(jar)
            await is_plain_page(await come_back(victim, back))
            await is_stranger(victim)
        assert mine.query["state"] != theirs.query["state"]
        assert "CODE_TO_TOKEN" not in {one.type for one in world.provider.events}

        victim.set_cookies(real)
        assert (await come_back(victim, back)).status == 303
        victim.set_cookies(real)
        await is_plain_page(await come_back(victim, back))


async def test_over_https_no_sister_site_can_plant_a_try(databases: Databases) -> None:
    """`__Host-` is what keeps another host's Set-Cookie out (RFC 6265bis)."""
    https = {"server": {"public_origins": ["https://app.test"]}}
    async with World(databases, settings=https).running() as world:
        world.url, reached = "https://app.test", f"http://{world.config.server.listen}"
        raw = head("http://app.test", "GET /auth/sso", "Sec-Fetch-Mode: navigate")
        begun = await exchange(reached, raw)
        (cookie,) = set_cookies(begun)
        name, _, value = cookie.partition(";")[0].partition("=")

        attributes = {one.strip() for one in cookie.split(";")[1:]}
        assert name.startswith("__Host-nx_signin.")
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= attributes
        assert not [one for one in attributes if one.lower().startswith("domain")]
        state = name.rpartition(".")[2]
        said = urlencode({"state": state, "iss": world.issuer, "error": "x"})
        way = f"GET /auth/callback?{said}"
        bare = f"Cookie: {name.removeprefix('__Host-')}={value}"
        planted = await exchange(reached, head("http://app.test", way, bare))
        own = await exchange(
            reached, head("http://app.test", way, f"Cookie: {name}={value}")
        )
        assert planted.status == own.status == 400
        assert b"another browser" in planted.body
        assert b"cancelled or refused" in own.body


async def sign_in(browser: Browser, way: str) -> None:
    if way == "password":
        assert (await browser.login("bob@globex.test")).status == 200
    else:
        back = await prove(browser, await begin(browser), "bob@globex.test")
        assert (await come_back(browser, back)).status == 303


@pytest.mark.parametrize("way", ["password", "sso"])
async def test_a_session_planted_before_the_sign_in_ends_with_it(
    world: World, way: str
) -> None:
    async with world.signed_in() as attacker, world.browser() as victim:
        planted = attacker.cookies
        victim.set_cookies({**planted, "nx_access.1": "x", "nx_refresh.3": "y"})

        await sign_in(victim, way)

        who = await (await victim.get("/whoami")).json()
        assert who["email"] == "bob@globex.test"
        assert not set(victim.cookies.items()) & set(planted.items())
        left = {name for name in victim.cookies if name.startswith("nx_")}
        assert left == set(planted), "no part of another ticket stays"
        attacker.set_cookies(planted)
        assert (await attacker.get("/whoami")).status == 401, "the planted one is dead"
        assert (await attacker.post("/auth/refresh")).status == 401
        async with world.databases.superuser() as database:
            rows = await database.fetch("SELECT ended_at, end_reason FROM auth_session")
    assert sorted(row["end_reason"] or "" for row in rows) == ["", "signed_in_again"]
