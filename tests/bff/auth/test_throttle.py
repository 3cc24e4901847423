"""Password sign-in slows down under failures, on all replicas alike."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from bff.auth.limits import FREE
from bff.auth.throttle import keys_of

if TYPE_CHECKING:
    from tests.world import Browser, World

WRONG = "Wrong-Horse-1"


async def fail(browser: Browser, times: int, email: str = "alice@acme.test") -> None:
    for _ in range(times):
        assert (await browser.login(email, WRONG)).status == 401


async def test_after_five_failures_even_the_right_password_must_wait(
    world: World,
) -> None:
    async with world.browser() as browser:
        await fail(browser, FREE)

        answer = await browser.login("alice@acme.test")

        assert answer.status == 429
        assert (await answer.json())["code"] == "rate_limited"
        assert 1 <= int(answer.headers["Retry-After"]) <= 2
        await asyncio.sleep(2.1)
        assert (await browser.login("alice@acme.test")).status == 200


async def test_a_burst_of_parallel_tries_does_not_outrun_the_count(
    world: World,
) -> None:
    async with world.browser() as browser:
        answers = await asyncio.gather(
            *(browser.login("alice@acme.test", WRONG) for _ in range(20))
        )

        statuses = sorted(answer.status for answer in answers)
        assert statuses == [401] * FREE + [429] * (20 - FREE)
    refused = [event for event in world.provider.events if event.type == "LOGIN_ERROR"]
    assert len(refused) == FREE


async def test_other_replicas_count_along(world: World) -> None:
    async with world.another_gateway() as url:
        async with world.browser() as here:
            await fail(here, FREE)
        async with world.browser(url) as there:
            assert (await there.login("alice@acme.test")).status == 429


async def test_a_success_strikes_the_failures_out(world: World) -> None:
    async with world.browser() as browser:
        await fail(browser, FREE - 1)
        assert (await browser.login("alice@acme.test")).status == 200
        await fail(browser, FREE - 1)
        assert (await browser.login("alice@acme.test")).status == 200


async def test_another_account_is_not_held_up(world: World) -> None:
    async with world.browser() as browser:
        await fail(browser, FREE)

        assert (await browser.login("bob@globex.test")).status == 200


async def test_a_provider_that_is_away_costs_nobody_a_try(world: World) -> None:
    async with world.browser() as browser:
        world.provider.intercept = away
        for _ in range(FREE + 2):
            assert (await browser.login("alice@acme.test")).status == 503
        world.provider.intercept = None

        assert (await browser.login("alice@acme.test")).status == 200


async def test_failures_elsewhere_hold_up_strangers_but_not_the_owners_browser(
    world: World,
) -> None:
    async with world.signed_in() as owner, world.browser() as stranger:
        async with world.databases.superuser() as database:
            await database.execute(
                "INSERT INTO sign_in_failure (pair, account, network) "
                "SELECT sha256(n::text::bytea), $1, sha256(n::text::bytea) "
                "FROM generate_series(1, 25) n",
                account_hash(),
            )

        assert (await stranger.login("alice@acme.test")).status == 429
        assert (await owner.login("alice@acme.test")).status == 200


async def test_single_sign_on_is_always_open(world: World) -> None:
    async with world.browser() as browser:
        await fail(browser, FREE)

        assert (await browser.navigate("/auth/sso")).status == 302


async def test_nothing_readable_is_kept_of_who_failed(world: World) -> None:
    async with world.browser() as browser:
        await fail(browser, 1)
    async with world.databases.superuser() as database:
        rows = await database.fetch("SELECT t::text AS line FROM sign_in_failure t")

    assert len(rows) == 1
    assert "alice" not in rows[0]["line"]


async def away(_: web.Request) -> web.Response:
    return web.Response(status=503)


def account_hash() -> bytes:
    return keys_of("alice@acme.test", None).account
