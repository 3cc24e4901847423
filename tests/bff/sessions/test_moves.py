"""A session that goes to another tenant leaves nothing behind, and outruns nobody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bff.sessions import moves, store
from tests.bff.auth.test_backchannel import claims, deliver, signed
from tests.bff.auth.test_switching import ACME, GLOBEX, switch
from tests.bff.members.inviting import made_admin
from tests.bff.members.people import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    change,
    entries,
    make_member,
    path_of,
    remove,
    sub_of,
    who,
)
from tests.bff.sessions.refreshing import Hold, code, elsewhere, ticket
from tests.bff.sessions.test_ending import is_cut, open_stream
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import aiohttp

    from tests.world import Browser, World

RENEWED = "claim_changed"


def claim(world: World, email: str, tenant_id: int) -> None:
    account = world.provider.accounts.find(email)
    assert account is not None
    world.provider.accounts.change(account, tenant_id=tenant_id)


async def blocked(world: World) -> None:
    """Wait until somebody waits for a lock."""
    async with world.databases.superuser() as superuser:

        async def waits() -> bool:
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            return bool(await superuser.fetchval(query))

        await until(waits)


class BeforeCommit:
    """Stop the first move of a session when all is written and nothing committed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.came, self.go = asyncio.Event(), asyncio.Event()

        async def stopped(*args: Any, **kwargs: Any) -> bool:
            done = await moves.move(*args, **kwargs)
            if not self.came.is_set():
                self.came.set()
                await self.go.wait()
            return done

        monkeypatch.setattr(store, "move", stopped)


async def everywhere(
    world: World, owner: Browser, _: Browser
) -> aiohttp.ClientResponse:
    return await owner.post("/auth/logout", json={"everywhere": True})


async def by_admin(world: World, _: Browser, admin: Browser) -> aiohttp.ClientResponse:
    path = path_of(world, DAVE, GLOBEX)
    return await admin.request("DELETE", f"{path}/sessions")


async def by_removal(
    world: World, _: Browser, admin: Browser
) -> aiohttp.ClientResponse:
    return await admin.request("DELETE", path_of(world, DAVE, GLOBEX))


async def by_provider(
    world: World, owner: Browser, _: Browser
) -> aiohttp.ClientResponse:
    said = claims(world, sub=sub_of(world, DAVE), sid=None)
    return await deliver(world, signed(world, said))


ENDINGS: dict[str, tuple[Callable[..., Awaitable[aiohttp.ClientResponse]], int]] = {
    "everywhere": (everywhere, 204),
    "by an admin": (by_admin, 204),
    "by a removal": (by_removal, 204),
    "by the provider": (by_provider, 200),
}


@pytest.mark.parametrize("way", ["switching", "renewing"])
@pytest.mark.parametrize("ending", ENDINGS)
async def test_what_ends_all_ends_the_one_that_is_on_its_way(
    world: World, monkeypatch: pytest.MonkeyPatch, ending: str, way: str
) -> None:
    end, status = ENDINGS[ending]
    async with (
        world.signed_in(BOB) as admin,
        world.signed_in(DAVE) as owner,
        world.signed_in(DAVE) as thief,
    ):
        await make_member(world, BOB, "admin", tenant_id=GLOBEX)
        await admin.login(BOB)
        await make_member(world, DAVE, tenant_id=GLOBEX)
        pause = BeforeCommit(monkeypatch)
        if way == "renewing":
            claim(world, DAVE, GLOBEX)
            going = asyncio.ensure_future(thief.post("/auth/refresh"))
        else:
            going = asyncio.ensure_future(switch(thief, GLOBEX))
        await pause.came.wait()
        ended = asyncio.ensure_future(end(world, owner, admin))
        await blocked(world)
        pause.go.set()

        assert (await going).status == 200
        assert (await ended).status == status

        async def out() -> bool:
            return (await thief.get("/whoami")).status == 401

        await until(out)


async def test_a_renewal_into_another_tenant_cuts_what_lives_for_the_one_before(
    world: World,
) -> None:
    async with (
        world.another_gateway() as other,
        world.signed_in(DAVE) as dave,
        elsewhere(world, other, dave.cookies) as far,
    ):
        old = ticket(world, dave.cookies)
        streams = [await open_stream(world, dave), await open_stream(world, far)]
        claim(world, DAVE, GLOBEX)
        assert (await dave.post("/auth/refresh")).status == 200
        for stream in streams:
            await is_cut(stream, within=10)
        assert (await who(dave))[1] == GLOBEX
        new = ticket(world, dave.cookies)
        assert new.sid != old.sid
        assert new.session_exp == old.session_exp

        # What it was before is told to be over, and takes no cookies away.
        async def refused() -> bool:
            return (await far.get("/whoami")).status == 401

        await until(refused)
        assert "Set-Cookie" not in (await far.get("/whoami")).headers
        assert (await dave.post("/auth/refresh")).status == 200
        assert ticket(world, dave.cookies).sid == new.sid
    left, came = (await entries(world, "session.%"))[-2:][::-1]
    assert (left["tenant_id"], left["detail"]["reason"]) == (ACME, RENEWED)
    assert (came["tenant_id"], came["detail"]["how"]) == (GLOBEX, "renewal")


async def test_who_waits_at_another_gateway_goes_on_in_the_other_tenant(
    world: World,
) -> None:
    async with (
        world.another_gateway() as other,
        world.signed_in(DAVE) as dave,
        elsewhere(world, other, dave.cookies) as far,
    ):
        claim(world, DAVE, GLOBEX)
        hold = Hold(world)
        renewing = asyncio.ensure_future(dave.post("/auth/refresh"))
        await hold.came.wait()
        waiting = asyncio.ensure_future(far.post("/auth/refresh"))
        await asyncio.sleep(0.2)
        hold.go.set()

        assert (await renewing).status == (await waiting).status == 200
        assert hold.asked == 1
        assert ticket(world, far.cookies) == ticket(world, dave.cookies)
        assert (await who(far))[1] == GLOBEX


async def test_the_tokens_of_one_that_has_moved_are_not_given_out_later(
    world: World,
) -> None:
    """Nobody remembers by then that it has ended, and its cookies may be anybody's."""
    async with world.signed_in(DAVE) as dave:
        before = dave.cookies
        claim(world, DAVE, GLOBEX)
        assert (await dave.post("/auth/refresh")).status == 200
        async with world.databases.superuser() as superuser:
            await superuser.execute(
                "UPDATE auth_session SET ended_at = now() - interval '61 seconds' "
                "WHERE ended_at IS NOT NULL"
            )
            # Longer ago than any gateway remembers.
            await superuser.execute(
                "UPDATE ended_session SET ended_at = now() - interval '2 hours'"
            )
        async with (
            world.another_gateway() as late,
            elsewhere(world, late, before) as thief,
        ):
            answer = await thief.post("/auth/refresh")
            assert await code(answer) == (401, "session_ended")
            assert "Set-Cookie" not in answer.headers


async def test_who_was_removed_after_a_renewal_elsewhere_acts_no_more(
    world: World,
) -> None:
    async with world.signed_in() as alice, world.signed_in(DAVE) as dave:
        await made_admin(world)
        await make_member(world, DAVE, "admin")
        await make_member(world, CAROL, "ops")
        await dave.login(DAVE)
        stale = dave.cookies
        claim(world, DAVE, GLOBEX)
        assert (await dave.post("/auth/refresh")).status == 200
        assert (await remove(alice, world, DAVE)).status == 204

        dave.set_cookies(stale)
        assert await code(await remove(dave, world, CAROL)) == (401, "session_ended")
        assert await code(await change(dave, world, ALICE, "viewer")) == (
            401, "session_ended",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tenants/1001/members"),
        ("PATCH", "/tenants/1001/members/{dave}"),
        ("DELETE", "/tenants/1001/members/{dave}"),
        ("DELETE", "/tenants/1001/members/{dave}/sessions"),
        ("GET", "/tenants/1001/audit"),
        ("GET", "/tenants/1001/invites"),
        ("POST", "/tenants/1001/invites"),
        ("DELETE", "/tenants/1001/invites/5d2c6f4e-3f7b-4a55-9d0e-0f6c3b1a2d3e"),
    ],
)
@pytest.mark.parametrize("by", ["tenant_id = 1002", "ended_at = now()"])
async def test_no_admin_acts_by_a_ticket_that_its_row_has_left_behind(
    world: World, method: str, path: str, by: str
) -> None:
    """A gateway that has heard of nothing asks the row."""
    async with world.signed_in() as alice, world.signed_in(DAVE) as dave:
        await made_admin(world)
        async with world.databases.superuser() as superuser:
            await superuser.execute(
                f"UPDATE auth_session SET {by} WHERE sid = $1",  # noqa: S608 - ours
                ticket(world, alice.cookies).sid,
            )
        body = {"json": {"roles": ["viewer"]}} if method in {"PATCH", "POST"} else {}
        where = path.format(dave=sub_of(world, DAVE))
        answer = await alice.request(method, where, **body)
        assert await code(answer) == (401, "session_ended")
        assert (await dave.get("/whoami")).status == 200


async def test_who_is_there_already_stays_in_the_same_session(world: World) -> None:
    async with world.signed_in() as alice:
        await make_member(world, ALICE, tenant_id=GLOBEX)
        before = ticket(world, alice.cookies)
        for _ in range(3):
            answer = await switch(alice, ACME)
            assert answer.status == 200
            assert (await answer.json())["tenant_id"] == ACME
            assert "Set-Cookie" not in answer.headers
        assert ticket(world, alice.cookies) == before
        # And it is chosen from now on.
        claim(world, ALICE, GLOBEX)
        assert (await alice.post("/auth/refresh")).status == 200
        assert (await who(alice))[1] == ACME
    assert not await entries(world, "session.ended")


async def test_who_stays_while_a_renewal_has_seen_no_choice_is_moved_by_hand(
    world: World,
) -> None:
    async with (
        world.another_gateway() as other,
        world.signed_in() as alice,
        elsewhere(world, other, alice.cookies) as tab,
    ):
        await make_member(world, ALICE, tenant_id=GLOBEX)
        claim(world, ALICE, GLOBEX)
        hold = Hold(world)
        renewing = asyncio.ensure_future(tab.post("/auth/refresh"))
        await hold.came.wait()
        switching = asyncio.ensure_future(switch(alice, ACME))
        await asyncio.sleep(0.2)
        hold.go.set()
        await renewing
        assert (await switching).status == 200
        assert (await who(alice))[1] == ACME
        assert (await alice.post("/auth/refresh")).status == 200
        assert (await who(alice))[1] == ACME


async def test_switching_has_a_limit_and_says_how_long_to_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "MOST", 3)
    async with world.signed_in() as alice, world.signed_in(DAVE) as dave:
        for email in (ALICE, DAVE):
            await make_member(world, email, tenant_id=GLOBEX)
        for tenant_id in (GLOBEX, ACME, GLOBEX):
            assert (await switch(alice, tenant_id)).status == 200
        refused = await switch(alice, ACME)
        assert await code(refused) == (429, "rate_limited")
        assert 0 < int(refused.headers["Retry-After"]) <= moves.WINDOW
        assert (await who(alice))[1] == GLOBEX
        # It is theirs alone, and passes.
        assert (await switch(dave, GLOBEX)).status == 200
        async with world.databases.superuser() as superuser:
            await superuser.execute(
                "UPDATE attempts SET at = at - make_interval(secs => $1)", moves.WINDOW
            )
        assert (await switch(alice, ACME)).status == 200


@pytest.mark.parametrize("renewed", [True, False])
async def test_a_kept_ticket_without_a_tenant_moves_no_session(
    world: World, *, renewed: bool
) -> None:
    """Its row says another tenant by now: removal from there must find the session."""
    async with world.signed_in() as alice, world.signed_in(CAROL) as carol:
        await made_admin(world)
        bare = carol.cookies
        await make_member(world, CAROL, tenant_id=GLOBEX)
        claim(world, CAROL, ACME)
        assert (await carol.post("/auth/refresh")).status == 200
        if not renewed:
            # Two behind: there is nothing to be had for it.
            assert (await carol.post("/auth/refresh")).status == 200
        mine = carol.cookies
        carol.set_cookies(bare)
        answer = await carol.get("/icp/rules")
        assert answer.status == (200 if renewed else 401)
        if renewed:
            assert (await who(carol))[1] == ACME

        carol.set_cookies(mine)
        assert (await who(carol))[1] == ACME
        assert (await remove(alice, world, CAROL)).status == 204
        assert (await carol.get("/whoami")).status == 401


async def test_whoever_signs_in_over_somebody_s_session_is_not_in_their_log(
    world: World,
) -> None:
    async with world.signed_in(DAVE) as shared:
        assert (await shared.login(BOB)).status == 200
        assert (await shared.login(BOB)).status == 200
    theirs, own = await entries(world, "session.ended")
    assert theirs["tenant_id"] == ACME
    assert theirs["detail"]["reason"] == "signed_in_again"
    assert (theirs["actor"], theirs["actor_email"]) == ("", "")
    assert theirs["address"]
    assert own["actor_email"] == BOB
