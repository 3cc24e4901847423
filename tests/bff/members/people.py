"""Members of the demo's tenants, and what was written of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.bff.members.inviting import TENANT

if TYPE_CHECKING:
    import aiohttp

    from tests.world import Browser, World

ALICE, BOB, CAROL, DAVE = (
    "alice@acme.test",
    "bob@globex.test",
    "carol@initech.test",
    "dave@acme.test",
)
MEMBERS = f"/tenants/{TENANT}/members"


def sub_of(world: World, email: str) -> str:
    found = world.provider.accounts.find(email)
    assert found is not None
    return found.id


def path_of(world: World, email: str, tenant_id: int = TENANT) -> str:
    return f"/tenants/{tenant_id}/members/{sub_of(world, email)}"


async def make_member(
    world: World, email: str, *roles: str, tenant_id: int = TENANT
) -> None:
    """Let somebody be a member by our own table, in exactly these roles."""
    async with world.databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO tenant_users (tenant_id, iss, sub, email, roles) "
            "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, iss, sub) "
            "DO UPDATE SET roles = excluded.roles, removed_at = NULL",
            tenant_id,
            world.issuer,
            sub_of(world, email),
            email,
            ["viewer", *roles],
        )


async def change(
    browser: Browser, world: World, email: str, *roles: str
) -> aiohttp.ClientResponse:
    body = {"roles": list(roles)}
    return await browser.request("PATCH", path_of(world, email), json=body)


async def remove(browser: Browser, world: World, email: str) -> aiohttp.ClientResponse:
    return await browser.request("DELETE", path_of(world, email))


async def who(browser: Browser) -> tuple[int, int | None, list[str]]:
    answer = await browser.get("/whoami")
    body = await answer.json()
    return answer.status, body.get("tenant_id"), body.get("roles")


async def entries(world: World, like: str = "%") -> list[dict[str, Any]]:
    """Return the audit log of everybody, the oldest first."""
    async with world.databases.superuser() as superuser:
        rows = await superuser.fetch(
            "SELECT * FROM audit_log WHERE action LIKE $1 ORDER BY audit_id", like
        )
    return [{**row, "detail": json.loads(row["detail"])} for row in rows]
