"""Invitations as an admin makes them and others redeem them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp

    from tests.world import Browser, World

TENANT = 1001
INVITES = f"/tenants/{TENANT}/invites"


async def invited(admin: Browser, **body: Any) -> str:
    """Return the token of a new invitation into tenant 1001."""
    answer = await admin.post(INVITES, json=body)
    assert answer.status == 201, await answer.text()
    link: str = (await answer.json())["invite_url"]
    return link.rpartition("#")[2]


async def made_admin(world: World, email: str = "alice@acme.test") -> None:
    """Let somebody be an admin by our own table, not by a claim alone."""
    async with world.databases.superuser() as superuser:
        changed = await superuser.execute(
            "UPDATE tenant_users SET roles = '{viewer,admin}' "
            "WHERE tenant_id = $1 AND email = $2",
            TENANT,
            email,
        )
    assert changed == "UPDATE 1"


async def redeem(browser: Browser, token: str) -> aiohttp.ClientResponse:
    return await browser.post("/invites/redeem", json={"token": token})
