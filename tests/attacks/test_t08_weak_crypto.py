"""T8: a cookie is opened only as it was sealed, and only while it lasts.

Seen as a failed decryption taken for plain text, CVE-2023-35941 and CVE-2021-32791.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from bff.sessions.cookies import CookieRules, Cookies
from bff.sessions.sealing import KeyRing
from tests.attacks.outside import ask, hostile, set_cookies, unpadded
from tests.attacks.test_t07_cookie_parts import ALICE, who
from tests.bff.auth.redirects import begin, prove
from tests.bff.sessions.tickets import make_pair
from tests.world import World

if TYPE_CHECKING:
    from tests.attacks.outside import Tap
    from tests.databases import Databases

NAVIGATION = ("Sec-Fetch-Mode: navigate", "Accept: text/html")


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


async def test_a_changed_character_anywhere_opens_nothing(world: World) -> None:
    async with world.signed_in(ALICE) as browser:
        jar = browser.cookies
    good = jar["nx_access"]
    places = {*range(24), *range(24, len(good), 11), *range(len(good) - 24, len(good))}
    for place in sorted(places):
        other = "B" if good[place] == "A" else "A"
        changed = good[:place] + other + good[place + 1 :]
        if place and unpadded(changed[1:]) == unpadded(good[1:]):
            continue  # bits of the last character that mean nothing
        assert await who(world, {**jar, "nx_access": changed}) is None, place
    for length in (*range(1, 60), *range(60, len(good), 40), len(good) - 1):
        assert await who(world, {**jar, "nx_access": good[:length]}) is None, length
        assert (
            await who(world, {**jar, "nx_access": f"{good}{good[1:length]}A"}) is None
        )
    assert await who(world, jar) == ALICE


async def test_what_cannot_be_decrypted_is_not_read_as_it_is(world: World) -> None:
    rules = CookieRules(secure=False, host_prefix=False)
    account = world.provider.accounts.find(ALICE)
    assert account is not None
    now = world.clock()
    pair = make_pair(sub=account.id)
    access_ticket = replace(
        pair.access,
        iss=world.issuer,
        access_from=now,
        access_exp=now + 300,
        session_exp=now + 3600,
    )
    pair = replace(pair, access=access_ticket)
    plain = pair.dump()
    access = json.dumps(json.loads(plain)["access"]).encode()
    values = [f"1{encoded(one)}" for one in (access, plain, b"\1" + bytes(12) + access)]
    values += [access.decode(), f"1{access.decode()}", encoded(access)]
    values += [
        f"1{encoded(bytes([key]) + bytes(12) + access + bytes(16))}"
        for key in (0, 1, 2)
    ]
    # Sealed exactly as we do, by somebody who does not have the key.
    for key in (bytes(32), b"\xff" * 32, bytes(range(1, 33)), b"nexius-bff".ljust(32)):
        for number in (1, 2):
            ring = KeyRing([(number, key)])
            (made, *_) = Cookies(ring, rules).set_headers(pair, {}, 0.0)
            values.append(made.partition("=")[2].partition(";")[0])
    for value in values:
        assert await who(world, {"nx_access": value, "nx_refresh": value}) is None, (
            value
        )


@hostile(80)
@given(st.binary(max_size=200), st.sampled_from(["1", "2", "4", ""]))
async def test_no_bytes_open(tap: Tap, sealed: bytes, count: str) -> None:
    for first in (sealed, b"\1" + sealed):
        assert await who(tap.world, {"nx_access": count + encoded(first)}) is None


async def test_no_nonce_comes_twice(world: World) -> None:
    sealed = []
    for _ in range(300):
        answer = await ask(world, "GET /auth/sso", *NAVIGATION)
        (cookie,) = set_cookies(answer)
        sealed.append(unpadded(cookie.partition("=")[2].partition(";")[0]))
    async with world.signed_in(ALICE) as browser:
        for _ in range(10):
            await browser.post("/auth/refresh")
            sealed += [unpadded(one[1:]) for one in browser.cookies.values()]

    nonces = {one[1:13] for one in sealed}
    assert len(nonces) == len(sealed) == 320
    # Random, not counted: every byte of it changes.
    assert all(len({nonce[place] for nonce in nonces}) > 60 for place in range(12))
    assert len({one[13:29] for one in sealed}) == len(sealed)


async def test_a_cookie_for_one_purpose_serves_no_other(world: World) -> None:
    async with world.signed_in(ALICE) as browser:
        device = {one.key: one.value for one in browser.session.cookie_jar}
        back = await prove(browser, await begin(browser))
        jar = browser.cookies
        state = next(one for one in jar if one.startswith("nx_signin"))
        foreign = [one for key, one in device.items() if "device" in key] + [jar[state]]
        assert len(foreign) == 2
        for value in (*foreign, jar["nx_refresh"], jar["nx_refresh"][1:]):
            for sent in (value, f"1{value}"):
                assert await who(world, {"nx_access": sent}) is None
        for value in (jar["nx_access"], jar["nx_access"][1:], jar["nx_refresh"][1:]):
            answer = await ask(world, f"GET {back}", *NAVIGATION, jar={state: value})
            assert answer.status == 400
        good = await ask(world, f"GET {back}", *NAVIGATION, jar={state: jar[state]})
        assert good.status == 303, "it was a real sign-in that the others tried to be"


async def test_what_is_sealed_carries_its_own_end(databases: Databases) -> None:
    """A browser that goes on sending a cookie past its Max-Age gains nothing."""
    world = World(databases, settings={"session": {"lifetime": 500.0}})
    async with world.running(), world.signed_in(ALICE) as browser:
        jar = browser.cookies
        attempt = await begin(browser)
        tries = browser.cookies
        world.clock.ahead += 501
        for line in ("GET /whoami", "GET /graph/threads/x", "POST /auth/refresh"):
            assert (await ask(world, line, jar=jar)).status == 401
        assert world.graph.seen == []
        world.clock.ahead += 100
        # The provider's part is fresh: only our own is too old.
        back = await prove(browser, attempt)
        late = await ask(world, f"GET {back}", *NAVIGATION, jar=tries)
        assert late.status == 400
