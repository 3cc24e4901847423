"""Accounts opened at a real Keycloak, its mails, invitations, and the tenant there."""

from __future__ import annotations

import html
import re
import uuid
from contextlib import asynccontextmanager
from email import message_from_string
from typing import TYPE_CHECKING, Any

import pytest

from bff.sessions.browser import COOKIES
from bff.telemetry import METRICS
from tests.bff.auth.redirects import begin, come_back
from tests.bff.members.inviting import TENANT, invited, made_admin, redeem
from tests.bff.sessions.refreshing import code
from tests.bff.waiting import until
from tests.dev.test_provider_driver import claims
from tests.real import conformance
from tests.real.keycloak_realms import BFF, PASSWORD, PROVISIONER, secret
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

    from tests.databases import Databases
    from tests.dev.test_provider_driver import Answer
    from tests.real.conformance import Side
    from tests.real.keycloak import Keycloak
    from tests.world import Browser

OTHER_PASSWORD = "Another-Horse-2"


@pytest.fixture
async def real(keycloak: Keycloak) -> AsyncGenerator[Side]:
    """Give the realm that sends mail, seen from the outside."""
    async with conformance.running("keycloak-plain", keycloak) as side:
        yield side


@asynccontextmanager
async def gateway(databases: Databases, real: Side, mode: str) -> AsyncGenerator[World]:
    """Run a gateway whose provider it is, and who may open accounts there."""
    settings: dict[str, dict[str, Any]] = {
        "auth": {
            "client_secret": secret(BFF),
            "timeout": 20,
            "provisioner_client_id": PROVISIONER,
            "provisioner_client_secret": secret(PROVISIONER),
        },
        "register": {"mode": mode},
    }
    world = World(databases, settings, real_issuer=real.issuer)
    async with world.running():
        (client,) = (await real.administrate("GET", f"/clients?clientId={BFF}")).json
        callback = f"{world.url}/auth/callback"
        body = {**client, "redirectUris": [*client["redirectUris"], callback]}
        await real.administrate("PUT", f"/clients/{client['id']}", json=body)
        yield world


def address() -> str:
    return f"user-{uuid.uuid4().hex[:12]}@new.test"


async def register(browser: Browser, email: str, **more: str) -> tuple[int, Any]:
    names = {"first_name": "Nora", "last_name": "New"}
    answer = await browser.post(
        "/auth/register", json={"email": email, **names, **more}
    )
    return answer.status, await answer.json()


async def done(world: World, outcome: str) -> None:
    registry = world.app[METRICS].registry

    async def look() -> bool:
        labels = {"outcome": outcome}
        return bool(registry.get_sample_value("bff_registrations_total", labels))

    await until(look, seconds=60)


def mails_to(keycloak: Keycloak, email: str) -> list[str]:
    return [
        text
        for text in keycloak.mails.received
        if message_from_string(text)["To"] == email
    ]


async def mailed_link(keycloak: Keycloak, email: str) -> str:
    """Return the link in the one mail that *email* has got."""

    async def look() -> list[str]:
        return mails_to(keycloak, email)

    (text,) = await until(look, seconds=30)
    for part in message_from_string(text).walk():
        if part.get_content_type() == "text/plain":
            body = part.get_payload(decode=True)
            assert isinstance(body, bytes)
            found = re.search(r"http://\S+/action-token\S+", body.decode())
            assert found, body
            return found[0]
    raise AssertionError(text)


async def follow(real: Side, link: str, **fields: str) -> Answer:
    """Open the link of a mail, go on, and fill in the forms that come."""
    page = await real.ask("GET", link)
    page = await _to_the_end(real, page)
    onward = re.search(r'href="([^"]*/action-token[^"]*)"', page.text)
    assert onward, page.text
    page = await real.ask("GET", html.unescape(onward[1]))
    page = await _to_the_end(real, page)
    if fields:
        page = await _to_the_end(real, await real.fill_in(page, **fields))
    assert page.status == 200, page.text
    return page


async def _to_the_end(real: Side, page: Answer) -> Answer:
    while page.status in {302, 303}:
        page = await real.ask("GET", page.headers["Location"])
    return page


async def user_of(real: Side, email: str) -> dict[str, Any]:
    query = {"email": email, "exact": "true"}
    (found,) = (await real.manage("GET", "/users", params=query)).json
    return dict((await real.manage("GET", f"/users/{found['id']}")).json)


async def who(browser: Browser) -> dict[str, Any]:
    answer: aiohttp.ClientResponse = await browser.get("/whoami")
    assert answer.status == 200, await answer.text()
    return dict(await answer.json())


async def test_a_registered_person_follows_the_mail_and_signs_in(
    databases: Databases, real: Side, keycloak: Keycloak
) -> None:
    email = address()
    async with gateway(databases, real, "admin_api") as world, world.browser() as one:
        accepted = (202, {"requires_verification": True})
        assert await register(one, email, password=PASSWORD) == accepted
        await done(world, "created")
        made = await user_of(real, email)
        assert (made["firstName"], made["lastName"]) == ("Nora", "New")
        assert made["emailVerified"] is False
        assert set(made["requiredActions"]) == {"VERIFY_EMAIL", "UPDATE_PASSWORD"}
        # As if nothing had happened.
        refused = (401, "invalid_credentials")
        assert await code(await one.login(email, PASSWORD)) == refused

        chosen = {"password-new": OTHER_PASSWORD, "password-confirm": OTHER_PASSWORD}
        await follow(real, await mailed_link(keycloak, email), **chosen)

        assert await code(await one.login(email, PASSWORD)) == refused
        await real.tick()
        world.clock.ahead += 60  # both failures are forgiven
        assert (await one.login(email, OTHER_PASSWORD)).status == 200
        assert (await who(one))["email"] == email
        after = await user_of(real, email)
        assert (after["emailVerified"], after["requiredActions"]) == (True, [])


async def test_whoever_has_left_halfway_is_mailed_again(
    databases: Databases, real: Side, keycloak: Keycloak
) -> None:
    email = address().replace("@", "+new@")
    async with gateway(databases, real, "admin_api") as world, world.browser() as one:
        assert (await register(one, email))[0] == 202
        await done(world, "created")
        # The link is opened, which proves the address; no password is chosen.
        await follow(real, await mailed_link(keycloak, email))
        keycloak.mails.received.clear()

        assert (await register(one, email))[0] == 202
        await done(world, "mailed_again")
        chosen = {"password-new": PASSWORD, "password-confirm": PASSWORD}
        await follow(real, await mailed_link(keycloak, email), **chosen)
        assert (await one.login(email, PASSWORD)).status == 200

        # Somebody uses it now.
        assert (await register(one, email))[0] == 202
        await done(world, "exists")
        assert len(mails_to(keycloak, email)) == 1


@pytest.mark.parametrize("enabled", [True, False])
async def test_an_existing_account_keeps_its_password_and_attributes(
    databases: Databases,
    real: Side,
    keycloak: Keycloak,
    enabled: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    user = await real.somebody(
        firstName="Olga", lastName="Old", attributes={"tenant_id": ["1001"]}
    )
    await real.enable(user, enabled=enabled)
    before = await user_of(real, user["email"])
    async with gateway(databases, real, "admin_api") as world, world.browser() as one:
        known = await register(one, user["email"].upper(), password=OTHER_PASSWORD)
        fresh = await register(one, address(), password=OTHER_PASSWORD)
        assert known == fresh
        await done(world, "exists")
        await done(world, "created")

        assert await user_of(real, user["email"]) == before
        assert mails_to(keycloak, user["email"]) == []
        await real.enable(user, enabled=True)
        assert (await one.login(user["email"], PASSWORD)).status == 200
        await real.tick()
        assert (await one.login(user["email"], OTHER_PASSWORD)).status == 401


async def test_self_service_and_an_invitation(databases: Databases, real: Side) -> None:
    email = address()
    async with (
        gateway(databases, real, "self_service") as world,
        world.browser() as alice,
        world.browser() as nora,
    ):
        assert (await alice.login("alice@acme.test", PASSWORD)).status == 200
        await made_admin(world)
        token = await invited(alice, roles=["ops"])
        answer = await nora.post("/auth/register", json={"email": email})
        where = (await answer.json())["registration_url"]
        assert where == "/auth/sso?prompt=create"

        attempt = await begin(nora, prompt="create", return_to="/invite")
        page = await _to_the_end(real, await real.ask("GET", attempt.location))
        assert "kc-register-form" in page.text
        back = await real.fill_in(
            page,
            email=email,
            firstName="Nora",
            lastName="New",
            password=PASSWORD,
            **{"password-confirm": PASSWORD},
        )
        path = back.headers["Location"].removeprefix(world.url)
        assert (await come_back(nora, path)).headers["Location"] == "/invite"
        assert (await who(nora))["tenant_id"] is None
        joined = await redeem(nora, token)
        assert joined.status == 200, await joined.text()

        mine = await who(nora)
        assert (mine["email"], mine["tenant_id"]) == (email, TENANT)
        assert mine["roles"] == ["viewer", "ops"]
        # The tokens moved with the session.
        assert (await nora.post("/auth/refresh")).status == 200
        assert (await who(nora))["tenant_id"] == TENANT


async def test_an_address_proven_meanwhile_counts_for_an_invitation(
    databases: Databases, real: Side
) -> None:
    user = await real.somebody(emailVerified=False)
    async with (
        gateway(databases, real, "self_service") as world,
        world.browser() as alice,
        world.browser() as browser,
    ):
        assert (await alice.login("alice@acme.test", PASSWORD)).status == 200
        assert (await browser.login(user["email"], PASSWORD)).status == 200
        token = await invited(alice, email=user["email"])
        refused = (403, "invite_for_another")
        assert await code(await redeem(browser, token)) == refused

        path = f"/users/{user['id']}"
        await real.manage("PUT", path, json={**user, "emailVerified": True})
        await real.tick()
        assert (await redeem(browser, token)).status == 200


async def test_a_founder_s_account_comes_to_name_the_tenant(
    databases: Databases, real: Side
) -> None:
    user = await real.somebody(firstName="Fay", lastName="Founder")
    async with (
        gateway(databases, real, "self_service") as world,
        world.browser() as browser,
    ):
        assert (await browser.login(user["email"], PASSWORD)).status == 200
        answer = await browser.post("/onboarding/first_login")
        tenant_id = (await answer.json())["tenant_id"]

        async def written() -> dict[str, Any] | None:
            found = await user_of(real, user["email"])
            return found if "attributes" in found else None

        after = await until(written, seconds=60)
        assert after == {**user, "attributes": {"tenant_id": [str(tenant_id)]}}
        assert (await browser.post("/auth/refresh")).status == 200
        ticket = world.app[COOKIES].open_access(browser.cookies)
        assert ticket is not None
        assert claims(ticket.access_token)["tenant_id"] == str(tenant_id)
        # Nor has the password gone.
        assert (await browser.login(user["email"], PASSWORD)).status == 200
        assert (await who(browser))["tenant_id"] == tenant_id
