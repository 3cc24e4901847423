"""What a renewal may not do: forget an outage, believe a stranger, outlive the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from bff.auth.signing_in import PROVIDER
from tests.bff.sessions.refreshing import (
    NEAR,
    PAST,
    Hold,
    answering,
    code,
    generation,
    refreshes,
    renewing,
    ticket,
)

if TYPE_CHECKING:
    from tests.databases import Databases


async def test_two_generations_behind_is_refused_and_the_session_lives_on(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        oldest = browser.cookies
        for _ in range(2):
            await browser.post("/auth/refresh")
        newest = browser.cookies
        world.clock.ahead += PAST

        browser.set_cookies(oldest)
        answer = await browser.get("/whoami")
        assert await code(answer) == (401, "session_ended")
        assert "Set-Cookie" not in answer.headers, "newer cookies may be there by now"

        browser.set_cookies(newest)
        assert (await browser.get("/whoami")).status == 200


@pytest.mark.parametrize("reason", ["disabled", "forgotten", "idle", "stale"])
async def test_a_refusal_ends_the_session_and_clears_its_cookies(
    databases: Databases, reason: str
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        old = browser.cookies
        if reason == "disabled":
            world.provider.disable("alice@acme.test")
        elif reason == "forgotten":
            for one in world.provider.sessions:
                world.provider.sessions.forget(one.id)
        elif reason == "idle":
            world.clock.ahead += 3000
        else:
            world.provider.push_not_before()
            world.provider.not_before += 5
        world.clock.ahead += PAST

        answer = await browser.get("/whoami")

        assert await code(answer) == (401, "session_ended")
        assert browser.cookies == {}
        browser.set_cookies(old)
        assert await code(await browser.post("/auth/refresh")) == (401, "session_ended")
        assert refreshes(world) == 1, "an ended session is not asked about again"
        async with world.databases.superuser() as connection:
            row = await connection.fetchrow("SELECT * FROM auth_session")
        assert row is not None
        assert row["ended_at"] is not None
        assert row["end_reason"] == "refresh_refused"
        assert row["successor"] is None


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (500, '{"error":"invalid_grant"}'),
        (502, "<html>CANARY"),
        (503, ""),
        (429, '{"error":"slow_down"}'),
        (401, '{"error":"invalid_client"}'),
        (401, '{"error":"unauthorized_client"}'),
        (200, "<html>CANARY"),
        (200, '{"access_token":"x"}'),
    ],
)
async def test_an_outage_keeps_the_cookies(
    databases: Databases, status: int, text: str
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        before = browser.cookies
        hold = answering(world, status, text)

        answer = await browser.post("/auth/refresh")
        assert await code(answer) == (503, "auth_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert "Set-Cookie" not in answer.headers
        assert hold.asked == 1, "a POST is sent once"

        # An ordinary request goes on with the token that still lives …
        world.clock.ahead += NEAR
        assert (await browser.get("/whoami")).status == 200
        assert (await browser.get("/graph/threads/x")).status == 200
        # … until it does not.
        world.clock.ahead += PAST - NEAR
        assert await code(await browser.get("/whoami")) == (503, "auth_unavailable")
        assert browser.cookies == before

        world.provider.intercept = None
        assert (await browser.get("/whoami")).status == 200
        assert generation(world, browser) == 2


async def test_a_silent_provider_is_given_up_and_the_lease_returned(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        world.app[PROVIDER]._timeout = aiohttp.ClientTimeout(total=0.4)
        hold = Hold(world)

        assert await code(await browser.post("/auth/refresh")) == (
            503,
            "auth_unavailable",
        )
        assert hold.asked == 1
        async with world.databases.superuser() as connection:
            assert await connection.fetchval(
                "SELECT refreshing_by IS NULL AND refreshing_until IS NULL "
                "FROM auth_session"
            )


async def test_a_token_of_another_person_ends_the_session(
    databases: Databases,
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        sign = world.provider.keys.sign
        bob = world.provider.accounts.find("bob@globex.test")
        assert bob is not None
        world.provider.keys.sign = lambda claims, **more: sign(  # type: ignore[method-assign] # another person's
            {**claims, "sub": bob.id}, **more
        )

        assert await code(await browser.post("/auth/refresh")) == (401, "session_ended")
        assert browser.cookies == {}


@pytest.mark.parametrize(
    "change",
    [{"iss": "x"}, {"aud": "account"}, {"azp": "other"}, {"typ": "ID"}, {"exp": 1}],
    ids=str,
)
async def test_a_renewed_token_that_does_not_hold_is_not_used_and_ends_nothing(
    databases: Databases, change: dict[str, object]
) -> None:
    async with renewing(databases) as world, world.signed_in() as browser:
        sign = world.provider.keys.sign
        world.provider.keys.sign = lambda claims, **more: sign(  # type: ignore[method-assign] # a bad token
            {**claims, **change}, **more
        )
        old = browser.cookies

        answer = await browser.post("/auth/refresh")

        # A wrong clock, key or mapper at the provider signs nobody out.
        assert await code(answer) == (503, "auth_unavailable")
        assert browser.cookies == old
        assert (await browser.get("/whoami")).status == 200


async def test_a_session_ends_at_its_absolute_end_whatever_the_provider_grants(
    databases: Databases,
) -> None:
    async with (
        renewing(databases, session={"lifetime": 500.0}) as world,
        world.signed_in() as browser,
    ):
        old = browser.cookies
        end = ticket(world, old).session_exp
        world.clock.ahead += NEAR
        await browser.post("/auth/refresh")
        renewed = ticket(world, browser.cookies)
        assert renewed.session_exp == end
        assert renewed.access_exp <= end

        world.clock.ahead += 500 - NEAR + 1
        for jar in (browser.cookies, old):
            for method, path in (("GET", "/whoami"), ("POST", "/auth/refresh")):
                browser.set_cookies(jar)
                answer = await browser.request(method, path)
                assert await code(answer) == (401, "session_ended")
                assert browser.cookies == {}
        assert refreshes(world) == 1


async def test_tickets_of_two_sessions_do_not_renew_each_other(
    databases: Databases,
) -> None:
    async with (
        renewing(databases) as world,
        world.signed_in() as alice,
        world.signed_in("bob@globex.test") as bob,
    ):
        mine, theirs = alice.cookies, bob.cookies
        alice.set_cookies({**mine, "nx_refresh": theirs["nx_refresh"]})
        assert await code(await alice.post("/auth/refresh")) == (401, "session_ended")
        assert alice.cookies == {}
        alice.set_cookies({"nx_access": mine["nx_access"]})
        assert await code(await alice.post("/auth/refresh")) == (401, "session_ended")
        assert refreshes(world) == 0

        for browser, jar in ((alice, mine), (bob, theirs)):
            browser.set_cookies(jar)
            assert (await browser.post("/auth/refresh")).status == 200
