"""Whoever loses a role keeps it in no session, whatever is being made just then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bff.database import DATABASE
from bff.sessions.session import Seat
from bff.sessions.standing import hold
from bff.sessions.store import SessionStore
from bff.tenancy.store import Tenancy
from tests.bff.members.inviting import TENANT, invited, made_admin, redeem
from tests.bff.members.people import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    change,
    make_member,
    remove,
    sub_of,
    who,
)
from tests.bff.sessions.refreshing import code
from tests.bff.sessions.test_moves import blocked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import aiohttp

    from tests.world import Browser, World


class Pause:
    """Stop the first one that writes a session, its membership read before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        self.came, self.go = asyncio.Event(), asyncio.Event()
        original: Any = getattr(SessionStore, method)

        async def stopped(*args: Any, **kwargs: Any) -> Any:
            if not self.came.is_set():
                self.came.set()
                await self.go.wait()
            return await original(*args, **kwargs)

        monkeypatch.setattr(SessionStore, method, stopped)


async def signs_in(browser: Browser) -> aiohttp.ClientResponse:
    return await browser.login(BOB)


async def renews(browser: Browser) -> aiohttp.ClientResponse:
    return await browser.post("/auth/refresh")


async def switches(browser: Browser) -> aiohttp.ClientResponse:
    return await browser.post("/auth/tenant", json={"tenant_id": TENANT})


async def finds(browser: Browser) -> aiohttp.ClientResponse:
    return await browser.get("/graph/threads/x")


# Who comes into tenant 1001 by what, the call that writes it, and what it answers once
# they are no member any more.
WAYS: dict[str, tuple[Callable[..., Awaitable[aiohttp.ClientResponse]], str, int]] = {
    "signing in": (signs_in, "create", 200),
    "renewing": (renews, "publish", 200),
    "switching": (switches, "replace", 404),
    "finding": (finds, "set_tenant", 403),
}


async def ready(world: World, browser: Browser, way: str) -> None:
    """Let *browser* be Bob's, on the way into tenant 1001 in which he is ops."""
    account = world.provider.accounts.find(BOB)
    assert account is not None
    if way == "finding":
        # Nowhere yet: the membership is made while the session goes on.
        world.provider.accounts.change(account, tenant_id=None)
    await browser.login(BOB)
    await make_member(world, BOB, "ops")
    if way in {"signing in", "renewing"}:
        world.provider.accounts.change(account, tenant_id=TENANT)


@pytest.mark.parametrize("way", WAYS)
async def test_a_role_taken_while_a_session_is_made_is_not_in_it(
    world: World, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    act, method, _ = WAYS[way]
    async with world.signed_in() as alice, world.browser() as bob:
        await made_admin(world)
        await ready(world, bob, way)
        pause = Pause(monkeypatch, method)
        coming = asyncio.ensure_future(act(bob))
        await pause.came.wait()
        assert (await change(alice, world, BOB, "viewer")).status == 200
        pause.go.set()

        assert (await coming).status == 200
        assert await who(bob) == (200, TENANT, ["viewer"])


@pytest.mark.parametrize("way", WAYS)
async def test_who_is_removed_while_a_session_is_made_is_not_in_it(
    world: World, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    act, method, status = WAYS[way]
    async with world.signed_in() as alice, world.browser() as bob:
        await ready(world, bob, way)
        pause = Pause(monkeypatch, method)
        coming = asyncio.ensure_future(act(bob))
        await pause.came.wait()
        assert (await remove(alice, world, BOB)).status == 204
        pause.go.set()

        assert (await coming).status == status
        assert (await who(bob))[1] != TENANT


async def test_who_is_removed_right_after_joining_is_told_of_no_invitation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.signed_in() as alice, world.signed_in(CAROL) as carol:
        token = await invited(alice)
        pause = Pause(monkeypatch, "replace")
        joining = asyncio.ensure_future(redeem(carol, token))
        await pause.came.wait()
        assert (await remove(alice, world, CAROL)).status == 204
        pause.go.set()

        assert await code(await joining) == (404, "invite_not_found")
        assert await who(carol) == (200, None, [])


async def test_a_change_waits_for_the_session_that_is_being_written(
    world: World,
) -> None:
    """The row is there, its transaction is not over: the change must still end it."""
    user_id = f"{world.issuer} {sub_of(world, DAVE)}"
    seat = Seat(TENANT, ("viewer",), ("viewer",))
    async with world.signed_in() as alice, world.signed_in(DAVE):
        async with world.app[DATABASE].user_transaction(user_id) as connection:
            await hold(connection, user_id, seat)
            await connection.execute(
                "INSERT INTO auth_session (sid, iss, sub, tenant_id, expires_at) "
                "VALUES (gen_random_uuid(), $1, $2, $3, now() + interval '1 day')",
                world.issuer,
                sub_of(world, DAVE),
                TENANT,
            )
            removing = asyncio.ensure_future(remove(alice, world, DAVE))
            await blocked(world)
            assert not removing.done()
        assert (await removing).status == 204

    async with world.databases.superuser() as superuser:
        live = await superuser.fetchval(
            "SELECT count(*) FROM auth_session WHERE sub = $1 AND ended_at IS NULL",
            sub_of(world, DAVE),
        )
    assert live == 0


async def test_changes_of_one_tenant_wait_for_each_other(world: World) -> None:
    async with (
        world.signed_in() as alice,
        world.signed_in(DAVE),
        world.databases.superuser() as other,
    ):
        changing = other.transaction()
        await changing.start()
        await other.execute(
            "SELECT 1 FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE", TENANT
        )
        removing = asyncio.ensure_future(remove(alice, world, DAVE))
        await blocked(world)
        assert not removing.done()
        # Rows that only point at the tenant are written meanwhile.
        async with world.signed_in():
            pass
        await changing.commit()
        assert (await removing).status == 204


async def test_a_membership_that_changes_for_ever_is_an_outage_and_no_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = Tenancy.resolve

    async def wrong(self: Tenancy, *args: Any) -> Any:
        from dataclasses import replace  # noqa: PLC0415 - only here

        return replace(await resolve(self, *args), stored=("ops",))

    async with world.signed_in() as alice:
        before = alice.cookies
        monkeypatch.setattr(Tenancy, "resolve", wrong)
        assert await code(await alice.login(ALICE)) == (503, "unavailable")
        assert alice.cookies == before


async def test_many_acts_on_one_person_at_once_wait_for_each_other_and_end(
    world: World,
) -> None:
    """Sessions are locked in one order: nobody is told of a deadlock."""
    async with world.signed_in() as alice:
        await made_admin(world)
        await make_member(world, DAVE)
        for _ in range(3):
            async with world.signed_in(DAVE), world.signed_in(DAVE) as dave:
                answers = await asyncio.gather(
                    dave.post("/auth/logout", json={"everywhere": True}),
                    change(alice, world, DAVE, "ops"),
                    dave.post("/auth/refresh"),
                    change(alice, world, DAVE, "viewer"),
                    dave.login(DAVE),
                    dave.get("/auth/tenants"),
                )
                assert all(answer.status < 500 for answer in answers)
