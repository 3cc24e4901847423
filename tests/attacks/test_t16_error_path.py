"""T16: a refusal asks no upstream and sends no byte of one (CVE-2025-31492)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from bff.graph import LIVE
from tests.attacks.outside import ask
from tests.bff.proxied import with_proxy
from tests.bff.raw import exchange, head
from tests.fakes.upstream import Peer, fake_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import pytest

    from tests.bff.raw import RawAnswer
    from tests.databases import Databases
    from tests.fakes.upstream import FakeUpstream
    from tests.world import World

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
SECRET = b"CANARY-of-the-upstream"
PATH = "/graph/threads/x/state"
ELSEWHERE = (
    "/graph/internal/truncate",
    "/graph/threads/x/../../internal",
    "/graph/threads/%2e%2e/internal",
    "/graph/threads%2fx",
    "/graph//threads/x",
    "/graph/threads/x%00",
    "/graph/threads/\\..\\x",
)


async def answers_all(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer(SECRET)


@asynccontextmanager
async def protected(
    databases: Databases,
) -> AsyncGenerator[tuple[World, FakeUpstream, dict[str, str]]]:
    """Give a world, an upstream that would tell everything, and alice's cookies."""
    async with fake_upstream(answers_all) as upstream:
        world = with_proxy(databases, upstreams=[upstream.url], max_body=1000)
        async with world.running(), world.signed_in() as browser:
            yield world, upstream, browser.cookies


def told_nothing(answer: RawAnswer, upstream: FakeUpstream, status: int) -> None:
    assert answer.status == status, answer.raw
    assert SECRET not in answer.raw
    assert answer.raw.count(b"HTTP/1.") == 1
    assert upstream.peers == [], "the upstream was called"


def spoilt(jar: dict[str, str]) -> dict[str, str]:
    return {name: f"{value[:-6]}AAAAAA" for name, value in jar.items()}


STRANGERS: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "no cookie": lambda _: {},
    "spoilt cookies": spoilt,
    "cookies of the wrong name": lambda jar: dict(
        zip(jar, reversed(list(jar.values())), strict=True)
    ),
    "half a ticket": lambda jar: {name: value[:60] for name, value in jar.items()},
    "a count that lies": lambda jar: {name: f"4{one[1:]}" for name, one in jar.items()},
}


async def test_a_stranger_learns_nothing_by_any_method(databases: Databases) -> None:
    async with protected(databases) as (world, upstream, jar):
        for method in METHODS:
            for changed in STRANGERS.values():
                answer = await ask(world, f"{method} {PATH}", jar=changed(jar))
                told_nothing(answer, upstream, 401)


async def test_another_site_learns_nothing_by_any_method(databases: Databases) -> None:
    foreign = (
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Origin: https://evil.test",
        "Origin: null",
        "Origin: https://evil.test\r\nUpgrade: websocket\r\nConnection: upgrade",
    )
    async with protected(databases) as (world, upstream, jar):
        cookie = "Cookie: " + "; ".join(f"{name}={one}" for name, one in jar.items())
        for method in METHODS:
            for lines in foreign:
                raw = head(world.url, f"{method} {PATH}", cookie, lines)
                told_nothing(await exchange(world.url, raw), upstream, 403)


async def test_a_path_or_method_that_is_not_forwarded_is_not_asked_for(
    databases: Databases,
) -> None:
    async with protected(databases) as (world, upstream, jar):
        for method in METHODS:
            for path in ELSEWHERE:
                answer = await ask(world, f"{method} {path}", jar=jar)
                assert answer.status in {400, 404, 405}, (method, path)
                told_nothing(answer, upstream, answer.status)
        for method in ("PUT", "PATCH", "DELETE", "QUERY", "get", "TRACE", "CONNECT"):
            answer = await ask(world, f"{method} {PATH}", jar=jar)
            assert answer.status in {400, 404, 405, 421}, method
            told_nothing(answer, upstream, answer.status)


async def test_a_refusal_by_state_comes_before_the_upstream(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with protected(databases) as (world, upstream, jar):

        async def refused(status: int) -> None:
            for method in ("GET", "POST"):
                answer = await ask(world, f"{method} {PATH}", jar=jar, body=b"{}")
                told_nothing(answer, upstream, status)

        async with world.signed_in("carol@initech.test") as carol:
            for method in ("GET", "POST"):
                answer = await ask(world, f"{method} {PATH}", jar=carol.cookies)
                told_nothing(answer, upstream, 403)

        told_nothing(
            await ask(world, f"GET {PATH}", jar=jar, host="evil.test"), upstream, 421
        )
        big = await ask(world, f"POST {PATH}", jar=jar, body=b"x" * 1001)
        told_nothing(big, upstream, 413)

        monkeypatch.setattr(world.app[LIVE], "draining", True)
        await refused(503)
        monkeypatch.undo()

        world.clock.ahead += 400  # the token is dead, and nobody gives another

        async def away(_: web.Request) -> web.StreamResponse:
            return web.Response(status=502, body=SECRET)

        world.provider.intercept = away
        await refused(503)

        world.provider.intercept = None
        await world.provider.end_sessions(
            next(one.sub for one in world.provider.people if "alice" in one.email)
        )
        await asyncio.sleep(0)
        await refused(401)


async def test_one_that_may_ask_is_answered_or_all_this_proves_nothing(
    databases: Databases,
) -> None:
    async with protected(databases) as (world, upstream, jar):
        answer = await ask(world, f"GET {PATH}", jar=jar)

        assert (answer.status, answer.body) == (200, SECRET)
        assert len(upstream.peers) == 1
