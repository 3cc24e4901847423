"""From the first sign-in to a working Odoo, everything real, driven in Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.real.browser import picture
from tests.real.odoo_browser import (
    enter_odoo,
    fetched,
    found,
    is_in,
    is_refused,
    page_of_somebody,
    password_is_refused,
    register,
    sign_in,
)
from tests.real.odoo_estate import estate
from tests.real.own_realm import own_realm

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.databases import Databases
    from tests.real.keycloak import Keycloak
    from tests.real.odoo import Odoo
    from tests.real.odoo_estate import Estate

pytestmark = [pytest.mark.real, pytest.mark.acceptance]


@pytest.fixture
async def here(
    keycloak: Keycloak, real_odoo: Odoo, databases: Databases, tmp_path: Path
) -> AsyncGenerator[Estate]:
    """Give each tenant's Odoo a host of its own, as in production."""
    with real_odoo.another(dbfilter="^%d$") as odoo:
        async with (
            own_realm(keycloak, rotate=False) as realm,
            estate(realm, databases, odoo, tmp_path, by_host=True) as running,
        ):
            yield running


async def test_who_registers_is_in_their_own_odoo_without_a_password(
    here: Estate,
) -> None:
    async with page_of_somebody() as page:
        email = await register(page, here.url)
        await found(page, "Acme Pte. Ltd.")
        who = await fetched(page, "/session/odoo_info")
        odoo, tenant = who["odoo"], who["tenant_id"]
        assert (odoo["exists"], odoo["ready"], odoo["error"]) == (True, True, None)
        assert odoo["db_name"] == here.name(tenant)
        assert urlsplit(odoo["login_url"]).hostname == f"{here.name(tenant)}.localhost"

        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await enter_odoo(page, odoo["login_url"])
        await is_in(page, email)
        await picture(page, "odoo-founder")

    # The tenant's own client, by code and PKCE.
    (sent,) = [url for url in asked if "/protocol/openid-connect/auth?" in url]
    for part in (
        f"client_id={here.name(tenant)}",
        "response_type=code",
        "code_challenge_method=S256",
    ):
        assert part in sent
    client = await here.realm.administrate(
        "GET", f"/clients?clientId={here.name(tenant)}"
    )
    (client,) = client.json
    callback = f"{odoo['base_url']}/auth_oauth/signin"
    assert client["redirectUris"] == [callback]


async def test_strangers_stay_outside(here: Estate) -> None:
    async with here.somebody() as alice, here.somebody() as bob:
        tenants = [await one.founds() for one in (alice, bob)]
        for one in (alice, bob):
            assert (await one.reached("ready", "error"))["status"] == "ready"
        logins = [
            (await one.asks("GET", "/session/odoo_info"))["odoo"]["login_url"]
            for one in (alice, bob)
        ]
        users = [await _users(here, tenant) for tenant in tenants]
        stranger = await here.realm.side.somebody()

        # Of the realm, and nobody's user: at the gateway a person like any other.
        async with page_of_somebody() as page:
            await sign_in(page, here.url, stranger["email"])
            await enter_odoo(page, logins[0])
            await is_refused(page)
        # Of another tenant, where they are in.
        async with page_of_somebody() as page:
            await sign_in(page, here.url, bob.email)
            await enter_odoo(page, logins[1])
            await is_in(page, bob.email)
            await enter_odoo(page, logins[0])
            await is_refused(page)
            for login in ("admin", alice.email):
                await password_is_refused(page, logins[0], login)

    assert [await _users(here, tenant) for tenant in tenants] == users


async def _users(here: Estate, tenant: int) -> list[str]:
    """Return who has an account in a tenant's Odoo, portal users included."""
    database = here.odoo.place.superuser(here.name(tenant))
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch("SELECT login FROM res_users ORDER BY id")
    finally:
        await connection.close()
    return [row["login"] for row in rows]
