"""Every route, called by one tenant's admin with all that could name the other tenant.

Nothing of the other tenant's is in any byte of any answer, none of its rows is another
one afterwards, and its people are still signed in. Both ways round.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

import pytest

from tests.isolation.inputs import INPUTS
from tests.isolation.tenants import (
    EMAILS,
    QUIET,
    SEEDS,
    Tenant,
    fingerprint,
    leaked,
    login,
    named_tenants,
    settle,
    tenant_tables,
)
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import aiohttp

    from tests.databases import Databases
    from tests.world import Browser

BOTH: list[tuple[int, int]] = [(1001, 1002), (1002, 1001)]
EVENTS = "/onboarding/events"
# How long an event may take that is there already.
SOON = 20.0


@dataclass
class Call:
    """A request before it is sent."""

    method: str
    template: str
    places: dict[str, str]
    body: dict[str, Any] | None
    form: dict[str, str] | None
    query: dict[str, str]
    headers: dict[str, str]

    @property
    def path(self) -> str:
        """Return the path with everything in its place, none of it looked at twice."""
        return re.sub(r"\{\w+\}", lambda name: self.places[name[0]], self.template)


def as_it_is_meant(call: Call, mine: Tenant, other: Tenant) -> None:
    """Ask for one's own things."""


def by_path(call: Call, mine: Tenant, other: Tenant) -> None:
    """Put the other's numbers in the place of one's own."""
    call.places = other.places


def by_path_below_one_s_own(call: Call, mine: Tenant, other: Tenant) -> None:
    """Ask for the other's things as if they were in one's own tenant."""
    call.places = {**other.places, "{tenant_id}": mine.places["{tenant_id}"]}


def by_body(call: Call, mine: Tenant, other: Tenant) -> None:
    named = {"tenant_id": other.tenant_id, "tenant": other.tenant_id}
    if call.form is not None:
        call.form = {**call.form, "tenant_id": str(other.tenant_id)}
    else:
        call.body = {**(call.body or {}), **named}


def by_body_alone(call: Call, mine: Tenant, other: Tenant) -> None:
    """Name the other where the route itself takes a tenant, and in what is nested."""
    if call.body is not None:
        call.body = {
            name: other.tenant_id
            if name == "tenant_id"
            else {**value, "tenant_id": other.tenant_id}
            if isinstance(value, dict)
            else value
            for name, value in call.body.items()
        }


def by_query(call: Call, mine: Tenant, other: Tenant) -> None:
    for name in ("tenant_id", "tenant", "tenantId", "workspace", "org_id", "user_id"):
        call.query[name] = str(other.tenant_id)


def by_headers(call: Call, mine: Tenant, other: Tenant) -> None:
    number = str(other.tenant_id)
    call.headers |= {
        "X-Tenant-ID": number,
        "X-Tenant": number,
        "Tenant-Id": number,
        "X-Org-Id": number,
        "X_Tenant_ID": number,
        "X-User-Email": other.email,
        "X-User-Id": other.sub,
        "X-User-Roles": "admin",
        "X-Auth-Request-Email": other.email,
        "X-Auth-Request-User": other.sub,
        "X-Forwarded-User": other.email,
        "X-Forwarded-Email": other.email,
        "X-Remote-User": other.email,
        "Remote-User": other.email,
        "Authorization": f"Bearer tenant-{number}",
        "Last-Event-ID": "0",
    }


ATTACKS = [
    as_it_is_meant,
    by_path,
    by_path_below_one_s_own,
    by_body,
    by_body_alone,
    by_query,
    by_headers,
]


@dataclass
class Scene:
    """Two tenants: *mine* asks, *other* has something to lose."""

    world: World
    mine: Tenant
    other: Tenant
    browser: Browser
    theirs: Browser


@asynccontextmanager
async def scene(databases: Databases, way: tuple[int, int]) -> AsyncGenerator[Scene]:
    """Run a gateway with both tenants' admins signed in."""
    world = World(databases, settings=QUIET)
    async with world.running(), world.browser() as one, world.browser() as two:
        tenants = await settle(world)
        mine, other = (tenants[tenant_id] for tenant_id in way)
        await login(one, mine)
        await login(two, other)
        yield Scene(world, mine, other, one, two)


async def test_every_route_has_a_row(databases: Databases) -> None:
    async with World(databases, settings=QUIET).running() as world:
        assert served(world) == set(INPUTS), "say what the new route takes"


async def test_every_table_with_a_tenant_has_something_of_both(
    databases: Databases,
) -> None:
    async with World(databases, settings=QUIET).running() as world:
        await settle(world)
        async with databases.superuser() as superuser:
            tables = await tenant_tables(superuser)
            assert set(tables) == set(SEEDS), "say what is in the new table"
            for table in tables:
                for tenant_id in EMAILS:
                    count = await superuser.fetchval(
                        f"SELECT count(*) FROM {table} WHERE tenant_id = $1",  # noqa: S608 - from the catalogue
                        tenant_id,
                    )
                    assert count, f"{table} of {tenant_id}"


def served(world: World) -> set[tuple[str, str]]:
    return {
        (route.method, route.resource.canonical)
        for route in world.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }


@pytest.mark.parametrize("way", BOTH, ids=str)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.__name__)
async def test_no_route_shows_or_changes_what_is_another_s(
    databases: Databases, attack: Callable[[Call, Tenant, Tenant], None], way: Any
) -> None:
    async with scene(databases, way) as it, databases.superuser() as superuser:
        await it.browser.get("/whoami")
        before = await fingerprint(superuser, it.other.tenant_id)
        for method, path in sorted(served(it.world), key=removing_last):
            call = made(it, method, path)
            attack(call, it.mine, it.other)
            status, answer, body = await sent(it.browser, call)
            place = f"{attack.__name__}: {call.method} {call.path}"
            assert leaked(answer, it.other) == [], place
            assert named_tenants(body) <= {it.mine.tenant_id}, place
            after = await fingerprint(superuser, it.other.tenant_id)
            assert after == before, place
            if attack is as_it_is_meant:
                assert status in INPUTS[method, path].expected, f"{place}: {body!r}"
            assert status < 500, f"{place}: {status}"
            await still_oneself(it)
        # Nothing that came along went on to the graph server.
        assert leaked(str(it.world.graph.seen).encode(), it.other) == []
        assert it.world.graph.seen
        await still_there(it)


@pytest.mark.parametrize("way", BOTH, ids=str)
async def test_another_s_number_is_answered_as_one_that_nobody_has(
    databases: Databases, way: Any
) -> None:
    unknown = {
        "{tenant_id}": "987654",
        "{session_id}": str(UUID(int=7)),
        "{invite_id}": str(UUID(int=7)),
        "{rule_id}": "987654",
        "{user}": "nobody",
    }
    async with scene(databases, way) as it:
        asked = [
            (method, path, name)
            for method, path in sorted(served(it.world))
            for name in unknown
            if name in path
        ]
        assert len(asked) > 10
        for method, path, name in asked:
            told = []
            for place in (it.other.places[name], unknown[name]):
                call = made(it, method, path)
                call.places = {**call.places, name: place}
                status, _, body = await sent(it.browser, call)
                document = json.loads(body)
                del document["request_id"]
                told.append((status, document))
            assert told[0][0] == 404, path
            assert told[0] == told[1], path


def removing_last(route: tuple[str, str]) -> tuple[bool, str, str]:
    """Order routes so that all is still there for those which only look."""
    method, path = route
    return method == "DELETE", method, path


def made(it: Scene, method: str, path: str) -> Call:
    """Return a call of *path* as the caller would make it for their own things."""
    inputs = INPUTS[method, path]
    verb = "POST" if method == "*" else method
    body = inputs.body_of(it.mine)
    places = it.mine.places
    return Call(verb, path, places, body, inputs.form, dict(inputs.query), {})


async def sent(browser: Browser, call: Call) -> tuple[int, bytes, bytes]:
    """Send *call* and return its status, the whole answer, and its body."""
    target = f"{call.path}?{urlencode(call.query)}" if call.query else call.path
    kwargs: dict[str, Any] = {"headers": call.headers}
    if call.form is not None:
        kwargs["data"] = call.form
    elif call.body is not None:
        kwargs["json"] = call.body
    answer = await browser.request(call.method, target, **kwargs)
    body = await first_of(answer) if call.path == EVENTS else await answer.read()
    lines = [f"{answer.status} {answer.reason}".encode()]
    lines += [name + b": " + value for name, value in answer.raw_headers]
    return answer.status, b"\r\n".join([*lines, b"", body]), body


async def first_of(answer: aiohttp.ClientResponse) -> bytes:
    """Return the first event of a stream, or all of another answer."""
    if answer.content_type != "text/event-stream":
        return await answer.read()
    async with asyncio.timeout(SOON):
        found = await answer.content.readuntil(b"\n\n")
    answer.close()
    return found.partition(b"data: ")[2]


async def still_oneself(it: Scene) -> None:
    """See that nobody has become the other; sign in again where the session ended."""
    answer = await it.browser.get("/whoami")
    if answer.status == 200:
        assert (await answer.json())["tenant_id"] == it.mine.tenant_id
        return
    assert answer.status == 401
    await login(it.browser, it.mine)


async def still_there(it: Scene) -> None:
    """See that the other is signed in still, and can go on being so."""
    assert (await it.theirs.get("/whoami")).status == 200
    assert (await it.theirs.post("/auth/refresh")).status == 200
    answer = await it.theirs.get("/icp/rules")
    assert it.other.mark in await answer.text()


async def test_one_s_own_things_are_there_to_be_found(databases: Databases) -> None:
    """Else the walk would find nothing because there is nothing."""
    async with scene(databases, BOTH[0]) as it:
        own = f"/tenants/{it.mine.tenant_id}"
        for path in (
            "/export/latest_scores.json",
            "/export/latest_scores.csv",
            "/icp/rules",
            "/onboarding/status",
            own,
            f"{own}/members",
            f"{own}/invites",
            f"{own}/audit",
            "/auth/tenants",
        ):
            for browser, has, has_not in (
                (it.browser, it.mine, it.other),
                (it.theirs, it.other, it.mine),
            ):
                mine = path.replace(str(it.mine.tenant_id), str(has.tenant_id))
                text = (await (await browser.get(mine)).text()).lower()
                assert has.mark.lower() in text, path
                assert has_not.mark.lower() not in text, path


@pytest.mark.parametrize("way", BOTH, ids=str)
@pytest.mark.parametrize("late", [False, True], ids=["fresh", "due for renewal"])
async def test_cookies_of_two_people_make_no_third(
    databases: Databases, way: Any, *, late: bool
) -> None:
    """One's own access with the other's renewal: refused, or wholly one's own."""
    async with scene(databases, way) as it, databases.superuser() as superuser:
        async with it.world.browser() as mixed:
            if late:
                it.world.clock.ahead += it.world.realm.access_ttl - 5
            before = await fingerprint(superuser, it.other.tenant_id)
            cookies = {
                **{k: v for k, v in it.browser.cookies.items() if "access" in k},
                **{k: v for k, v in it.theirs.cookies.items() if "refresh" in k},
            }
            assert len(cookies) >= 2
            for method, path in sorted(served(it.world) - {("POST", "/auth/logout")}):
                call = made(it, method, path)
                if call.path == "/auth/login":
                    continue  # which brings cookies of its own
                mixed.set_cookies(cookies)
                status, answer, body = await sent(mixed, call)
                place = f"{call.method} {call.path}: {status}"
                assert status < 500, place
                assert leaked(answer, it.other) == [], place
                assert named_tenants(body) <= {it.mine.tenant_id}, place
                after = await fingerprint(superuser, it.other.tenant_id)
                assert after == before, place
                # Nor do the cookies that came of it make one the other.
                who = await mixed.get("/whoami")
                if who.status == 200:
                    assert (await who.json())["tenant_id"] == it.mine.tenant_id, place
            mixed.set_cookies(cookies)
            assert (await mixed.post("/auth/refresh")).status == 401
        await still_there(it)


@pytest.mark.parametrize("way", BOTH, ids=str)
async def test_a_stream_tells_of_one_s_own_changes_only(
    databases: Databases, way: Any
) -> None:
    async with scene(databases, way) as it, databases.superuser() as superuser:
        answer = await it.browser.get(EVENTS)
        assert answer.status == 200

        async def change(tenant: Tenant, error: str) -> None:
            await superuser.execute(
                "UPDATE onboarding SET error = $2, event_seq = event_seq + 1 "
                "WHERE tenant_id = $1",
                tenant.tenant_id,
                error,
            )
            # Woken for both: a stream must not go by what it is told.
            for one in (it.mine, it.other):
                await superuser.execute(
                    "SELECT pg_notify('onboarding', $1)", str(one.tenant_id)
                )

        got = b""
        async with asyncio.timeout(SOON):
            got += await answer.content.readuntil(b"\n\n")
            for number in range(3):
                await change(it.other, f"{it.other.mark} {number}")
                await change(it.mine, f"{it.mine.mark} {number}")
                sought = f"{it.mine.mark} {number}".encode()
                while sought not in got:
                    got += await answer.content.readuntil(b"\n\n")
        answer.close()
        assert leaked(got, it.other) == []
        for line in got.split(b"\n"):
            if line.startswith(b"data: "):
                told = json.loads(line.removeprefix(b"data: "))
                assert told["tenant_id"] == it.mine.tenant_id
