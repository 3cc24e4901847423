"""An admin sees the members, changes their roles, removes them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bff.sessions.browser import COOKIES
from tests.bff.members.inviting import TENANT, invited, made_admin, redeem
from tests.bff.members.people import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    MEMBERS,
    change,
    entries,
    make_member,
    path_of,
    remove,
    sub_of,
    who,
)
from tests.bff.sessions.refreshing import code, ticket, without_id
from tests.bff.waiting import until

if TYPE_CHECKING:
    from tests.world import Browser, World


async def listed(browser: Browser, query: str = "") -> list[tuple[str, list[str]]]:
    answer = await browser.get(MEMBERS + query)
    assert answer.status == 200, await answer.text()
    return [
        (one["email"], one["roles"]) for one in (await answer.json())["members"]
    ]  # fmt: skip


async def test_an_admin_sees_the_members_of_the_tenant_only(world: World) -> None:
    async with (
        world.signed_in() as alice,
        world.signed_in(DAVE) as dave,
        world.signed_in(BOB),
    ):
        await make_member(world, CAROL, "ops")
        answer = await alice.get(MEMBERS)
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        body = await answer.json()
        assert body["next"] is None
        first = body["members"][0]
        assert set(first) == {"user", "email", "roles", "joined_at", "removed_at"}
        assert first["user"] == sub_of(world, ALICE)
        assert await listed(alice) == [
            # An admin by a claim: our own table knows nothing of it.
            (ALICE, ["viewer"]),
            (CAROL, ["viewer", "ops"]),
            (DAVE, ["viewer"]),
        ]
        refused = (403, "role_missing")
        assert await code(await dave.get(MEMBERS)) == refused
        foreign = await alice.get("/tenants/1002/members")
        unknown = await alice.get("/tenants/987654/members")
        assert foreign.status == unknown.status == 404
        assert without_id(await foreign.json()) == without_id(await unknown.json())


async def test_a_long_list_comes_in_pages_that_miss_nobody(world: World) -> None:
    async with world.signed_in() as alice:
        async with world.databases.superuser() as superuser:
            await superuser.executemany(
                "INSERT INTO tenant_users (tenant_id, iss, sub, email) "
                "VALUES ($1, $2, $3, $4)",
                # Several without an address, and several with the same.
                [
                    (TENANT, world.issuer, f"s{n:02}", "" if n % 3 else "x@y.test")
                    for n in range(25)
                ],
            )
        seen: list[str] = []
        after = ""
        for _ in range(20):
            page = await (await alice.get(f"{MEMBERS}?limit=4{after}")).json()
            assert len(page["members"]) <= 4
            seen += [one["user"] for one in page["members"]]
            if page["next"] is None:
                break
            assert page["next"] == seen[-1]
            after = f"&after={page['next']}"
        everybody = (await (await alice.get(MEMBERS)).json())["members"]

    assert len(seen) == len(set(seen)) == 26
    assert seen == [one["user"] for one in everybody]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=-1"])
async def test_a_wrong_page_is_said_so(world: World, query: str) -> None:
    async with world.signed_in() as alice:
        assert await code(await alice.get(f"{MEMBERS}?{query}")) == (400, "bad_request")


async def test_behind_nobody_there_is_nobody(world: World) -> None:
    async with world.signed_in() as alice:
        for after in ("nobody", "%00", "", sub_of(world, BOB)):
            assert await listed(alice, f"?after={after}") == []


async def test_other_roles_end_the_sessions_and_count_from_the_next_on(
    world: World,
) -> None:
    async with world.signed_in() as alice, world.signed_in(DAVE) as dave:
        await made_admin(world)
        answer = await change(alice, world, DAVE, "ops")
        assert answer.status == 200
        body = await answer.json()
        assert (body["user"], body["roles"]) == (sub_of(world, DAVE), ["viewer", "ops"])
        assert await code(await dave.get("/whoami")) == (401, "session_ended")
        assert dave.cookies == {}

        await dave.login(DAVE)
        assert await who(dave) == (200, TENANT, ["viewer", "ops"])
        assert (await change(alice, world, DAVE, "viewer")).status == 200
        assert (await dave.get("/whoami")).status == 401
        assert await who(alice) == (200, TENANT, ["viewer", "admin"])


async def test_roles_that_are_the_same_end_nothing_and_are_no_act(world: World) -> None:
    async with world.signed_in() as alice, world.signed_in(DAVE) as dave:
        assert (await change(alice, world, DAVE, "viewer")).status == 200
        assert (await dave.get("/whoami")).status == 200

    assert await entries(world, "member.roles_changed") == []


async def test_a_removed_member_is_out_everywhere_and_no_claim_brings_them_back(
    world: World,
) -> None:
    async with (
        world.another_gateway() as other,
        world.signed_in() as alice,
        world.signed_in(DAVE) as here,
        world.browser(other) as there,
    ):
        assert (await there.login(DAVE)).status == 200
        stolen = there.cookies
        async with there.session.get(
            f"{other}/onboarding/events", headers={"Host": world.url[7:]}
        ) as stream:
            assert stream.status == 200
            await stream.content.readline()
            assert (await remove(alice, world, DAVE)).status == 204
            with pytest.raises(aiohttp.ClientPayloadError):
                await asyncio.wait_for(stream.read(), 10)
        for browser in (here, there):
            assert (await browser.get("/whoami")).status == 401

        async def refused() -> bool:
            there.set_cookies(stolen)
            return (await there.post("/auth/refresh")).status == 401

        await until(refused)
        assert await listed(alice) == [(ALICE, ["viewer"])]
        assert [email for email, _ in await listed(alice, "?removed=1")] == [
            ALICE, DAVE,
        ]  # fmt: skip
        # Dave's claim still names the tenant.
        assert (await here.login(DAVE)).status == 200
        assert await who(here) == (200, None, [])
        scores = await here.get("/export/latest_scores.json")
        assert await code(scores) == (403, "tenant_missing")

        unknown = await alice.request("DELETE", f"{MEMBERS}/nobody")
        for answer in (
            await remove(alice, world, DAVE),
            await change(alice, world, DAVE, "viewer", "ops"),
        ):
            assert answer.status == 404
            body = await answer.json()
            assert without_id(body) == without_id(await unknown.json())
        # An invitation made since does.
        assert (await redeem(here, await invited(alice))).status == 200
        assert await who(here) == (200, TENANT, ["viewer"])


async def test_sessions_for_another_tenant_outlive_a_removal(world: World) -> None:
    async with world.signed_in() as alice, world.signed_in(DAVE) as dave:
        await make_member(world, DAVE, tenant_id=1002)
        assert (await dave.post("/auth/tenant", json={"tenant_id": 1002})).status == 200

        assert (await remove(alice, world, DAVE)).status == 204

        assert await who(dave) == (200, 1002, ["viewer"])
        back = await dave.post("/auth/tenant", json={"tenant_id": TENANT})
        assert back.status == 404


async def test_the_last_admin_stays_one(world: World) -> None:
    async with world.signed_in() as alice:
        await made_admin(world)
        for answer in (
            await remove(alice, world, ALICE),
            await change(alice, world, ALICE, "viewer"),
            await change(alice, world, ALICE, "ops"),
        ):
            assert await code(answer) == (409, "last_admin")
            assert "identity provider" in (await answer.json())["detail"]
        # Whoever is admin by a claim, removed, or of another tenant does not count.
        await make_member(world, BOB, "admin", tenant_id=1002)
        await make_member(world, CAROL, "admin")
        assert (await remove(alice, world, CAROL)).status == 204
        assert await code(await remove(alice, world, ALICE)) == (409, "last_admin")
        assert (await change(alice, world, ALICE, "admin", "ops")).status == 200


async def test_one_may_go_when_another_admin_is_left(world: World) -> None:
    async with world.signed_in() as alice:
        await made_admin(world)
        await make_member(world, CAROL, "admin")

        assert (await remove(alice, world, ALICE)).status == 204

        assert world.app[COOKIES].open_access(alice.cookies) is None
        async with world.signed_in(CAROL) as carol:
            assert await listed(carol) == [(CAROL, ["viewer", "admin"])]
            assert await code(await remove(carol, world, CAROL)) == (409, "last_admin")


async def test_an_admin_by_a_claim_takes_roles_away_and_gives_none(
    world: World,
) -> None:
    async with world.signed_in() as alice, world.signed_in(DAVE):
        for email in (DAVE, ALICE):
            refused = await change(alice, world, email, "admin")
            assert await code(refused) == (403, "role_missing")
            assert "identity provider" in (await refused.json())["detail"]
        await make_member(world, DAVE, "ops", "admin")
        await make_member(world, CAROL, "admin")
        assert (await change(alice, world, DAVE, "ops")).status == 200
        assert (ALICE, ["viewer"]) in await listed(alice)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"roles": []},
        {"roles": ["owner"]},
        {"roles": "admin"},
        {"roles": ["viewer", "ops", "admin", "viewer"]},
        {"roles": [1]},
        {"roles": None},
        {"roles": {"admin": True}},
    ],
)
async def test_what_is_wrong_with_roles_is_said(
    world: World, body: dict[str, Any]
) -> None:
    async with world.signed_in() as alice, world.signed_in(DAVE):
        path = path_of(world, DAVE)
        answer = await alice.request("PATCH", path, json=body)
        assert await code(answer) == (422, "invalid_body")
        problems = (await answer.json())["errors"]
        assert {one["field"].partition(".")[0] for one in problems} == {"roles"}
        unread = await alice.request("PATCH", path, json={"roles": ["ops"], "x": 1})
        assert await code(unread) == (422, "invalid_body")


async def test_nobody_changes_or_removes_strangers(world: World) -> None:
    async with (
        world.signed_in() as alice,
        world.signed_in(DAVE) as dave,
        world.signed_in(BOB) as bob,
        world.browser() as stranger,
    ):
        bodies = set()
        for path in (
            path_of(world, BOB),
            path_of(world, BOB, 1002),
            path_of(world, BOB, 987654),
            f"{MEMBERS}/nobody",
            f"{MEMBERS}/%00",
            f"/tenants/01001/members/{sub_of(world, DAVE)}",
        ):
            for answer in (
                await alice.request("DELETE", path),
                await alice.request("PATCH", path, json={"roles": ["viewer"]}),
            ):
                assert answer.status == 404, path
                bodies.add(without_id(await answer.json()))
        assert len(bodies) == 1
        for browser, expected in ((dave, 403), (stranger, 401)):
            assert (await remove(browser, world, ALICE)).status == expected
            assert (await change(browser, world, DAVE, "admin")).status == expected
        for browser in (alice, dave, bob):
            assert (await browser.get("/whoami")).status == 200
    assert await entries(world, "member.r%") == []


async def test_of_two_admins_who_remove_each_other_one_stays(world: World) -> None:
    async with (
        world.another_gateway() as other,
        world.signed_in() as alice,
        world.browser(other) as dave,
    ):
        await made_admin(world)
        await make_member(world, DAVE, "admin")
        assert (await dave.login(DAVE)).status == 200
        both = await asyncio.gather(
            remove(alice, world, DAVE), remove(dave, world, ALICE)
        )

        (done,) = (one for one in both if one.status == 204)
        (refused,) = (one for one in both if one is not done)
        # The session of whoever came second has ended with the first's act, or ends
        # before its own is heard; never is it an act of somebody removed.
        assert await code(refused) == (401, "session_ended")
    assert len(await entries(world, "member.removed")) == 1
    async with world.databases.superuser() as superuser:
        left = await superuser.fetchval(
            "SELECT count(*) FROM tenant_users WHERE removed_at IS NULL "
            "AND 'admin' = ANY (roles)"
        )
    assert left == 1


async def test_an_act_by_a_session_that_has_just_ended_changes_nothing(
    world: World,
) -> None:
    """A gateway that has not heard of it yet asks the database."""
    async with world.signed_in() as alice, world.signed_in(DAVE) as dave:
        await made_admin(world)
        mine = ticket(world, alice.cookies)
        async with world.databases.superuser() as superuser:
            await superuser.execute(
                "UPDATE auth_session SET ended_at = now() WHERE sid = $1", mine.sid
            )
        assert await code(await remove(alice, world, DAVE)) == (401, "session_ended")
        assert await code(await change(alice, world, DAVE, "ops")) == (
            401, "session_ended",
        )  # fmt: skip
        assert (await dave.get("/whoami")).status == 200


async def test_an_admin_ends_a_member_s_sessions_on_every_replica(
    world: World,
) -> None:
    async with (
        world.another_gateway() as other,
        world.signed_in() as alice,
        world.signed_in("dave@acme.test") as first,
        world.browser(other) as second,
        world.signed_in("bob@globex.test") as bob,
    ):
        assert (await second.login("dave@acme.test")).status == 200
        async with second.session.get(
            f"{other}/onboarding/events", headers={"Host": world.url[7:]}
        ) as stream:
            assert stream.status == 200
            await stream.content.readline()
            path = f"/tenants/{TENANT}/members/{sub_of(world, 'dave@acme.test')}"
            answer = await alice.request("DELETE", f"{path}/sessions")
            assert answer.status == 204
            with pytest.raises(aiohttp.ClientPayloadError):
                await asyncio.wait_for(stream.read(), 10)
        for browser in (first, second):
            assert (await browser.get("/whoami")).status == 401
        for browser in (alice, bob):
            assert (await browser.get("/whoami")).status == 200
        async with world.databases.superuser() as superuser:
            reasons = await superuser.fetch(
                "SELECT DISTINCT end_reason FROM auth_session "
                "WHERE ended_at IS NOT NULL"
            )
        assert [row["end_reason"] for row in reasons] == ["ended_by_admin"]
        # Nothing keeps a member from signing in again.
        assert (await first.login("dave@acme.test")).status == 200


async def test_sessions_for_another_tenant_go_on(world: World) -> None:
    async with (
        world.signed_in() as alice,
        world.signed_in("dave@acme.test") as here,
        world.signed_in("dave@acme.test") as there,
    ):
        await make_member(world, DAVE, tenant_id=1002)
        answer = await there.post("/auth/tenant", json={"tenant_id": 1002})
        assert answer.status == 200
        path = f"/tenants/{TENANT}/members/{sub_of(world, 'dave@acme.test')}"
        assert (await alice.request("DELETE", f"{path}/sessions")).status == 204

        assert (await here.get("/whoami")).status == 401
        assert (await there.get("/whoami")).status == 200


async def test_ending_one_s_own_sessions_clears_the_cookies(world: World) -> None:
    async with world.signed_in() as alice:
        path = f"/tenants/{TENANT}/members/{sub_of(world, 'alice@acme.test')}"
        assert (await alice.request("DELETE", f"{path}/sessions")).status == 204

        assert world.app[COOKIES].open_access(alice.cookies) is None


async def test_nobody_ends_the_sessions_of_strangers(world: World) -> None:
    bob = sub_of(world, "bob@globex.test")
    async with (
        world.signed_in() as alice,
        world.signed_in("dave@acme.test") as viewer,
        world.signed_in("bob@globex.test") as stranger,
    ):
        bodies = set()
        for path in (
            f"/tenants/{TENANT}/members/{bob}/sessions",
            f"/tenants/{TENANT}/members/nobody/sessions",
            f"/tenants/{TENANT}/members/%00/sessions",
            f"/tenants/1002/members/{bob}/sessions",
            f"/tenants/987654/members/{bob}/sessions",
        ):
            answer = await alice.request("DELETE", path)
            assert answer.status == 404, path
            bodies.add(without_id(await answer.json()))
        assert len(bodies) == 1
        own = f"/tenants/{TENANT}/members/{sub_of(world, 'alice@acme.test')}"
        refused = await viewer.request("DELETE", f"{own}/sessions")
        assert await code(refused) == (403, "role_missing")
        for browser in (alice, stranger):
            assert (await browser.get("/whoami")).status == 200


HOSTILE = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=20).map(lambda one: one.decode("latin-1")),
    st.sampled_from(
        ["..", ".", "' OR 1=1 --", "%2e%2e", "\ud800", "%", "{user}", "*", "a" * 3000]
    ),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_whatever_is_asked_of_whomever_nothing_breaks(
    standing: tuple[World, Browser], data: st.DataObject
) -> None:
    world, alice = standing
    user = quote(data.draw(HOSTILE).encode("utf-8", "surrogatepass"), safe="")
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | HOSTILE,
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    )
    roles = data.draw(values.filter(lambda one: one != ["viewer"]))
    answers = [
        await alice.request("DELETE", f"{MEMBERS}/{user or 'x'}"),
        await alice.request("PATCH", f"{MEMBERS}/{user or 'x'}", json={"roles": roles}),
        await alice.request("PATCH", path_of(world, DAVE), json={"roles": roles}),
        await alice.get(f"{MEMBERS}?after={user}&limit={user}"),
        await alice.get(f"/tenants/1001/audit?before={user}"),
        await alice.get(f"/tenants/1001/audit?action={user}"),
        await alice.request("PATCH", f"/tenants/{user or 'x'}/members/x", json={}),
        await alice.post("/auth/tenant", json={"tenant_id": roles}),
    ]
    for answer in answers:
        await answer.read()  # which gives its connection back
    assert {one.status for one in answers} <= {200, 400, 404, 405, 414, 422}
    assert await listed(alice) == [(ALICE, ["viewer"]), (DAVE, ["viewer"])]


@pytest.fixture
async def standing(world: World) -> Any:
    async with world.signed_in() as alice, world.signed_in(DAVE):
        yield world, alice
