"""A tenant from the organization a person is in, as a real Keycloak says it."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.bff.auth.redirects import begin, come_back
from tests.real import conformance
from tests.real.keycloak_realms import BFF, PASSWORD, secret
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.dev.test_provider_driver import Answer
    from tests.real.conformance import Side
    from tests.real.keycloak import Keycloak
    from tests.world import Browser

ONE, ALL = "openid email profile organization", "openid email profile organization:*"


@dataclass(frozen=True)
class Real:
    """The realm with organizations, and their ids by alias."""

    side: Side
    organizations: dict[str, str]


@pytest.fixture
async def real(keycloak: Keycloak) -> AsyncGenerator[Real]:
    """Give the realm with three more organizations, two named like tenants."""
    async with conformance.running("keycloak-plain", keycloak) as side:
        made = {one: await organization(side, one) for one in ("1001", "1002", "other")}
        yield Real(side, made)
        for number in made.values():
            await side.administrate("DELETE", f"/organizations/{number}")


async def organization(side: Side, alias: str) -> str:
    """Make an organization and return its id."""
    domain = {"name": f"{alias}-{uuid.uuid4().hex[:8]}.test", "verified": True}
    body = {"name": f"Tenant {alias}", "alias": alias, "enabled": True}
    made = await side.administrate(
        "POST", "/organizations", json={**body, "domains": [domain]}
    )
    return made.headers["Location"].rpartition("/")[2]


async def member(real: Real, *aliases: str, **attributes: Any) -> dict[str, Any]:
    """Return a new person who is in these organizations."""
    user = await real.side.somebody(attributes=attributes)
    for alias in aliases:
        number = real.organizations[alias]
        await real.side.administrate(
            "POST", f"/organizations/{number}/members", json=user["id"]
        )
    return user


@asynccontextmanager
async def gateway(
    databases: Databases, real: Real, scope: str = ALL
) -> AsyncGenerator[World]:
    side = real.side
    auth = {"client_secret": secret(BFF), "timeout": 20, "scope": scope}
    settings: dict[str, dict[str, Any]] = {
        "auth": auth,
        "tenancy": {"source": "organization"},
    }
    world = World(databases, settings, real_issuer=side.issuer)
    async with world.running():
        (client,) = (await side.administrate("GET", f"/clients?clientId={BFF}")).json
        callback = f"{world.url}/auth/callback"
        body = {**client, "redirectUris": [*client["redirectUris"], callback]}
        await side.administrate("PUT", f"/clients/{client['id']}", json=body)
        yield world


async def tenant(browser: Browser) -> int | None:
    found = await (await browser.get("/auth/session")).json()
    assert found["authenticated"]
    number: int | None = found["tenant_id"]
    return number


async def prove(real: Real, location: str, user: dict[str, Any]) -> Answer:
    """Fill in the provider's forms; the answer is the way back, or a page more."""
    page = await real.side.ask("GET", location)
    return await real.side.fill_in(page, username=user["email"], password=PASSWORD)


@pytest.mark.parametrize("scope", [ONE, ALL])
async def test_the_one_organization_is_the_tenant_and_stays_it(
    databases: Databases, real: Real, scope: str
) -> None:
    user = await member(real, "1001", tenant_id=["1002"])
    async with gateway(databases, real, scope) as world, world.browser() as browser:
        answer = await browser.login(user["email"], PASSWORD)

        assert answer.status == 200, await answer.text()
        assert await tenant(browser) == 1001, "the attribute does not count"
        assert (await browser.post("/auth/refresh")).status == 200
        assert await tenant(browser) == 1001


@pytest.mark.parametrize("scope", [ONE, ALL])
@pytest.mark.parametrize("aliases", [("1001", "1002"), (), ("other",)], ids=repr)
async def test_several_or_none_leave_it_to_membership(
    databases: Databases, real: Real, scope: str, aliases: tuple[str, ...]
) -> None:
    user = await member(real, *aliases, tenant_id=["1001"])
    async with gateway(databases, real, scope) as world, world.browser() as browser:
        assert (await browser.login(user["email"], PASSWORD)).status == 200
        assert await tenant(browser) is None

        async with databases.superuser() as connection:
            await connection.execute(
                "INSERT INTO tenant_users (tenant_id, iss, sub) VALUES (1002, $1, $2)",
                real.side.issuer,
                user["id"],
            )
        assert (await browser.login(user["email"], PASSWORD)).status == 200
        assert await tenant(browser) == 1002


async def test_an_organization_that_is_no_tenant_does_not_disturb(
    databases: Databases, real: Real
) -> None:
    user = await member(real, "other", "1002")
    async with gateway(databases, real) as world, world.browser() as browser:
        assert (await browser.login(user["email"], PASSWORD)).status == 200
        assert await tenant(browser) == 1002


async def test_an_organization_that_was_left_names_no_tenant(
    databases: Databases, real: Real
) -> None:
    user = await member(real, "1001")
    path = f"/organizations/{real.organizations['1001']}/members/{user['id']}"
    await real.side.administrate("DELETE", path)
    async with gateway(databases, real) as world, world.browser() as browser:
        assert (await browser.login(user["email"], PASSWORD)).status == 200
        assert await tenant(browser) is None


async def test_a_browser_cannot_ask_for_an_organization_that_is_not_its_person_s(
    databases: Databases, real: Real
) -> None:
    user = await member(real, "1001")
    async with gateway(databases, real) as world, world.browser() as browser:
        attempt = await begin(browser)
        asked = attempt.location.replace("organization%3A%2A", "organization%3A1002")
        assert asked != attempt.location
        back = await prove(real, asked, user)
        path = back.headers["Location"].removeprefix(world.url)
        answer = await come_back(browser, path)

        assert answer.status == 303, await answer.text()
        assert await tenant(browser) is None


async def test_the_browser_s_way_gives_the_same_tenant(
    databases: Databases, real: Real
) -> None:
    user = await member(real, "1002")
    async with gateway(databases, real, ONE) as world, world.browser() as browser:
        attempt = await begin(browser)
        back = await prove(real, attempt.location, user)
        path = back.headers["Location"].removeprefix(world.url)
        assert (await come_back(browser, path)).status == 303
        assert await tenant(browser) == 1002


async def test_keycloak_asks_a_person_of_several_which_it_is(
    databases: Databases, real: Real
) -> None:
    """With the plain scope, in the browser; what was chosen there is the tenant."""
    user = await member(real, "1001", "1002")
    async with gateway(databases, real, ONE) as world, world.browser() as browser:
        attempt = await begin(browser)
        page = await real.side.ask("GET", attempt.location)
        page = await real.side.ask(
            "POST", page.action, data={"username": user["email"]}
        )
        assert "kc.org" in page.text, page.text
        page = await real.side.ask("POST", page.action, data={"kc.org": "1002"})
        back = await real.side.fill_in(page, password=PASSWORD)
        assert back.status == 302, back.text
        path = back.headers["Location"].removeprefix(world.url)
        assert (await come_back(browser, path)).status == 303
        assert await tenant(browser) == 1002
        assert (await browser.post("/auth/refresh")).status == 200
        assert await tenant(browser) == 1002


async def test_an_alias_cannot_be_changed(real: Real) -> None:
    """That is why it may name a tenant."""
    path = f"/organizations/{real.organizations['1001']}"
    found = (await real.side.administrate("GET", path)).json
    with pytest.raises(AssertionError, match="Cannot change the alias"):
        await real.side.administrate("PUT", path, json={**found, "alias": "1009"})
