"""Memberships as the database keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.bff.sessions.refreshing import code, ticket
from tests.world import World

if TYPE_CHECKING:
    from bff.dev.provider.accounts import Account
    from tests.databases import Databases
    from tests.world import Browser


async def rows(world: World) -> list[tuple[int, str, list[str]]]:
    async with world.databases.superuser() as connection:
        found = await connection.fetch(
            "SELECT tenant_id, email, roles FROM tenant_users ORDER BY tenant_id"
        )
    return [(one["tenant_id"], one["email"], one["roles"]) for one in found]


def account(world: World, email: str) -> Account:
    found = world.provider.accounts.find(email)
    assert found is not None
    return found


async def member(world: World, tenant_id: int, *roles: str, gone: bool = False) -> None:
    """Make alice a member, or what remains of one."""
    async with world.databases.superuser() as connection:
        await connection.execute(
            "INSERT INTO tenant_users (tenant_id, iss, sub, roles, removed_at) "
            "VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN now() END) "
            "ON CONFLICT (tenant_id, iss, sub) DO UPDATE "
            "SET removed_at = excluded.removed_at, roles = excluded.roles",
            tenant_id,
            world.issuer,
            account(world, "alice@acme.test").id,
            list(roles),
            gone,
        )


async def who(browser: Browser) -> tuple[int | None, list[str]]:
    body: dict[str, Any] = await (await browser.get("/whoami")).json()
    return body["tenant_id"], body["roles"]


async def test_a_trusted_claim_makes_the_membership_once(world: World) -> None:
    async with world.signed_in() as browser:
        assert await who(browser) == (1001, ["viewer", "admin"])
        # The claim's role is not stored: taken away there, it is gone here.
        assert await rows(world) == [(1001, "alice@acme.test", ["viewer"])]
        await browser.login("alice@acme.test")
        await browser.post("/auth/refresh")

    assert len(await rows(world)) == 1


@pytest.mark.parametrize("claim", ["check", "ignore"])
async def test_a_claim_that_is_not_trusted_makes_none(
    databases: Databases, claim: str
) -> None:
    world = World(databases, settings={"tenancy": {"claim": claim}})
    async with world.running(), world.signed_in() as browser:
        assert await who(browser) == (None, [])
        assert await rows(world) == []

        await member(world, 1001, "ops")
        await browser.login("alice@acme.test")
        assert (await who(browser))[0] == 1001


async def test_a_removed_member_stays_removed(world: World) -> None:
    async with world.signed_in() as browser:
        await member(world, 1001, "admin", gone=True)

        assert (await browser.post("/auth/refresh")).status == 200
        assert await who(browser) == (None, [])
        assert await code(await browser.get("/graph/threads/x")) == (
            403,
            "tenant_missing",
        )
        await browser.login("alice@acme.test")
        assert await who(browser) == (None, [])
        await member(world, 1002, "viewer")
        await browser.login("alice@acme.test")
        assert await who(browser) == (1002, ["viewer"])


async def test_a_claimed_tenant_must_exist(world: World) -> None:
    alice = account(world, "alice@acme.test")
    world.provider.accounts.change(alice, tenant_id=987654)
    async with world.browser() as browser:
        assert (await browser.login("alice@acme.test")).status == 200
        assert await who(browser) == (None, [])
        await member(world, 1002, "ops")
        await browser.login("alice@acme.test")
        assert await who(browser) == (1002, ["viewer", "ops"])

    async with world.databases.superuser() as connection:
        assert not await connection.fetchval(
            "SELECT count(*) FROM tenants WHERE tenant_id = 987654"
        )


async def test_a_claim_of_no_tenant_moves_nobody_at_a_renewal(world: World) -> None:
    alice = account(world, "alice@acme.test")
    await member(world, 1001, "viewer")
    await member(world, 1002, "viewer")
    world.provider.accounts.change(alice, tenant_id=1002)
    async with world.signed_in() as browser:
        assert (await who(browser))[0] == 1002
        world.provider.accounts.change(alice, tenant_id=987654)

        assert (await browser.post("/auth/refresh")).status == 200

        assert (await who(browser))[0] == 1002, "not the oldest of several"


async def test_a_renewal_asks_again_whose_tenant_it_is(world: World) -> None:
    async with world.signed_in() as browser:
        world.provider.accounts.change(
            account(world, "alice@acme.test"), tenant_id=1002, roles=("ops",)
        )

        await browser.post("/auth/refresh")

        assert await who(browser) == (1002, ["viewer", "ops"])
        assert ticket(world, browser.cookies).tenant_id == 1002
        async with world.databases.superuser() as connection:
            live = "SELECT tenant_id FROM auth_session WHERE ended_at IS NULL"
            assert await connection.fetchval(live) == 1002


async def test_a_tenant_chosen_by_hand_stays_through_renewals(world: World) -> None:
    async with world.signed_in() as browser:
        await member(world, 1002, "ops")
        async with world.databases.superuser() as connection:
            await connection.execute(
                "UPDATE auth_session SET tenant_id = 1002, tenant_chosen = true"
            )

        await browser.post("/auth/refresh")

        # The claim's admin is of tenant 1001 and does not count here.
        assert await who(browser) == (1002, ["viewer", "ops"])


async def test_a_person_sees_only_their_own_memberships(world: World) -> None:
    from bff.tenancy.store import TENANCY  # noqa: PLC0415 - only here

    async with world.signed_in() as alice, world.signed_in("bob@globex.test") as bob:
        tenancy = world.app[TENANCY]
        for browser, tenant_id in ((alice, 1001), (bob, 1002)):
            mine = ticket(world, browser.cookies)
            found = await tenancy.memberships(mine.user_id)
            assert [one.tenant_id for one in found] == [tenant_id]
        assert await tenancy.memberships("https://x nobody") == []
        assert await tenancy.status(None) == "none"
        assert await tenancy.status(987654) == "none"
