"""From a first sign-in to a workspace with an Odoo (lines 2, 5 and 6)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from playwright.async_api import expect

from tests.acceptance.plan import Plan
from tests.real.odoo_browser import found, sign_in

if TYPE_CHECKING:
    from tests.acceptance.place import Place

WORKSPACE = Plan()
NAME = "Acme Pte. Ltd."
# Twice what the plan allows: a busy machine is no failure.
FIRST_LOGIN_SECONDS = 120.0


@WORKSPACE.promise("5a", "The pages lead from a first sign-in to the conversation")
async def in_the_browser(place: Place) -> None:
    await sign_in(place.page, place.here.url, place.alice.email)
    began = time.monotonic()
    await found(place.page, NAME)
    place.tenants["alice"] = await _is_ready(place, "alice", began)
    await expect(place.page.locator("#composer")).to_be_visible()


@WORKSPACE.promise("5b", "first_login goes on until the tenant is ready")
async def by_requests(place: Place) -> None:
    began = time.monotonic()
    path = "/onboarding/first_login"
    status, body = await place.status(place.bob, "POST", path, json={})
    assert status == 202, body
    assert body["status"] not in {"ready", "error"}
    document = await place.bob.reached("ready", "error")
    assert document["status"] == "ready", (document, place.here.complaints())
    place.tenants["bob"] = await _is_ready(place, "bob", began)
    assert place.alices != place.bobs


WORKSPACE.superseded(
    "5c",
    "A seeding error is recorded, and the tenant is ready all the same",
    "a real Odoo refuses none on demand: tests/bff/onboarding/test_odoo_failures.py",
)


@WORKSPACE.promise("5d", "From first_login to ready within the plan's 60 s")
async def in_time(place: Place) -> None:
    assert len(place.ready_after) == 2
    assert max(place.ready_after.values()) < FIRST_LOGIN_SECONDS, place.ready_after


@WORKSPACE.promise("2", "/whoami tells who, which tenant and which roles")
async def who(place: Place) -> None:
    for person, tenant in ((place.alice, place.alices), (place.bob, place.bobs)):
        await person.sign_in()
        found = await person.asks("GET", "/whoami")
        assert (found["sub"], found["email"]) == (person.sub, person.email)
        assert found["tenant_id"] == tenant
        assert "admin" in found["roles"]


@WORKSPACE.promise("6a", "verify_odoo finds a tenant's Odoo and tries it")
async def verified(place: Place) -> None:
    for person, tenant in ((place.alice, place.alices), (place.bob, place.bobs)):
        found = await person.asks("GET", "/onboarding/verify_odoo")
        assert found["tenant_id"] == tenant
        assert (found["exists"], found["smoke"], found["ready"]) == (True, True, True)


@WORKSPACE.promise("6b", "verify_odoo finds none where none was made")
async def not_configured(place: Place) -> None:
    async with place.here.databases.superuser() as superuser:
        tenant = await superuser.fetchval(
            "INSERT INTO tenants (name) VALUES ('No Odoo') RETURNING tenant_id"
        )
        await superuser.execute(
            "INSERT INTO tenant_users (tenant_id, iss, sub, email, roles) "
            "SELECT $1, iss, sub, email, roles FROM tenant_users "
            "WHERE tenant_id = $2 AND sub = $3",
            tenant,
            place.bobs,
            place.bob.sub,
        )
    await place.bob.asks("POST", "/auth/tenant", json={"tenant_id": tenant})
    found = await place.bob.asks("GET", "/onboarding/verify_odoo")
    await place.bob.asks("POST", "/auth/tenant", json={"tenant_id": place.bobs})
    assert (found["exists"], found["smoke"], found["ready"]) == (False, False, False)


async def _is_ready(place: Place, who: str, began: float) -> int:
    """Note how long it took, and return the tenant."""
    async with place.here.databases.superuser() as superuser:
        tenant: int = await superuser.fetchval(
            "SELECT tenant_id FROM tenant_users "
            "WHERE email = $1 AND 'admin' = ANY(roles)",
            {"alice": place.alice, "bob": place.bob}[who].email,
        )
    document = await place.here.is_at(tenant, "ready", "error")
    assert document["status"] == "ready", (document, place.here.complaints())
    place.ready_after[tenant] = time.monotonic() - began
    return tenant
