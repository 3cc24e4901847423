"""Onboarding over HTTP: start it, ask for it, watch it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import aiohttp
import pytest

from bff.onboarding import routes
from bff.onboarding.phases import NAMES
from bff.onboarding.store import ONBOARDING
from bff.sessions.revocation import ENDED
from tests.bff.waiting import until
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.world import Browser

AT = "2026-01-02T03:04:05+00:00"
NONE = {
    "tenant_id": None,
    "status": "none",
    "error": None,
    "phases": [
        {
            "name": name,
            "state": "pending",
            "detail": None,
            "started_at": None,
            "finished_at": None,
        }
        for name in NAMES
    ],
    "attempt": 0,
}


@pytest.fixture
async def idle(databases: Databases) -> AsyncGenerator[World]:
    """Give a world without a worker: nothing moves but what a test moves."""
    world = World(databases, settings={"worker": {"embedded": False}})
    async with world.running() as running:
        yield running


class Events:
    """Read server-sent events."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> str:
        block = await asyncio.wait_for(self.answer.content.readuntil(b"\n\n"), 8)
        return block.decode()

    async def document(self) -> tuple[int, dict[str, Any]]:
        lines = (await self.next()).splitlines()
        assert lines[0].startswith("id: ")
        assert lines[1].startswith("data: ")
        return int(lines[0][4:]), json.loads(lines[1][6:])


@asynccontextmanager
async def following(browser: Browser, **headers: str) -> AsyncGenerator[Events]:
    answer = await browser.get("/onboarding/events", headers=headers)
    assert answer.status == 200
    assert answer.content_type == "text/event-stream"
    try:
        yield Events(answer)
    finally:
        answer.close()


async def advance(world: World, tenant_id: int, name: str) -> None:
    store = world.app[ONBOARDING]
    claimed = await store.claim(tenant_id)
    assert claimed is not None
    progress, fence = claimed
    assert await store.save(tenant_id, progress.begin(name, AT), fence)


async def test_a_first_sign_in_is_202_then_200_with_the_same_tenant(
    idle: World,
) -> None:
    async with idle.signed_in("carol@initech.test") as browser:
        before = await browser.get("/onboarding/status")
        assert (before.status, await before.json()) == (200, NONE)

        answer = await browser.post(
            "/onboarding/first_login", json={"workspace_name": "Initech"}
        )
        again = await browser.post("/onboarding/first_login")

        started = await answer.json()
        assert (answer.status, again.status) == (202, 200)
        assert started == await again.json()
        assert started == {
            **NONE,
            "tenant_id": started["tenant_id"],
            "status": "starting",
            "attempt": 1,
        }
        assert started["tenant_id"] > 2000
        assert await (await browser.get("/onboarding/status")).json() == started
        who = await (await browser.get("/whoami")).json()
        assert who["tenant_id"] == started["tenant_id"]
        assert who["roles"] == ["viewer", "admin"]


async def test_it_comes_to_ready_by_itself(world: World) -> None:
    async with world.signed_in("carol@initech.test") as browser:
        answer = await browser.post("/onboarding/first_login")
        assert answer.status == 202
        async with following(browser) as events, asyncio.timeout(10):
            found: dict[str, Any] = {}
            numbers = []
            while found.get("status") != "ready":
                number, found = await events.document()
                numbers.append(number)
        assert numbers == sorted(set(numbers))
        assert [phase["state"] for phase in found["phases"]] == [
            "done", "skipped", "skipped", "skipped", "done",
        ]  # fmt: skip


async def test_after_an_error_a_further_try_is_202_and_the_next_attempt(
    idle: World,
) -> None:
    async with idle.signed_in() as browser:
        await browser.post("/onboarding/first_login")
        store = idle.app[ONBOARDING]
        claimed = await store.claim(1001)
        assert claimed is not None
        failed = claimed[0].fail("starting", AT, "Odoo is away.")
        assert await store.save(1001, failed, claimed[1])
        found = await (await browser.get("/onboarding/status")).json()
        assert (found["status"], found["error"]) == ("error", "Odoo is away.")

        again = await browser.post("/onboarding/first_login")

        assert again.status == 202
        assert (await again.json())["attempt"] == 2


async def test_a_stranger_gets_401_everywhere(idle: World) -> None:
    async with idle.browser() as browser:
        assert (await browser.post("/onboarding/first_login")).status == 401
        for path in ("status", "events"):
            answer = await browser.get(f"/onboarding/{path}")
            assert answer.status == 401
            assert (await answer.json())["code"] == "not_signed_in"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"workspace_name": ""}', 422),
        (b'{"workspace_name": 5}', 422),
        (b'{"workspace_name": "a\\u0007b"}', 422),
        (b'{"workspace_name": "' + b"x" * 201 + b'"}', 422),
        (b'{"tenant_id": 1002}', 422),
        (b"[]", 422),
        (b"{", 400),
    ],
)
async def test_bad_bodies_make_nothing(idle: World, body: bytes, status: int) -> None:
    async with idle.signed_in("carol@initech.test") as browser:
        answer = await browser.post(
            "/onboarding/first_login",
            data=body,
            headers={"Content-Type": "application/json"},
        )

        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        status_now = await (await browser.get("/onboarding/status")).json()
        assert status_now["status"] == "none"


async def test_a_form_is_refused(idle: World) -> None:
    async with idle.signed_in("carol@initech.test") as browser:
        answer = await browser.post("/onboarding/first_login", data={"x": "y"})

        assert answer.status == 415


async def test_policy_closes_the_door_with_403(databases: Databases) -> None:
    settings = {"onboarding": {"open_to": "invited"}}
    async with (
        World(databases, settings=settings).running() as world,
        world.signed_in("carol@initech.test") as browser,
    ):
        answer = await browser.post("/onboarding/first_login")

        assert answer.status == 403
        assert (await answer.json())["code"] == "onboarding_closed"


async def test_a_foreign_tenant_looks_exactly_like_an_unknown_one(idle: World) -> None:
    async with idle.signed_in() as browser:
        own = await browser.get("/tenants/1001")
        assert (own.status, (await own.json())["tenant_id"]) == (200, 1001)

        bodies = []
        for path in ("1002", "999999", "01001", "x", "1001%00", "%31001x"):
            answer = await browser.get(f"/tenants/{path}")
            assert answer.status == 404, path
            body = await answer.json()
            assert body.pop("request_id")
            bodies.append(body)
        assert bodies == [bodies[0]] * len(bodies)


async def test_one_event_for_each_change_and_none_twice(idle: World) -> None:
    async with idle.signed_in() as browser:
        await browser.post("/onboarding/first_login")
        async with following(browser) as events:
            first, found = await events.document()
            assert found["status"] == "starting"
            await advance(idle, 1001, "starting")
            second, found = await events.document()
            assert found["phases"][0]["state"] == "running"
            await advance(idle, 1001, "creating_odoo")
            third, _ = await events.document()
            assert (second, third) == (first + 1, first + 2)

        async with following(browser, **{"Last-Event-ID": str(third)}) as events:
            await advance(idle, 1001, "seeding")
            number, _ = await events.document()
            assert number == third + 1  # what was seen is not said again
        async with following(browser, **{"Last-Event-ID": str(first)}) as events:
            assert (await events.document())[0] == number


async def test_another_tenant_s_changes_are_not_heard(
    idle: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "HEARTBEAT", 0.3)
    async with idle.signed_in() as alice, idle.signed_in("bob@globex.test") as bob:
        await alice.post("/onboarding/first_login")
        await bob.post("/onboarding/first_login")
        async with following(bob) as events:
            await events.document()
            await advance(idle, 1001, "starting")
            assert await events.next() == ": heartbeat\n\n"


async def test_silence_is_filled_with_heartbeats(
    idle: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "HEARTBEAT", 0.1)
    async with idle.signed_in() as browser, following(browser) as events:
        await events.document()
        assert await events.next() == ": heartbeat\n\n"
        assert await events.next() == ": heartbeat\n\n"


async def test_events_break_off_when_the_session_ends(idle: World) -> None:
    async with idle.signed_in() as browser, following(browser) as events:
        await events.document()

        assert (await browser.post("/auth/logout")).status == 204

        with pytest.raises((aiohttp.ClientPayloadError, asyncio.IncompleteReadError)):
            await events.next()
        assert isinstance(events.answer.content.exception(), aiohttp.ClientPayloadError)


async def test_a_browser_that_leaves_leaves_nothing_behind(idle: World) -> None:
    async with idle.signed_in() as browser:
        async with following(browser) as events:
            await events.document()
            (number,) = idle.app[ENDED]._live

        async def gone() -> bool:
            return not idle.app[ENDED].count(UUID(int=number))

        await until(gone)


@pytest.mark.parametrize(
    ("email", "by_claim"), [("alice@acme.test", True), ("dave@acme.test", False)]
)
async def test_who_is_admin_by_claim_alone_is_kept_as_such(
    idle: World, email: str, *, by_claim: bool
) -> None:
    async with idle.signed_in(email) as browser:
        whoami = await (await browser.get("/whoami")).json()
        assert (whoami["tenant_id"], "admin" in whoami["roles"]) == (1001, by_claim)
        async with idle.databases.superuser() as superuser:
            roles = "SELECT roles FROM tenant_users WHERE email = $1"
            assert "admin" not in await superuser.fetchval(roles, email)

            assert (await browser.post("/onboarding/first_login")).status == 202

            (row,) = await superuser.fetch(
                "SELECT tenant_id, founder_by_claim FROM onboarding"
            )
    assert tuple(row) == (1001, by_claim)
