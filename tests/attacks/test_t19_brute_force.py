"""T19: guessing is slow, whatever it is called and wherever it comes from.

Seen as Keycloak CVE-2018-14657 (one-time codes not counted) and Authelia
CVE-2025-24806 (one account counted under two names).
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bff.auth.limits import ACCOUNT, FREE, NETWORK
from bff.dev.provider import otp
from tests.attacks.outside import ask
from tests.world import PASSWORD, TOTP_SECRET, World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

    from tests.databases import Databases
    from tests.world import Browser

WRONG = "Wrong-Horse-1"
ALICE = "alice@acme.test"
# Keycloak locks an account after this many failures: nobody may get it there.
LOCK_OUT = 30
SPELLINGS = (
    ALICE,
    "ALICE@ACME.TEST",
    "Alice@Acme.Test",
    f" {ALICE}",
    f"{ALICE}   ",
    f"\u00a0{ALICE}\u3000",
    "alice@acme.tes\u0054",
    "\u2003aLiCe@aCmE.tEsT\u2003",
)


@asynccontextmanager
async def many_networks(databases: Databases) -> AsyncGenerator[World]:
    """Give a world in which a request says where it comes from."""
    trusting = {"server": {"trusted_proxies": ["127.0.0.0/8"]}}
    async with World(databases, settings=trusting).running() as world:
        yield world


async def login_from(
    browser: Browser, address: str, password: str = WRONG, email: str = ALICE
) -> int:
    answer = await browser.post(
        "/auth/login",
        json={"email": email, "password": password},
        headers={"X-Forwarded-For": address},
    )
    return answer.status


def judged(world: World) -> int:
    """Count the tries that the provider was asked about and refused."""
    return sum(one.type == "LOGIN_ERROR" for one in world.provider.events)


@pytest.mark.parametrize("first", range(0, len(SPELLINGS), 4))
async def test_one_account_is_one_account_however_it_is_spelt(
    world: World, first: int
) -> None:
    ones = SPELLINGS[first:] + SPELLINGS[:first]
    account = world.provider.accounts.find(ALICE)
    for spelling in ones:
        found = world.provider.accounts.find(spelling.strip())
        assert found is account, "the provider takes it for alice's: it must count"
    async with world.browser() as browser:
        for spelling in ones[:FREE]:
            assert (await browser.login(spelling, WRONG)).status == 401
        for spelling in SPELLINGS:
            assert (await browser.login(spelling)).status == 429, spelling
    assert judged(world) == FREE


async def test_a_parallel_burst_cannot_pass_the_cap(world: World) -> None:
    async with (
        world.another_gateway() as url,
        world.browser() as here,
        world.browser(url) as there,
    ):
        answers = await asyncio.gather(
            *(
                browser.login(spelling, WRONG)
                for spelling in SPELLINGS * 3
                for browser in (here, there)
            )
        )
    statuses = [answer.status for answer in answers]
    assert statuses.count(401) == judged(world) == FREE
    assert set(statuses) == {401, 429}


async def test_a_burst_from_everywhere_cannot_pass_the_accounts_cap(
    databases: Databases,
) -> None:
    """A botnet: each address has tries of its own, the account's are one count."""
    async with (
        many_networks(databases) as world,
        world.another_gateway() as url,
        world.browser() as here,
        world.browser(url) as there,
    ):
        statuses = await asyncio.gather(
            *(
                login_from(browser, f"203.0.{number}.7")
                for number in range(30)
                for browser in (here, there)
            )
        )
        assert statuses.count(401) == judged(world) == ACCOUNT.free < LOCK_OUT
        assert set(statuses) == {401, 429}


async def test_a_burst_over_many_accounts_cannot_pass_the_networks_cap(
    databases: Databases,
) -> None:
    """Password spraying: one address, one try for each of many people."""
    async with many_networks(databases) as world, world.browser() as browser:
        statuses = await asyncio.gather(
            *(
                login_from(browser, "203.0.113.7", email=f"p{number}@acme.test")
                for number in range(NETWORK.free + 15)
            )
        )
        assert statuses.count(401) == judged(world) == NETWORK.free
        assert await login_from(browser, "203.0.113.7", PASSWORD, ALICE) == 429
        assert await login_from(browser, "198.51.100.1", PASSWORD, ALICE) == 200


async def test_an_address_cannot_be_made_up(world: World) -> None:
    """Nobody in front is trusted here: what a request says of itself is not heard."""
    async with world.browser() as browser:
        statuses = [
            await login_from(browser, f"198.51.100.{number}") for number in range(8)
        ]
    assert statuses == [401] * FREE + [429] * 3


async def test_one_time_codes_count_like_passwords(world: World) -> None:
    """The password is known; the code is what is guessed."""
    code = otp.code_at(TOTP_SECRET, time.time())
    async with world.browser() as browser:
        seen: set[str] = set()
        for guess in ("000000", None, "", "12345", "abcdef"):
            answer = await browser.login("totp@acme.test", PASSWORD, guess)
            seen.add(said(answer, await answer.json(content_type=None)))
        assert len(seen) == 1, "wrong and missing codes answer alike"
        wrong = await browser.login("nobody@acme.test", WRONG, "000000")
        assert said(wrong, await wrong.json(content_type=None)) in seen

        for guess in ("000000", code, None):
            answer = await browser.login("totp@acme.test", PASSWORD, guess)
            assert answer.status == 429
    assert judged(world) == FREE + 1


def said(answer: aiohttp.ClientResponse, body: dict[str, str]) -> str:
    return json.dumps([answer.status, {**body, "request_id": ""}])


async def test_strangers_lock_no_owner_out(databases: Databases) -> None:
    async with (
        many_networks(databases) as world,
        world.browser() as owner,
        world.browser() as stranger,
    ):
        assert await login_from(owner, "198.51.100.1", PASSWORD) == 200
        for number in range(6):
            for _ in range(FREE):
                await login_from(stranger, f"203.0.113.{number}")
        assert await login_from(stranger, "203.0.113.99", PASSWORD) == 429

        assert await login_from(owner, "198.51.100.1", PASSWORD) == 200, "at home"
        assert await login_from(owner, "192.0.2.9", PASSWORD) == 200, "travelling"
        account = world.provider.accounts.find(ALICE)
        assert account is not None
        assert account.failures < LOCK_OUT
        # The mark of a known browser opens its own account's door only.
        other = await login_from(owner, "203.0.113.0", WRONG, "bob@globex.test")
        assert other == 401
        assert judged(world) <= ACCOUNT.free + 1


async def test_a_mark_that_was_made_up_lifts_no_limit(databases: Databases) -> None:
    async with (
        many_networks(databases) as world,
        world.browser() as owner,
        world.browser() as attacker,
    ):
        assert await login_from(owner, "198.51.100.1", PASSWORD) == 200
        assert await login_from(attacker, "203.0.113.9", PASSWORD, "bob@globex.test")
        marks = [
            cookie.value
            for browser in (attacker, owner)
            for cookie in browser.session.cookie_jar
            if "nx_device" in cookie.key
        ]
        for number in range(ACCOUNT.free):
            await login_from(attacker, f"203.0.113.{100 + number}")
        assert await login_from(attacker, "203.0.113.50", PASSWORD) == 429
        body = json.dumps({"email": ALICE, "password": PASSWORD}).encode()
        bobs, alices = marks
        for mark in (bobs, "", "A" * len(bobs), f"{alices[:-4]}AAAA", alices[:20]):
            jar = {"nx_device": mark}
            lines = ("X-Forwarded-For: 203.0.113.51",)
            refused = await ask(world, "POST /auth/login", *lines, jar=jar, body=body)
            assert refused.status == 429, mark
