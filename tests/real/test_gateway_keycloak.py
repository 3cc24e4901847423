"""The gateway in front of a real Keycloak: sign-in, renewal, sign-out."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from bff.dev.provider.otp import code_at
from bff.sessions.browser import COOKIES
from tests.bff.auth.redirects import begin, come_back
from tests.real import conformance
from tests.real.keycloak_realms import BFF, PASSWORD, TOTP_SECRET, secret
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.real.conformance import Side
    from tests.real.keycloak import Keycloak
    from tests.world import Browser


@pytest.fixture(params=["keycloak-plain", "keycloak-rotate"])
async def real(
    request: pytest.FixtureRequest, keycloak: Keycloak
) -> AsyncGenerator[Side]:
    """Give the real provider, seen from the outside."""
    async with conformance.running(request.param, keycloak) as side:
        yield side


@pytest.fixture
async def gateway(databases: Databases, real: Side) -> AsyncGenerator[World]:
    """Run a gateway whose provider it is."""
    settings = {"auth": {"client_secret": secret(BFF), "timeout": 20}}
    world = World(databases, settings, real_issuer=real.issuer)
    async with world.running():
        (client,) = (await real.administrate("GET", f"/clients?clientId={BFF}")).json
        callback = f"{world.url}/auth/callback"
        body = {**client, "redirectUris": [*client["redirectUris"], callback]}
        await real.administrate("PUT", f"/clients/{client['id']}", json=body)
        yield world


async def _events(real: Side, kind: str, user: dict[str, Any]) -> int:
    query = f"/events?type={kind}&user={user['id']}&max=100"
    return len((await real.administrate("GET", query)).json)


async def _whoami(browser: Browser) -> dict[str, Any]:
    answer = await browser.get("/whoami")
    assert answer.status == 200, await answer.text()
    return dict(await answer.json())


async def test_password_signs_in_and_a_wrong_one_does_not(
    gateway: World, real: Side
) -> None:
    user = await real.somebody(attributes={"tenant_id": ["1002"]})
    async with gateway.browser() as browser:
        assert (await browser.login(user["email"], "nope")).status == 401
        assert (await browser.login(user["email"], PASSWORD)).status == 200
        who = await _whoami(browser)

    assert (who["email"], who["tenant_id"]) == (user["email"], 1002)


async def test_one_time_code_signs_in(gateway: World, real: Side) -> None:
    async with gateway.browser() as browser:
        assert (await browser.login("totp@acme.test", PASSWORD)).status == 401
        # Right behind a failure, under load, the good code was refused once.
        await real.tick()
        code = code_at(TOTP_SECRET, time.time())
        answer = await browser.login("totp@acme.test", PASSWORD, code)

    why = await real.administrate("GET", "/events?type=LOGIN_ERROR&max=3")
    assert answer.status == 200, why.text


@pytest.mark.parametrize(
    ("email", "status"), [("disabled@acme.test", 401), ("pending@acme.test", 403)]
)
async def test_people_who_cannot_sign_in(
    gateway: World, email: str, status: int
) -> None:
    async with gateway.browser() as browser:
        assert (await browser.login(email, PASSWORD)).status == status


async def test_browser_sign_in_goes_there_and_back(gateway: World, real: Side) -> None:
    async with gateway.browser() as browser:
        attempt = await begin(browser, return_to="/onboarding")
        page = await real.ask("GET", attempt.location)
        back = await real.fill_in(page, username="alice@acme.test", password=PASSWORD)
        path = back.headers["Location"].removeprefix(gateway.url)
        answer = await come_back(browser, path)
        assert answer.status == 303, await answer.text()
        assert answer.headers["Location"] == "/onboarding"
        who = await _whoami(browser)

    assert (who["email"], who["tenant_id"]) == ("alice@acme.test", 1001)
    assert "admin" in who["roles"]


async def test_twenty_requests_near_the_end_renew_once_a_generation(
    gateway: World, real: Side
) -> None:
    user = await real.somebody(attributes={"tenant_id": ["1001"]})
    async with gateway.signed_in(user["email"]) as browser:
        for generation in (1, 2, 3):
            before = browser.cookies
            gateway.clock.ahead += real.realm.access_ttl - 1
            answers = await asyncio.gather(*(browser.get("/whoami") for _ in range(20)))
            assert Counter(one.status for one in answers) == {200: 20}
            assert browser.cookies != before
            assert await _events(real, "REFRESH_TOKEN", user) == generation
            await real.tick()

    assert await _events(real, "REFRESH_TOKEN_ERROR", user) == 0


async def test_two_replicas_renew_once(gateway: World, real: Side) -> None:
    user = await real.somebody(attributes={"tenant_id": ["1001"]})
    async with (
        gateway.another_gateway() as other,
        gateway.signed_in(user["email"]) as browser,
        gateway.browser(other) as second,
    ):
        second.set_cookies(browser.cookies)
        gateway.clock.ahead += real.realm.access_ttl - 1
        answers = await asyncio.gather(
            *(one.get("/whoami") for _ in range(10) for one in (browser, second))
        )

    assert Counter(one.status for one in answers) == {200: 20}
    assert await _events(real, "REFRESH_TOKEN", user) == 1
    assert await _events(real, "REFRESH_TOKEN_ERROR", user) == 0


async def test_sign_out_ends_the_session_at_keycloak(
    gateway: World, real: Side
) -> None:
    user = await real.somebody(attributes={"tenant_id": ["1001"]})
    sessions = f"/users/{user['id']}/sessions"
    async with gateway.signed_in(user["email"]) as browser:
        assert len((await real.manage("GET", sessions)).json) == 1
        held = gateway.app[COOKIES].open_refresh(browser.cookies)
        assert held is not None
        assert (await browser.post("/auth/logout")).status == 204
        assert (await browser.get("/whoami")).status == 401

    assert (await real.manage("GET", sessions)).json == []
    refused = await real.refresh(held.refresh_token)
    assert refused.refusal == (400, "invalid_grant", "Session not active")


async def test_disabled_person_is_noticed_at_the_next_refresh(
    gateway: World, real: Side
) -> None:
    user = await real.somebody(attributes={"tenant_id": ["1001"]})
    async with gateway.signed_in(user["email"]) as browser:
        await real.enable(user, enabled=False)
        assert (await browser.get("/whoami")).status == 200
        gateway.clock.ahead += real.realm.access_ttl + 1
        assert (await browser.get("/whoami")).status == 401
        assert "nx_access" not in browser.cookies
