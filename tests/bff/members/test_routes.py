"""An admin invites people; people join."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bff.current_session import STORE
from bff.database import DatabaseUnavailable
from bff.dev.provider import Realm
from bff.errors_access import SessionEnded, TokensTooLarge
from bff.sessions.session import Seat
from bff.tenancy.store import TENANCY
from tests.bff.auth.redirects import begin, come_back, prove
from tests.bff.members.inviting import (
    INVITES,
    TENANT,
    invited,
    made_admin,
    redeem,
)
from tests.bff.sessions.refreshing import Hold, answering, code, ticket, without_id
from tests.bff.waiting import until
from tests.world import World

if TYPE_CHECKING:
    from tests.databases import Databases
    from tests.world import Browser

CAROL = "carol@initech.test"


def account_id(world: World, email: str) -> str:
    found = world.provider.accounts.find(email)
    assert found is not None
    return found.id


def change(world: World, email: str, **values: Any) -> None:
    found = world.provider.accounts.find(email)
    assert found is not None
    world.provider.accounts.change(found, **values)


async def who(browser: Browser) -> tuple[int, int | None, list[str]]:
    answer = await browser.get("/whoami")
    body = await answer.json()
    return answer.status, body.get("tenant_id"), body.get("roles")


async def test_a_link_is_shown_once_and_brings_one_person_in(world: World) -> None:
    async with world.signed_in() as alice, world.signed_in(CAROL) as carol:
        await made_admin(world)
        answer = await alice.post(INVITES, json={"roles": ["ops"]})
        made = await answer.json()
        assert answer.status == 201
        assert answer.headers["Cache-Control"] == "no-store"
        assert set(made) == {"invite_id", "invite_url", "expires_at", "roles", "email"}
        assert (made["roles"], made["email"]) == (["viewer", "ops"], None)
        page, _, token = made["invite_url"].partition("#")
        assert page == f"{world.url}/invite"
        assert len(token) >= 40

        joined = await redeem(carol, token)
        assert joined.status == 200
        assert await joined.json() == {
            "email": CAROL,
            "tenant_id": TENANT,
            "roles": ["viewer", "ops"],
            "tenant_status": "none",
        }
        assert await who(carol) == (200, TENANT, ["viewer", "ops"])
        assert await code(await redeem(carol, token)) == (404, "invite_not_found")
        async with world.signed_in(CAROL) as again:
            assert (await who(again))[1] == TENANT


@pytest.mark.parametrize(
    "body",
    [
        {"roles": []},
        {"roles": ["owner"]},
        {"roles": "admin"},
        {"email": "nobody"},
        {"tenant_id": 1002},
    ],
)
async def test_what_is_wrong_with_an_invitation_is_said(
    world: World, body: dict[str, Any]
) -> None:
    async with world.signed_in() as alice:
        answer = await alice.post(INVITES, json=body)
        assert await code(answer) == (422, "invalid_body")


async def test_only_the_admins_of_a_tenant_invite_into_it(world: World) -> None:
    async with (
        world.signed_in() as alice,
        world.signed_in("dave@acme.test") as viewer,
        world.signed_in(CAROL) as nobody,
        world.browser() as stranger,
    ):
        foreign = await alice.post("/tenants/1002/invites", json={})
        unknown = await alice.post("/tenants/987654/invites", json={})
        assert foreign.status == unknown.status == 404
        assert without_id(await foreign.json()) == without_id(await unknown.json())
        for path in ("01001", "1001%20", "x", "-1"):
            assert (await alice.post(f"/tenants/{path}/invites", json={})).status == 404
        assert await code(await viewer.post(INVITES, json={})) == (403, "role_missing")
        refused = await code(await nobody.post(INVITES, json={}))
        assert refused == (403, "tenant_missing")
        assert (await stranger.post(INVITES, json={})).status == 401
        assert (await redeem(stranger, "x")).status == 401
        cross = {"Sec-Fetch-Site": "cross-site"}
        answer = await alice.post("/invites/redeem", json={}, headers=cross)
        assert await code(answer) == (403, "cross_site_refused")


async def test_an_admin_by_a_claim_alone_invites_viewers(world: World) -> None:
    async with world.signed_in() as alice:
        answer = await alice.post(INVITES, json={"roles": ["admin"]})
        assert await code(answer) == (403, "role_missing")
        assert "viewers only" in (await answer.json())["detail"]
        assert (await alice.post(INVITES, json={})).status == 201


async def test_an_admin_sees_what_is_open_and_takes_it_back(world: World) -> None:
    async with (
        world.signed_in() as alice,
        world.signed_in("dave@acme.test") as viewer,
        world.signed_in(CAROL) as carol,
    ):
        answer = await alice.post(INVITES, json={"email": CAROL})
        made = await answer.json()
        token = made["invite_url"].rpartition("#")[2]

        listing = await alice.get(INVITES)
        assert listing.status == 200
        assert token not in await listing.text()
        (shown,) = (await listing.json())["invites"]
        assert shown.pop("created_at") < made["expires_at"]
        assert shown == {
            "invite_id": made["invite_id"],
            "email": CAROL,
            "roles": ["viewer"],
            "invited_by": "alice@acme.test",
            "expires_at": made["expires_at"],
        }
        path = f"{INVITES}/{made['invite_id']}"
        refused = (403, "role_missing")
        assert await code(await viewer.get(INVITES)) == refused
        assert await code(await viewer.request("DELETE", path)) == refused
        assert (await alice.request("DELETE", path)).status == 204
        for gone in (path, f"{INVITES}/x", f"{INVITES}/%00", f"{INVITES}/{'0' * 32}"):
            assert (await alice.request("DELETE", gone)).status == 404, gone
        assert (await alice.get("/tenants/1002/invites")).status == 404
        elsewhere = path.replace("1001", "1002")
        assert (await alice.request("DELETE", elsewhere)).status == 404
        assert await (await alice.get(INVITES)).json() == {"invites": []}
        assert await code(await redeem(carol, token)) == (404, "invite_not_found")


async def test_unknown_used_and_old_invitations_are_answered_alike(
    world: World,
) -> None:
    async with world.signed_in() as alice, world.signed_in(CAROL) as carol:
        used, old = await invited(alice), await invited(alice)
        async with world.signed_in("bob@globex.test") as bob:
            assert (await redeem(bob, used)).status == 200
        async with world.databases.superuser() as superuser:
            await superuser.execute("UPDATE tenant_invites SET expires_at = now()")

        bodies = set()
        for token in ("unknown", used, old):
            answer = await redeem(carol, token)
            assert answer.status == 404
            bodies.add(without_id(await answer.json()))
        assert len(bodies) == 1
        assert await who(carol) == (200, None, [])


async def test_joining_begins_a_new_session_and_ends_the_old_one_everywhere(
    world: World,
) -> None:
    async with (
        world.another_gateway() as other,
        world.signed_in() as alice,
        world.signed_in(CAROL) as carol,
        world.browser(other) as thief,
    ):
        before = carol.cookies
        old = ticket(world, before)
        thief.set_cookies(before)
        assert (await redeem(carol, await invited(alice))).status == 200
        new = ticket(world, carol.cookies)

        assert new.sid != old.sid
        assert new.session_exp == old.session_exp
        assert new.access_token == old.access_token

        async def refused() -> bool:
            thief.set_cookies(before)
            return (await thief.get("/whoami")).status == 401

        await until(refused)
        # Its tokens are still renewed, in the tenant that was joined.
        assert (await carol.post("/auth/refresh")).status == 200
        assert await who(carol) == (200, TENANT, ["viewer"])
        async with world.databases.superuser() as superuser:
            rows = await superuser.fetch(
                "SELECT sid, tenant_id, tenant_chosen, provider_sid, ended_at IS NULL "
                "AS live FROM auth_session WHERE sub = $1",
                new.sub,
            )
        assert {row["sid"]: row["live"] for row in rows} == {
            old.sid: False, new.sid: True,
        }  # fmt: skip
        assert len({row["provider_sid"] for row in rows}) == 1
        (joined,) = (row for row in rows if row["live"])
        assert (joined["tenant_id"], joined["tenant_chosen"]) == (TENANT, True)


async def test_an_invitation_counts_more_than_a_claim(world: World) -> None:
    async with (
        world.signed_in() as alice,
        world.signed_in("bob@globex.test") as bob,
    ):
        await made_admin(world)
        assert (await redeem(bob, await invited(alice, roles=["ops"]))).status == 200
        assert await who(bob) == (200, TENANT, ["viewer", "ops"])
        await bob.post("/auth/refresh")
        assert await who(bob) == (200, TENANT, ["viewer", "ops"])


async def test_joining_while_the_tokens_are_renewed_loses_neither(
    databases: Databases,
) -> None:
    world = World(databases, realm=Realm(rotate=True))
    async with (
        world.running(),
        world.signed_in() as alice,
        world.signed_in(CAROL) as carol,
        world.browser() as tab,
    ):
        tab.set_cookies(carol.cookies)
        token = await invited(alice)
        hold = Hold(world)
        renewing = asyncio.ensure_future(tab.post("/auth/refresh"))
        await hold.came.wait()
        joining = asyncio.ensure_future(redeem(carol, token))
        async with world.databases.superuser() as superuser:

            async def spent() -> bool:
                query = "SELECT count(*) FROM tenant_invites WHERE redeemed_by <> ''"
                return bool(await superuser.fetchval(query))

            await until(spent)
        hold.go.set()
        await renewing
        answer = await joining
        assert answer.status == 200, await answer.text()

        assert await who(carol) == (200, TENANT, ["viewer"])
        assert hold.asked == 1
        assert (await carol.post("/auth/refresh")).status == 200
        assert (await who(carol))[0] == 200


async def test_who_has_joined_and_cannot_be_taken_there_is_told_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: object, **__: object) -> bool:
        return False

    async with world.signed_in() as alice, world.signed_in(CAROL) as carol:
        token = await invited(alice)
        monkeypatch.setattr(world.app[STORE], "replace", busy)
        answering(world, 503, "")
        answer = await redeem(carol, token)
        assert await code(answer) == (503, "auth_unavailable")
        assert "You have joined" in (await answer.json())["detail"]
        monkeypatch.undo()
        world.provider.intercept = None

        # The cookies are still good, and the membership is found by itself.
        assert (await carol.get("/graph/threads/x")).status != 403
        assert await who(carol) == (200, TENANT, ["viewer"])


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DatabaseUnavailable("gone"), (503, "unavailable")),
        (SessionEnded(), (401, "session_ended")),
        (TokensTooLarge(), (500, "tokens_too_large")),
    ],
)
async def test_whatever_goes_wrong_after_joining_says_that_they_have(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    expected: tuple[int, str],
) -> None:
    async def broken(*_: object, **__: object) -> bool:
        raise error

    async with world.signed_in() as alice, world.signed_in(CAROL) as carol:
        token = await invited(alice)
        monkeypatch.setattr(world.app[STORE], "replace", broken)
        answer = await redeem(carol, token)
        assert await code(answer) == expected
        assert "You have joined" in (await answer.json())["detail"]


async def test_who_has_joined_is_in_though_nobody_knows_how_far_the_tenant_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> str:
        raise DatabaseUnavailable("gone")

    async with world.signed_in() as alice, world.signed_in(CAROL) as carol:
        token = await invited(alice)
        monkeypatch.setattr(world.app[TENANCY], "status", away)
        answer = await redeem(carol, token)
        assert answer.status == 200
        assert (await answer.json())["tenant_status"] is None
        monkeypatch.undo()
        assert await who(carol) == (200, TENANT, ["viewer"])


@pytest.mark.parametrize("was_removed", [False, True])
async def test_roles_of_before_a_removal_do_not_come_back_with_the_session(
    world: World, *, was_removed: bool
) -> None:
    async with world.signed_in() as alice, world.signed_in(CAROL) as carol:
        await made_admin(world)
        first = await invited(alice, roles=["admin"])
        assert (await redeem(carol, first)).status == 200
        assert await who(carol) == (200, TENANT, ["viewer", "admin"])
        if was_removed:
            async with world.databases.superuser() as superuser:
                await superuser.execute(
                    "UPDATE tenant_users SET removed_at = now() WHERE email = $1", CAROL
                )
        assert (await redeem(carol, await invited(alice))).status == 200

        roles = ["viewer"] if was_removed else ["viewer", "admin"]
        assert await who(carol) == (200, TENANT, roles)


async def test_a_session_that_has_ended_joins_nothing(world: World) -> None:
    async with world.signed_in(CAROL) as carol:
        mine = ticket(world, carol.cookies)
        await world.app[STORE].end(mine.user_id, mine.sid, "test")
        new = replace(mine, tenant_id=None)

        assert not await world.app[STORE].replace(mine, new, Seat(None), "test")


async def test_an_address_counts_once_the_provider_says_it_is_proven(
    world: World,
) -> None:
    change(world, CAROL, email_verified=False)
    async with world.signed_in() as alice, world.signed_in(CAROL) as carol:
        token = await invited(alice, email=" Carol@Initech.test ")
        async with world.signed_in("bob@globex.test") as bob:
            refused = (403, "invite_for_another")
            assert await code(await redeem(bob, token)) == refused
        assert await code(await redeem(carol, token)) == refused

        # Proven while the session goes on: its next token says so.
        change(world, CAROL, email_verified=True)
        assert (await redeem(carol, token)).status == 200
        assert (await who(carol))[1] == TENANT
        assert (await carol.post("/auth/refresh")).status == 200


async def test_one_who_signs_up_by_invitation_lands_in_that_tenant(
    world: World,
) -> None:
    async with world.signed_in() as alice, world.browser() as browser:
        token = await invited(alice)
        page = await browser.navigate("/invite")
        assert page.status == 200
        attempt = await begin(browser, return_to="/invite")
        back = await come_back(browser, await prove(browser, attempt, CAROL))
        assert back.headers["Location"] == "/invite"
        body = {"email": CAROL, "tenant_id": 1002, "workspace_name": "Globex"}
        assert (await browser.post("/auth/register", json=body)).status == 200
        assert (await redeem(browser, token)).status == 200

        assert await who(browser) == (200, TENANT, ["viewer"])


async def test_where_only_the_invited_come_in_they_found_nothing(
    databases: Databases,
) -> None:
    world = World(databases, settings={"onboarding": {"open_to": "invited"}})
    async with (
        world.running(),
        world.signed_in() as alice,
        world.signed_in(CAROL) as carol,
    ):
        closed = await carol.post("/onboarding/first_login")
        assert await code(closed) == (403, "onboarding_closed")
        assert (await redeem(carol, await invited(alice))).status == 200
        answer = await carol.post("/onboarding/first_login")
        assert answer.status in {200, 202}
        assert (await answer.json())["tenant_id"] == TENANT
