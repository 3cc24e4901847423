"""A suspended tenant's people are out at once and stay out, and nobody else is."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import pytest

from bff.routes import PUBLIC
from bff.tenancy import operating
from tests.bff.auth.test_switching import switch
from tests.bff.members.inviting import invited, made_admin, redeem
from tests.bff.members.people import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    entries,
    make_member,
    who,
)
from tests.bff.sessions.refreshing import NEAR, Hold, code
from tests.bff.tenancy.suspending import at_work, resume, suspend
from tests.bff.waiting import until

if TYPE_CHECKING:
    from tests.world import Browser, World

ACME, GLOBEX = 1001, 1002
SUSPENDED = (403, "tenant_suspended")
THREADS = "/graph/threads/00000000-0000-4000-8000-000000000001"


async def tenants_of_sessions(world: World) -> list[int | None]:
    async with world.databases.superuser() as superuser:
        rows = await superuser.fetch(
            "SELECT tenant_id FROM auth_session WHERE ended_at IS NULL"
        )
    return [row["tenant_id"] for row in rows]


async def app_waits(world: World) -> bool:
    """Tell whether the serving role waits for a lock."""
    async with world.databases.superuser() as superuser:
        return bool(
            await superuser.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                "AND usename = 'bff_app' AND datname = current_database()"
            )
        )


async def refusals(browser: Browser) -> set[tuple[int, str]]:
    """Ask every route that needs a tenant, and return what it says."""
    found = set()
    for route in PUBLIC:
        if not route.access.tenant:
            continue
        path = route.path
        for name in ("invite_id", "user", "rule_id"):
            path = path.replace(f"{{{name}}}", "1")
        answer = await browser.request(route.method, path.format(tenant_id=ACME))
        found.add(await code(answer))
    return found


async def test_sessions_and_streams_end_and_each_route_of_a_tenant_says_why(
    world: World,
) -> None:
    async with (
        world.another_gateway() as other,
        world.browser(other) as there,
        world.signed_in() as here,
        world.signed_in(BOB) as bob,
    ):
        assert (await there.login(ALICE)).status == 200
        async with there.session.get(
            f"{other}/onboarding/events", headers={"Host": world.url[7:]}
        ) as stream:
            await stream.content.readline()
            assert await suspend(world, ACME) == 2
            with pytest.raises(aiohttp.ClientPayloadError):
                await asyncio.wait_for(stream.read(), 10)

        async def out() -> bool:
            return (await here.get("/whoami")).status == 401

        await until(out)

        answer = await here.login(ALICE)
        assert answer.status == 200
        assert (await answer.json())["tenant_id"] is None
        assert await who(here) == (200, None, [])
        assert await refusals(here) == {SUSPENDED}
        for method in ("GET", "POST"):
            assert await code(await here.request(method, THREADS)) == SUSPENDED
        for path in ("/onboarding/status", "/onboarding/events"):
            assert await code(await here.get(path)) == SUSPENDED
        refused = await here.get("/icp/rules")
        assert (await refused.json())["detail"] == (
            "This workspace is suspended. Ask the people who run this service."
        )
        assert await who(bob) == (200, GLOBEX, ["viewer"])
        assert (await bob.get("/icp/rules")).status == 200
        assert await tenants_of_sessions(world) == [GLOBEX, None]
    (entry,) = await entries(world, "tenant.%")
    assert (entry["action"], entry["tenant_id"], entry["actor"]) == (
        *("tenant.suspended", ACME, ""),
    )
    assert entry["detail"] == {"sessions_ended": 2}


async def test_the_same_session_is_in_again_once_the_tenant_is(world: World) -> None:
    await suspend(world, ACME)
    async with world.signed_in() as alice:
        assert await code(await alice.get("/icp/rules")) == SUSPENDED

        assert await resume(world, ACME)
        assert not await resume(world, ACME)

        assert (await alice.get("/icp/rules")).status == 200
        # As any session that finds its tenant late: the claim's roles come with the
        # next renewal.
        assert await who(alice) == (200, ACME, ["viewer"])
    assert [one["action"] for one in await entries(world, "tenant.%")] == [
        *("tenant.suspended", "tenant.resumed"),
    ]


async def test_who_has_another_tenant_goes_on_there(world: World) -> None:
    async with world.signed_in() as alice:
        await make_member(world, ALICE, "ops", tenant_id=GLOBEX)
        await suspend(world, ACME)

        await alice.login(ALICE)
        assert await who(alice) == (200, GLOBEX, ["viewer", "ops"])
        assert (await alice.get("/icp/rules")).status == 200
        assert await code(await switch(alice, ACME)) == SUSPENDED
        listed = (await (await alice.get("/auth/tenants")).json())["tenants"]
        assert [one["tenant_id"] for one in listed] == [GLOBEX]
        assert await who(alice) == (200, GLOBEX, ["viewer", "ops"])

        await resume(world, ACME)
        assert (await alice.post("/auth/refresh")).status == 200
        assert await who(alice) == (200, ACME, ["viewer", "admin"])


async def test_nobody_founds_another_workspace_instead(world: World) -> None:
    async with world.signed_in() as alice:
        await suspend(world, ACME)
        await alice.login(ALICE)

        assert await code(await alice.post("/onboarding/first_login")) == SUSPENDED

    async with world.databases.superuser() as superuser:
        assert await superuser.fetchval("SELECT count(*) FROM tenants") == 2
        assert await superuser.fetchval("SELECT count(*) FROM onboarding") == 0


async def test_a_claim_s_first_comer_to_a_suspended_tenant_is_told_so(
    world: World,
) -> None:
    await suspend(world, ACME)
    async with world.signed_in(DAVE) as dave:
        assert await code(await dave.get("/icp/rules")) == SUSPENDED
        assert await code(await dave.post("/onboarding/first_login")) == SUSPENDED


async def test_an_invitation_brings_nobody_in_and_is_not_spent(world: World) -> None:
    async with world.signed_in() as alice, world.signed_in(CAROL) as carol:
        await made_admin(world)
        token = await invited(alice)
        await suspend(world, ACME)

        assert await code(await redeem(carol, token)) == SUSPENDED
        await resume(world, ACME)
        assert (await redeem(carol, token)).status == 200


async def test_a_sign_in_under_way_does_not_slip_through(world: World) -> None:
    await make_member(world, ALICE)
    async with world.browser() as alice:
        async with at_work(world, ACME) as connection:
            await operating.suspend(connection, ACME)
            signing_in = asyncio.create_task(alice.login(ALICE))

            await until(partial(app_waits, world))
        answer = await signing_in
        assert answer.status == 200
        assert (await answer.json())["tenant_id"] is None
        assert await code(await alice.get("/icp/rules")) == SUSPENDED
    assert await tenants_of_sessions(world) == [None]


async def test_a_renewal_under_way_does_not_outlive_the_suspension(
    world: World,
) -> None:
    async with world.signed_in() as alice:
        hold = Hold(world)
        world.clock.ahead = NEAR
        renewing = asyncio.create_task(alice.post("/auth/refresh"))
        await hold.came.wait()
        await suspend(world, ACME)
        hold.go.set()

        assert (await renewing).status == 401
        assert (await alice.get("/icp/rules")).status == 401
    assert await tenants_of_sessions(world) == []


async def test_suspending_again_is_fine_and_noted_once(world: World) -> None:
    assert [await suspend(world, ACME) for _ in range(2)] == [0, 0]

    assert len(await entries(world, "tenant.suspended")) == 1
    with pytest.raises(operating.NoSuchTenant):
        await suspend(world, 987654)
    with pytest.raises(operating.NoSuchTenant):
        await resume(world, 987654)


async def test_a_switch_under_way_does_not_slip_through(world: World) -> None:
    async with world.signed_in(BOB) as bob:
        await make_member(world, BOB, "ops", tenant_id=ACME)
        async with at_work(world, ACME) as connection:
            await operating.suspend(connection, ACME)
            switching = asyncio.create_task(switch(bob, ACME))
            await until(partial(app_waits, world))
        assert await code(await switching) == SUSPENDED
        assert await who(bob) == (200, GLOBEX, ["viewer"])
