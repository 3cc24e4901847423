"""People of several tenants go from one to another, in a new session each time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bff.dev.provider import Realm
from bff.tenancy.store import TENANCY
from tests.bff.members.people import (
    ALICE,
    BOB,
    CAROL,
    change,
    entries,
    make_member,
    sub_of,
    who,
)
from tests.bff.sessions.refreshing import Hold, code, elsewhere, ticket, without_id
from tests.bff.waiting import until
from tests.world import World

if TYPE_CHECKING:
    import aiohttp

    from tests.databases import Databases
    from tests.world import Browser

ACME, GLOBEX = 1001, 1002


async def switch(browser: Browser, tenant_id: object) -> aiohttp.ClientResponse:
    return await browser.post("/auth/tenant", json={"tenant_id": tenant_id})


async def sessions(world: World) -> list[dict[str, Any]]:
    async with world.databases.superuser() as superuser:
        rows = await superuser.fetch(
            "SELECT tenant_id, tenant_chosen, end_reason, ended_at IS NULL AS live "
            "FROM auth_session ORDER BY created_at"
        )
    return [dict(row) for row in rows]


async def test_one_goes_to_another_of_ones_tenants_and_back(world: World) -> None:
    async with world.signed_in() as alice:
        await make_member(world, ALICE, "ops", tenant_id=GLOBEX)
        old = ticket(world, alice.cookies)
        answer = await switch(alice, GLOBEX)
        assert answer.status == 200
        assert await answer.json() == {
            "email": ALICE,
            "tenant_id": GLOBEX,
            # The claim's admin is of Acme.
            "roles": ["viewer", "ops"],
            "tenant_status": "none",
        }
        new = ticket(world, alice.cookies)
        assert new.sid != old.sid
        assert new.access_token == old.access_token
        assert new.session_exp == old.session_exp
        assert await who(alice) == (200, GLOBEX, ["viewer", "ops"])

        assert (await switch(alice, str(ACME))).status == 200
        assert await who(alice) == (200, ACME, ["viewer", "admin"])
    assert [
        (one["tenant_id"], one["tenant_chosen"], one["end_reason"])
        for one in await sessions(world)
    ] == [
        (ACME, False, "switched_tenant"),
        (GLOBEX, True, "switched_tenant"),
        (ACME, True, None),
    ]


async def test_a_chosen_tenant_stays_whatever_the_claim_says(world: World) -> None:
    async with world.signed_in() as alice:
        await make_member(world, ALICE, "ops", tenant_id=GLOBEX)
        await switch(alice, GLOBEX)
        for _ in range(2):
            assert (await alice.post("/auth/refresh")).status == 200
            assert await who(alice) == (200, GLOBEX, ["viewer", "ops"])
        # Signing in anew asks the claim again.
        await alice.login(ALICE)
        assert (await who(alice))[1] == ACME


async def test_the_old_cookies_are_worth_nothing_on_any_replica(world: World) -> None:
    async with (
        world.another_gateway() as other,
        world.signed_in() as alice,
    ):
        await make_member(world, ALICE, tenant_id=GLOBEX)
        before = alice.cookies
        assert (await switch(alice, GLOBEX)).status == 200
        for url in (world.url, other):
            async with elsewhere(world, url, before) as thief:

                async def refused(thief: Browser = thief) -> bool:
                    thief.set_cookies(before)
                    return (await thief.get("/whoami")).status == 401

                await until(refused)
                # Other tabs' late refusals must not clear the new cookies.
                answer = await thief.get("/whoami")
                assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "tenant_id",
    [GLOBEX, 987654, "987654", 2**63, 10**400, "0", 0, "9" * 400, "00001002"],
    ids=lambda one: repr(one)[:20],
)
async def test_where_one_is_no_member_there_is_nothing(
    world: World, tenant_id: object
) -> None:
    async with world.signed_in() as alice:
        unknown = await switch(alice, 987654)
        answer = await switch(alice, tenant_id)
        assert answer.status == 404
        assert without_id(await answer.json()) == without_id(await unknown.json())
        assert "Set-Cookie" not in answer.headers
        assert await who(alice) == (200, ACME, ["viewer", "admin"])


async def test_a_tombstone_is_no_membership(world: World) -> None:
    async with world.signed_in() as alice:
        await make_member(world, ALICE, "admin", tenant_id=GLOBEX)
        async with world.databases.superuser() as superuser:
            await superuser.execute(
                "UPDATE tenant_users SET removed_at = now() WHERE tenant_id = 1002"
            )
        assert (await switch(alice, GLOBEX)).status == 404
        listing = await (await alice.get("/auth/tenants")).json()
        assert [one["tenant_id"] for one in listing["tenants"]] == [ACME]


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"tenant_id": None}, {"tenant_id": True}, {"tenant_id": 1002.0}),
        *({"tenant_id": "x"}, {"tenant_id": ""}, {"tenant_id": "١٠٠٢"}),
        *({"tenant_id": -1}, {"tenant_id": "-1"}, {"tenant_id": [1002]}),
        *({"tenant_id": " 1002"}, {"tenant_id": "1002\n"}, {"tenant": 1002}),
        {"tenant_id": 1002, "roles": ["admin"]},
    ],
)
async def test_what_is_no_number_is_said_so(world: World, body: dict[str, Any]) -> None:
    async with world.signed_in() as alice:
        await make_member(world, ALICE, tenant_id=GLOBEX)
        assert await code(await alice.post("/auth/tenant", json=body)) == (
            422, "invalid_body",
        )  # fmt: skip
        assert (await who(alice))[1] == ACME


async def test_strangers_and_other_sites_switch_nobody(world: World) -> None:
    async with world.signed_in() as alice, world.browser() as stranger:
        assert (await switch(stranger, ACME)).status == 401
        assert (await stranger.get("/auth/tenants")).status == 401
        cross = {"Sec-Fetch-Site": "cross-site"}
        answer = await alice.post(
            "/auth/tenant", json={"tenant_id": ACME}, headers=cross
        )
        assert await code(answer) == (403, "cross_site_refused")


async def test_one_sees_ones_own_tenants_by_name(world: World) -> None:
    async with (
        world.signed_in() as alice,
        world.signed_in(BOB) as bob,
        world.signed_in(CAROL) as carol,
    ):
        await make_member(world, ALICE, "ops", tenant_id=GLOBEX)
        answer = await alice.get("/auth/tenants")
        assert answer.headers["Cache-Control"] == "no-store"
        acme = {
            "tenant_id": ACME,
            "name": "Acme",
            "roles": ["viewer", "admin"],
            "current": True,
        }
        globex = {
            "tenant_id": GLOBEX,
            "name": "Globex",
            "roles": ["viewer", "ops"],
            "current": False,
        }
        assert await answer.json() == {"tenants": [acme, globex]}
        await switch(alice, GLOBEX)
        listing = await (await alice.get("/auth/tenants")).json()
        assert [one["current"] for one in listing["tenants"]] == [False, True]
        theirs = await (await bob.get("/auth/tenants")).json()
        assert [one["name"] for one in theirs["tenants"]] == ["Globex"]
        assert await (await carol.get("/auth/tenants")).json() == {"tenants": []}


async def test_neither_tenant_s_log_names_the_other(world: World) -> None:
    async with world.signed_in() as alice:
        await make_member(world, ALICE, tenant_id=GLOBEX)
        await switch(alice, GLOBEX)

    left, came = (await entries(world, "session.%"))[1:][::-1]
    assert (left["action"], left["tenant_id"]) == ("session.ended", ACME)
    assert left["detail"]["reason"] == "switched_tenant"
    assert (came["action"], came["tenant_id"]) == ("session.came_in", GLOBEX)
    assert came["detail"]["how"] == "switched_tenant"
    assert str(GLOBEX) not in str(left["detail"])
    assert str(ACME) not in str(came["detail"])
    for entry in (left, came):
        assert entry["actor_email"] == ALICE
        assert entry["subject"] == sub_of(world, ALICE)


async def test_of_two_switches_at_once_one_counts(world: World) -> None:
    async with (
        world.another_gateway() as other,
        world.signed_in() as alice,
        elsewhere(world, other, alice.cookies) as tab,
    ):
        await make_member(world, ALICE, tenant_id=GLOBEX)
        both = await asyncio.gather(switch(alice, GLOBEX), switch(tab, GLOBEX))

        (won,) = (one for one in both if one.status == 200)
        (lost,) = (one for one in both if one is not won)
        assert await code(lost) == (401, "session_ended")
        # It may come after the one that set the new cookies in the same browser.
        assert "Set-Cookie" not in lost.headers
        winner = alice if won is both[0] else tab
        assert (await who(winner))[1] == GLOBEX
    assert [one["live"] for one in await sessions(world)].count(True) == 1


@pytest.mark.parametrize("rotate", [True, False])
async def test_switching_while_the_tokens_are_renewed_loses_neither(
    databases: Databases, *, rotate: bool
) -> None:
    world = World(databases, realm=Realm(rotate=rotate))
    async with (
        world.running(),
        world.another_gateway() as other,
        world.signed_in() as alice,
        elsewhere(world, other, alice.cookies) as tab,
    ):
        await make_member(world, ALICE, tenant_id=GLOBEX)
        hold = Hold(world)
        renewing = asyncio.ensure_future(tab.post("/auth/refresh"))
        await hold.came.wait()
        switching = asyncio.ensure_future(switch(alice, GLOBEX))
        await asyncio.sleep(0.3)
        assert not switching.done()
        hold.go.set()
        await renewing
        answer = await switching
        assert answer.status == 200, await answer.text()

        assert hold.asked == 1
        assert (await who(alice))[1] == GLOBEX
        assert (await alice.post("/auth/refresh")).status == 200
        assert (await who(alice))[1] == GLOBEX


async def test_whoever_switched_goes_on_though_nobody_knows_how_far_the_tenant_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bff.database import DatabaseUnavailable  # noqa: PLC0415 - only here

    async def away(*_: object) -> str:
        raise DatabaseUnavailable("gone")

    async with world.signed_in() as alice:
        await make_member(world, ALICE, tenant_id=GLOBEX)
        monkeypatch.setattr(world.app[TENANCY], "status", away)
        answer = await switch(alice, GLOBEX)
        assert answer.status == 200
        assert (await answer.json())["tenant_status"] is None
        assert (await who(alice))[1] == GLOBEX


async def test_without_keys_to_prove_the_token_nothing_is_given(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bff.auth.signing_in import PROVIDER  # noqa: PLC0415 - only here
    from bff.identity.messages import ProviderUnavailable  # noqa: PLC0415 - only here

    async def away(*_: object) -> None:
        raise ProviderUnavailable

    async with world.signed_in() as alice:
        await make_member(world, ALICE, tenant_id=GLOBEX)
        monkeypatch.setattr(world.app[PROVIDER], "verify_access", away)
        refused = (503, "auth_unavailable")
        assert await code(await switch(alice, GLOBEX)) == refused
        assert await code(await alice.get("/auth/tenants")) == refused
        assert (await who(alice))[1] == ACME


async def test_roles_taken_in_a_tenant_end_the_session_that_has_switched_there(
    world: World,
) -> None:
    async with world.signed_in() as alice, world.signed_in(BOB) as bob:
        await make_member(world, ALICE, "admin")
        await make_member(world, BOB, "ops", "admin")
        assert (await switch(bob, ACME)).status == 200
        assert (await change(alice, world, BOB, "viewer")).status == 200
        assert (await bob.get("/whoami")).status == 401
