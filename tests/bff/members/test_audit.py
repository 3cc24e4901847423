"""What people do is in the log of their tenant, and its admins read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.bff.auth.redirects import begin, come_back, prove
from tests.bff.auth.test_backchannel import claims, deliver, signed
from tests.bff.members.inviting import INVITES, TENANT, invited, made_admin, redeem
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
)
from tests.bff.sessions.refreshing import code, ticket, without_id
from tests.bff.waiting import until
from tests.world import PASSWORD

if TYPE_CHECKING:
    from tests.world import Browser, World

AUDIT = f"/tenants/{TENANT}/audit"


async def read(browser: Browser, query: str = "") -> dict[str, Any]:
    answer = await browser.get(AUDIT + query)
    assert answer.status == 200, await answer.text()
    body: dict[str, Any] = await answer.json()
    return body


def told(found: list[dict[str, Any]]) -> list[tuple[str, int | None, str]]:
    return [(one["action"], one["tenant_id"], one["subject"]) for one in found]


async def test_an_admin_reads_what_was_done_in_the_tenant_only(world: World) -> None:
    async with (
        world.signed_in() as alice,
        world.signed_in(DAVE) as dave,
        world.signed_in(BOB),
        world.signed_in(CAROL),
    ):
        answer = await alice.get(AUDIT)
        assert answer.headers["Cache-Control"] == "no-store"
        body = await read(alice)
        assert body["next"] is None
        assert [one["action"] for one in body["entries"]] == [
            "session.signed_in", "member.joined",
        ] * 2  # fmt: skip
        newest = body["entries"][0]
        assert set(newest) == {
            *("audit_id", "at", "action", "actor", "actor_email", "subject"),
            *("detail", "address", "request_id"),
        }
        assert newest["actor"] == newest["subject"] == sub_of(world, DAVE)
        assert (newest["actor_email"], newest["address"]) == (DAVE, "127.0.0.1")
        assert newest["detail"]["way"] == "password"
        assert newest["request_id"]
        joined = body["entries"][1]
        assert (joined["actor"], joined["actor_email"]) == (None, None)

        assert await code(await dave.get(AUDIT)) == (403, "role_missing")
        foreign = await alice.get("/tenants/1002/audit")
        unknown = await alice.get("/tenants/987654/audit")
        assert foreign.status == unknown.status == 404
        assert without_id(await foreign.json()) == without_id(await unknown.json())
    # Who has no tenant is in nobody's log, and in the operator's.
    (nobody,) = [one for one in await entries(world) if one["tenant_id"] is None]
    assert nobody["action"] == "session.signed_in"
    assert nobody["actor_email"] == CAROL


async def test_pages_begin_where_the_last_one_ended(world: World) -> None:
    async with world.signed_in() as alice:
        async with world.databases.superuser() as superuser:
            await superuser.execute(
                "INSERT INTO audit_log (tenant_id, action) "
                "SELECT $1, 'test.act' FROM generate_series(1, 60)",
                TENANT,
            )
        assert len((await read(alice))["entries"]) == 50
        everything = (await read(alice, "?limit=200"))["entries"]
        assert len(everything) == 62
        seen: list[dict[str, Any]] = []
        query = "?limit=7"
        while True:
            found = await read(alice, query)
            seen += found["entries"]
            if found["next"] is None:
                break
            query = f"?limit=7&before={found['next']}"
        assert seen == everything
        ids = [one["audit_id"] for one in seen]
        assert ids == sorted(ids, reverse=True)
        only = await read(alice, "?action=session.&limit=200")
        assert [one["action"] for one in only["entries"]] == ["session.signed_in"]


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=201", "limit=x", "limit=", "limit=1.5", "limit=%00"),
        *("before=0", "before=-1", "before=99999999999999999999", "before=x"),
        *("action=%25", "action=%00", "action=A", f"action={'a' * 65}"),
    ],
)
async def test_a_wrong_question_is_said_so(world: World, query: str) -> None:
    async with world.signed_in() as alice:
        assert await code(await alice.get(f"{AUDIT}?{query}")) == (400, "bad_request")


async def test_both_ways_in_are_told_and_no_renewal(world: World) -> None:
    async with world.browser() as browser:
        back = await come_back(
            browser, await prove(browser, await begin(browser), ALICE)
        )
        assert back.status == 303
        for _ in range(3):
            assert (await browser.post("/auth/refresh")).status == 200
        await browser.login(ALICE)
        refused = await browser.login(ALICE, "wrong")
        assert refused.status == 401

    found = await entries(world, "session.%")
    assert [(one["action"], one["detail"].get("way")) for one in found] == [
        ("session.signed_in", "sso"),
        ("session.signed_in", "password"),
        ("session.ended", None),
    ]
    assert found[-1]["detail"]["reason"] == "signed_in_again"


async def test_every_ending_is_told(world: World) -> None:
    async with (
        world.signed_in() as alice,
        world.signed_in() as lost,
        world.signed_in(DAVE) as dave,
    ):
        here = ticket(world, lost.cookies).sid
        await alice.request("DELETE", f"/auth/sessions/{here}")
        await alice.request("DELETE", f"{path_of(world, DAVE)}/sessions")
        await dave.login(DAVE)
        await deliver(world, signed(world, claims(world, sub=sub_of(world, DAVE))))
        await dave.login(DAVE)
        await dave.post("/auth/logout")
        await dave.login(DAVE)
        async with world.signed_in(DAVE):
            await dave.post("/auth/logout", json={"everywhere": True})
        await dave.login(DAVE)
        found = world.provider.accounts.find(DAVE)
        assert found is not None
        world.provider.accounts.change(found, enabled=False)
        assert (await dave.post("/auth/refresh")).status == 401

    ended = [
        (
            one["detail"]["reason"],
            one["detail"]["count"],
            one["actor_email"],
            one["subject"],
        )
        for one in await entries(world, "session.ended")
    ]
    by_alice, by_dave = sub_of(world, ALICE), sub_of(world, DAVE)
    assert ended == [
        ("ended_by_owner", 1, ALICE, by_alice),
        ("ended_by_admin", 1, ALICE, by_dave),
        ("provider_logout", 1, "", by_dave),
        ("signed_out", 1, DAVE, by_dave),
        ("signed_out_everywhere", 2, DAVE, by_dave),
        ("refresh_refused", 1, "", by_dave),
    ]
    assert {one["tenant_id"] for one in await entries(world, "session.ended")} == {
        TENANT
    }


async def test_signing_out_everywhere_is_told_in_each_tenant(world: World) -> None:
    async with world.signed_in(DAVE) as first, world.signed_in(DAVE) as second:
        await make_member(world, DAVE, tenant_id=1002)
        await second.post("/auth/tenant", json={"tenant_id": 1002})
        await first.post("/auth/logout", json={"everywhere": True})

    found = [
        (one["tenant_id"], one["detail"]["count"])
        for one in await entries(world, "session.ended")
        if one["detail"]["reason"] == "signed_out_everywhere"
    ]
    assert found == [(1001, 1), (1002, 1)]


async def test_what_ends_nothing_is_no_act(world: World) -> None:
    async with world.signed_in() as alice, world.signed_in(DAVE) as dave:
        before = len(await entries(world))
        await alice.request("DELETE", f"/auth/sessions/{'0' * 32}")
        await remove(alice, world, BOB)
        await change(alice, world, DAVE, "admin")
        await dave.request("DELETE", path_of(world, ALICE))
        await alice.request("DELETE", f"{INVITES}/{'0' * 32}")
        await redeem(dave, "unknown")
        await alice.post("/auth/tenant", json={"tenant_id": 1002})
        await alice.post(INVITES, json={"roles": ["admin"]})
        await alice.post(INVITES, json={"roles": ["owner"]})

        assert len(await entries(world)) == before


async def test_what_becomes_of_members_and_invitations_is_told(world: World) -> None:
    async with world.signed_in() as alice, world.signed_in(CAROL) as carol:
        await made_admin(world)
        answer = await alice.post(INVITES, json={"email": CAROL, "roles": ["ops"]})
        made = await answer.json()
        other = await (await alice.post(INVITES, json={})).json()
        await alice.request("DELETE", f"{INVITES}/{other['invite_id']}")
        token = made["invite_url"].rpartition("#")[2]
        assert (await redeem(carol, token)).status == 200
        assert (await change(alice, world, CAROL, "viewer")).status == 200
        assert (await remove(alice, world, CAROL)).status == 204

        seen = (await read(alice, "?limit=200"))["entries"]
    acts = [one for one in reversed(seen) if one["actor_email"] or one["subject"]]
    found = [(one["action"], one["actor_email"], one["subject"]) for one in acts[2:]]
    person = sub_of(world, CAROL)
    assert found == [
        ("invite.made", ALICE, made["invite_id"]),
        ("invite.made", ALICE, other["invite_id"]),
        ("invite.revoked", ALICE, other["invite_id"]),
        ("invite.redeemed", CAROL, made["invite_id"]),
        ("session.came_in", CAROL, person),
        ("member.roles_changed", ALICE, person),
        ("member.removed", ALICE, person),
    ]
    by_action = {one["action"]: one["detail"] for one in acts}
    assert by_action["invite.redeemed"]["roles"] == ["viewer", "ops"]
    assert by_action["member.roles_changed"] == {
        "before": ["viewer", "ops"],
        "roles": ["viewer"],
        "email": CAROL,
        "sessions_ended": 1,
    }
    assert by_action["member.removed"]["sessions_ended"] == 0


async def test_onboarding_is_told_from_its_start_to_its_end(world: World) -> None:
    async with world.signed_in(CAROL) as carol:
        assert (await carol.post("/onboarding/first_login", json={})).status == 202
        assert (await carol.post("/onboarding/first_login", json={})).status in {
            200,
            202,
        }

        async def ready() -> bool:
            return bool(await entries(world, "onboarding.ready"))

        await until(ready, seconds=20)

    found = [one for one in await entries(world) if one["tenant_id"] is not None]
    tenant = found[0]["tenant_id"]
    assert told(found) == [
        ("onboarding.started", tenant, ""),
        ("session.came_in", tenant, sub_of(world, CAROL)),
        ("onboarding.ready", tenant, ""),
    ] or told(found) == [
        ("onboarding.started", tenant, ""),
        ("onboarding.ready", tenant, ""),
        ("session.came_in", tenant, sub_of(world, CAROL)),
    ]
    by_action = {one["action"]: one for one in found}
    assert by_action["onboarding.started"]["actor_email"] == CAROL
    assert by_action["onboarding.started"]["request_id"]
    assert by_action["onboarding.ready"]["actor"] == ""


async def test_no_entry_holds_a_secret(world: World) -> None:
    async with world.signed_in() as alice, world.signed_in(CAROL) as carol:
        await made_admin(world)
        token = await invited(alice)
        await redeem(carol, token)
        await change(alice, world, CAROL, "ops")
        await carol.login(CAROL)
        await carol.post("/auth/logout", json={"everywhere": True})
        jar = [*alice.cookies.values(), *carol.cookies.values()]
        sid = ticket(world, alice.cookies).sid
        tokens = [ticket(world, alice.cookies).access_token]

    written = json.dumps(await entries(world), default=str)
    for secret in (PASSWORD, token, sid.hex, str(sid), *tokens, *jar):
        assert secret[:40] not in written


ACTS = ("sign in", "sign out", "end", "invite", "revoke", "redeem", "change", "remove")


@pytest.mark.parametrize("act", [*ACTS, "switch", "sessions"])
async def test_without_its_entry_an_act_does_not_happen(
    world: World, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """The log cannot be written: what would be told there must not be either."""
    async with (
        world.signed_in() as alice,
        world.signed_in(DAVE) as dave,
        world.signed_in(CAROL) as carol,
    ):
        await made_admin(world)
        await make_member(world, ALICE, "admin", tenant_id=1002)
        token = await invited(alice)
        made = (await (await alice.get(INVITES)).json())["invites"][0]["invite_id"]
        sid = ticket(world, dave.cookies).sid
        async with world.databases.superuser() as superuser:
            await superuser.execute("REVOKE INSERT ON audit_log FROM bff_app")
            state = await _state(superuser)
            answer = await {
                "sign in": lambda: carol.login(CAROL),
                "sign out": lambda: dave.post("/auth/logout"),
                "end": lambda: dave.request("DELETE", f"/auth/sessions/{sid}"),
                "invite": lambda: alice.post(INVITES, json={}),
                "revoke": lambda: alice.request("DELETE", f"{INVITES}/{made}"),
                "redeem": lambda: redeem(carol, token),
                "change": lambda: change(alice, world, DAVE, "ops"),
                "remove": lambda: remove(alice, world, DAVE),
                "switch": lambda: alice.post("/auth/tenant", json={"tenant_id": 1002}),
                "sessions": lambda: alice.request(
                    "DELETE", f"{path_of(world, DAVE)}/sessions"
                ),
            }[act]()
            assert answer.status == 500, act
            assert await _state(superuser) == state
            await superuser.execute("GRANT INSERT ON audit_log TO bff_app")


async def _state(superuser: Any) -> list[str]:
    found = []
    for table in ("tenant_users", "tenant_invites", "auth_session", "ended_session"):
        rows = await superuser.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3")  # noqa: S608 - names of this line
        found.append(str([dict(row) for row in rows]))
    return found
