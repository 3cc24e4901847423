"""Keycloak is slow, broken or gone: nobody is signed out, and all recovers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bff.current_session import REFRESHER
from tests.bff.waiting import until
from tests.real.keycloak_realms import BFF, PASSWORD, secret
from tests.real.own_realm import OwnRealm, own_realm
from tests.real.relay import Hold, Relay, failing, half, reset
from tests.replicas import open_stream, ticket, time_to_break
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

    from tests.databases import Databases
    from tests.real.keycloak import Keycloak
    from tests.world import Browser

# Of the realm's sixty seconds.
NEAR, PAST = 50.0, 61.0
pytestmark = pytest.mark.acceptance
PATHS = ("/whoami", "/graph/threads/x")
TIMEOUT = 3.0


@asynccontextmanager
async def gateway(
    databases: Databases, realm: OwnRealm, ahead: float = 0.0
) -> AsyncGenerator[World]:
    """Run a gateway whose provider is the relay, its clock *ahead* seconds wrong."""
    settings: dict[str, dict[str, Any]] = {
        "auth": {"client_secret": secret(BFF), "timeout": TIMEOUT}
    }
    world = World(databases, settings, real_issuer=realm.issuer)
    world.clock.ahead = ahead
    async with world.running():
        # Browsers are told sooner than in production.
        world.app[REFRESHER]._patience = 1.0
        yield world


@asynccontextmanager
async def signed_in(world: World, realm: OwnRealm) -> AsyncGenerator[Browser]:
    user = await realm.person()
    async with world.browser() as browser:
        answer = await browser.login(user["email"], PASSWORD)
        assert answer.status == 200, await answer.text()
        yield browser


async def unavailable(answer: aiohttp.ClientResponse) -> None:
    assert answer.status == 503, await answer.text()
    assert (await answer.json(content_type=None))["code"] == "auth_unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert "Set-Cookie" not in answer.headers


async def broken(relay: Relay) -> None:
    relay.before = failing(503)


async def gone(relay: Relay) -> None:
    await relay.down()


async def cut_off(relay: Relay) -> None:
    relay.before = reset


async def well(relay: Relay) -> None:
    relay.before = relay.after = None
    await relay.down()
    await relay.up()


@pytest.mark.parametrize("rotate", [False, True], ids=["plain", "rotate"])
async def test_a_keycloak_in_trouble_signs_nobody_out(
    keycloak: Keycloak, databases: Databases, *, rotate: bool
) -> None:
    async with (
        own_realm(keycloak, rotate=rotate) as realm,
        gateway(databases, realm) as world,
        signed_in(world, realm) as browser,
    ):
        for generation, fault in enumerate((broken, gone, cut_off), 2):
            jar = browser.cookies
            await fault(realm.relay)

            await unavailable(await browser.post("/auth/refresh"))
            world.clock.ahead += NEAR
            for path in PATHS:
                answer = await browser.get(path)
                assert answer.status == 200
                assert "Set-Cookie" not in answer.headers
            world.clock.ahead += PAST - NEAR
            for path in PATHS:
                await unavailable(await browser.get(path))
            assert browser.cookies == jar

            await well(realm.relay)
            assert (await browser.get("/whoami")).status == 200
            assert ticket(browser.cookies).gen == generation

        assert realm.relay.accepted == 3
        assert await realm.refusals() == 0


@pytest.mark.parametrize("rotate", [False, True], ids=["plain", "rotate"])
async def test_an_answer_that_comes_after_the_timeout_counts(
    keycloak: Keycloak, databases: Databases, *, rotate: bool
) -> None:
    async with (
        own_realm(keycloak, rotate=rotate) as realm,
        gateway(databases, realm) as world,
        signed_in(world, realm) as browser,
    ):
        jar = browser.cookies
        realm.relay.after = hold = Hold()
        world.clock.ahead += NEAR
        assert (await browser.get("/whoami")).status == 200
        await hold.came.wait()
        assert browser.cookies == jar
        world.clock.ahead += PAST - NEAR
        await unavailable(await browser.get("/whoami"))
        await asyncio.sleep(TIMEOUT + 0.5)  # longer than any other call may take
        await unavailable(await browser.get("/whoami"))
        assert browser.cookies == jar
        realm.relay.after = None
        hold.go.set()

        async def recovered() -> bool:
            answer = await browser.get("/whoami")
            assert answer.status in {200, 503}
            return answer.status == 200

        await until(recovered)
        assert ticket(browser.cookies).gen == 2
        assert realm.relay.asked == realm.relay.accepted == 1
        assert await realm.refusals() == 0


@pytest.mark.parametrize("rotate", [False, True], ids=["plain", "rotate"])
async def test_an_answer_that_is_lost_costs_a_session_only_where_tokens_rotate(
    keycloak: Keycloak, databases: Databases, *, rotate: bool
) -> None:
    """Nobody can know the tokens that were in it: the next refusal is the truth."""
    async with (
        own_realm(keycloak, rotate=rotate) as realm,
        gateway(databases, realm) as world,
        signed_in(world, realm) as browser,
    ):
        realm.relay.after = half
        world.clock.ahead += PAST
        await unavailable(await browser.get("/whoami"))
        assert browser.cookies != {}
        realm.relay.after = None

        answer = await browser.get("/whoami")

        assert answer.status == (401 if rotate else 200)
        assert (browser.cookies == {}) == rotate
        assert await realm.refusals() == rotate


@pytest.mark.parametrize("ahead", [-120.0, 120.0])
async def test_a_clock_that_is_two_minutes_wrong_keeps_everybody_signed_in(
    keycloak: Keycloak, databases: Databases, ahead: float
) -> None:
    async with (
        own_realm(keycloak, rotate=True) as realm,
        gateway(databases, realm, ahead) as world,
        signed_in(world, realm) as browser,
    ):
        await realm.tell_of_logouts(f"{world.url}/auth/backchannel-logout")
        for generation in (2, 3):
            assert (await browser.get("/whoami")).status == 200
            assert (await browser.get("/graph/threads/x")).status == 200
            await realm.side.tick()
            assert (await browser.post("/auth/refresh")).status == 200
            assert ticket(browser.cookies).gen == generation
        breaking = asyncio.ensure_future(time_to_break(await open_stream(browser)))
        (login,) = (await realm.administrate("GET", "/events?type=LOGIN")).json

        # The logout token is of another clock as well.
        await realm.end_sessions({"id": login["userId"]})

        await asyncio.wait_for(breaking, 5)
        assert (await browser.get("/whoami")).status == 401
        assert await realm.refusals() == 0
