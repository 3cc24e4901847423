"""Who a request on the direct way is sent on as, and who is refused at once."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bff.dev.ports import free_port
from bff.graph import LIVE
from bff.serve import drain
from bff.sessions.revocation import ENDED
from tests.bff.proxied import with_proxy
from tests.bff.tabs import Tab, Ways, tab
from tests.fakes.upstream import Peer, Received, fake_upstream
from tests.graph_proxy.world import until
from tests.world import World

if TYPE_CHECKING:
    from tests.databases import Databases

STREAM = "/graph/threads/t/stream"
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


class Mirror:
    """Answers everything, with a stream where one is asked for."""

    def __init__(self) -> None:
        self.got: list[Received] = []

    async def __call__(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            self.got.append(request)
            if not request.target.endswith("/stream"):
                await peer.answer()
                continue
            await peer.send(SSE + b"Transfer-Encoding: chunked\r\n\r\n")
            await peer.chunk(b"data: 1\n\n")
            await peer.gone()

    @property
    def last(self) -> Received:
        return self.got[-1]


async def fine(one: Tab, path: str = "/graph/ok", *headers: str) -> None:
    await one.ask(path, *headers)
    status, _, body = await one.answer()
    assert (status, body) == (200, b"ok")


async def refused(one: Tab, status: int, code: str, *headers: str) -> dict[str, str]:
    await one.ask("/graph/ok", *headers)
    got, fields, body = await one.answer()
    assert (got, f'"{code}"' in body.decode()) == (status, True), body
    return fields


async def test_the_cookie_of_each_request_decides_not_the_one_before(
    databases: Databases,
) -> None:
    mirror = Mirror()
    async with (
        fake_upstream(mirror) as upstream,
        with_proxy(databases, upstreams=[upstream.url]).running() as world,
        world.signed_in() as alice,
        world.signed_in("bob@globex.test") as bob,
        tab(world) as one,
    ):
        ways = Ways(world.app)
        seen: dict[str, set[tuple[str | None, str | None]]] = {
            "alice": set(),
            "bob": set(),
        }
        for name, person in [("alice", alice), ("bob", bob), ("bob", bob)] * 3:
            one.cookies = dict(person.cookies)
            await fine(one)
            assert ways.last()
            got = mirror.last
            seen[name].add((got.one("authorization"), got.one("x-tenant-id")))
        assert [len(pairs) for pairs in seen.values()] == [1, 1]
        assert {tenant for _, tenant in seen["alice"]} == {"1001"}
        assert {tenant for _, tenant in seen["bob"]} == {"1002"}
        assert {bearer for bearer, _ in seen["alice"]} != {
            bearer for bearer, _ in seen["bob"]
        }
        # One byte more or less of the cookie is another cookie.
        one.cookies = {
            name: value[:-8] + "AAAAAAAA" for name, value in alice.cookies.items()
        }
        await refused(one, 401, "not_signed_in")
        one.cookies = {}
        await refused(one, 401, "not_signed_in")
        one.cookies = {"other": "1", **bob.cookies}
        await fine(one)
        assert ways.last()
        assert mirror.last.one("x-tenant-id") == "1002"
        # A name that comes twice names nobody.
        one.cookies = dict(alice.cookies)
        twice = "; ".join(
            f"{name}={value}"
            for person in (alice, bob)
            for name, value in person.cookies.items()
        )
        await one.ask("/graph/ok", f"Cookie: {twice}")
        await one.answer()
        assert not ways.last()


class Several(World):
    """A world with several `[proxy.NAME]` tables."""

    proxies: dict[str, dict[str, Any]]

    def _config(self, port: int, origins: tuple[str, str]) -> Any:
        self.settings["proxy"] = self.proxies
        self.settings["worker"] = {"embedded": False}
        return super()._config(port, origins)


async def test_each_upstream_gets_its_own_key_and_its_own_paths(
    databases: Databases,
) -> None:
    mirrors = {name: Mirror() for name in ("graph", "agents", "inner", "slow")}
    prefixes = {
        "graph": "/graph",
        "agents": "/agents",
        "inner": "/graph/inner",
        "slow": "/graph/slow",
    }
    async with (
        fake_upstream(mirrors["graph"]) as a,
        fake_upstream(mirrors["agents"]) as b,
        fake_upstream(mirrors["inner"]) as c,
        fake_upstream(mirrors["slow"]) as d,
    ):
        several = Several(databases)
        several.proxies = {
            name: {"upstreams": [place.url], "prefix": prefixes[name]}
            for name, place in zip(mirrors, (a, b, c, d), strict=True)
        }
        several.proxies["graph"] |= {"gateway_key": "key-of-graph", "allow": ["*"]}
        several.proxies["inner"] |= {"gateway_key": "key-of-inner"}
        several.proxies["slow"] |= {"heartbeat": 3600.0}
        async with (
            several.running() as world,
            world.signed_in() as alice,
            tab(world, alice) as one,
        ):
            ways = Ways(world.app)
            for _ in range(2):
                for name, direct in [
                    ("graph", True),
                    ("agents", True),
                    ("inner", True),
                    ("slow", False),
                ]:
                    await fine(one, f"{prefixes[name]}/ok")
                    assert ways.last() is direct
                    assert mirrors[name].last.target == "/ok"
        keys = {
            name: {got.one("x-gateway-key") for got in mirror.got}
            for name, mirror in mirrors.items()
        }
        assert keys == {
            "graph": {"key-of-graph"},
            "agents": {None},
            "inner": {"key-of-inner"},
            "slow": {None},
        }


async def test_the_gate_is_asked_for_each_method_though_the_fields_are_the_same(
    databases: Databases,
) -> None:
    mirror = Mirror()
    async with (
        fake_upstream(mirror) as upstream,
        with_proxy(databases, upstreams=[upstream.url]).running() as world,
        world.signed_in() as alice,
        tab(world, alice) as one,
    ):
        ways = Ways(world.app)
        cookies = "; ".join(f"{name}={value}" for name, value in one.cookies.items())
        for method, expected in [("GET", 200), ("POST", 403), ("GET", 200)] * 2:
            # A browser that tells nothing: reading is all it may do.
            lines = (
                f"{method} /graph/threads/t/state HTTP/1.1",
                f"Host: {one.host}",
                f"Cookie: {cookies}",
            )
            await one.send("\r\n".join([*lines, "\r\n"]).encode())
            assert (await one.answer())[0] == expected
            assert ways.last() is (expected == 200)
    assert {got.method for got in mirror.got} == {"GET"}


async def test_a_session_that_ends_is_refused_at_once_and_its_streams_are_cut(
    databases: Databases,
) -> None:
    mirror = Mirror()
    async with (
        fake_upstream(mirror) as upstream,
        with_proxy(databases, upstreams=[upstream.url]).running() as world,
        world.signed_in() as alice,
        world.signed_in("dave@acme.test") as dave,
        tab(world, alice) as one,
        tab(world, alice) as streaming,
        tab(world, alice) as thinking,
        tab(world, dave) as other,
    ):
        ways = Ways(world.app)
        await fine(one)
        for each in (streaming, other):
            await each.ask(STREAM)
            assert (await each.head())[0] == 200
            assert ways.last()
            assert await each.chunk() == b"data: 1\n\n"
        await thinking.ask("/graph/threads/t/stream", method="GET")
        await until(lambda: len(world.app[LIVE].streams) == 3)

        assert (await alice.post("/auth/logout")).status == 204

        for each in (streaming, thinking):
            rest, _ = await each.rest()
            assert not rest.endswith(b"0\r\n\r\n")
        await refused(one, 401, "session_ended")
        assert not ways.last()
        await until(lambda: len(world.app[LIVE].streams) == 1)
        assert world.app[LIVE].total == 1
        await until(lambda: sum(peer.left.is_set() for peer in upstream.peers) == 2)
        assert not other.reader.at_eof()


async def test_tokens_near_their_end_are_renewed_on_aiohttps_way(
    databases: Databases,
) -> None:
    mirror = Mirror()
    async with (
        fake_upstream(mirror) as upstream,
        with_proxy(databases, upstreams=[upstream.url]).running() as world,
        world.signed_in() as alice,
        tab(world, alice) as one,
    ):
        ways = Ways(world.app)
        await fine(one)
        assert ways.last()
        old = mirror.last.one("authorization")

        world.clock.ahead += 299
        await one.ask("/graph/ok")
        status, headers = await one.head()
        assert (status, await one.body(headers)) == (200, b"ok")
        assert not ways.last()
        assert mirror.last.one("authorization") != old
        renewed = [value for name, value in headers if name == "set-cookie"]
        assert renewed
        for value in renewed:
            name, _, rest = value.partition("=")
            one.cookies[name] = rest.partition(";")[0]
        await fine(one)
        assert ways.last()
        assert mirror.last.one("authorization") not in {old, None}


async def test_who_has_no_tenant_is_told_so(databases: Databases) -> None:
    mirror = Mirror()
    async with (
        fake_upstream(mirror) as upstream,
        with_proxy(databases, upstreams=[upstream.url]).running() as world,
        world.signed_in("carol@initech.test") as carol,
        tab(world, carol) as one,
    ):
        ways = Ways(world.app)
        await refused(one, 403, "tenant_missing")
        assert not ways.last()
    assert mirror.got == []


async def test_a_gateway_that_hears_nothing_of_ended_sessions_asks(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Mirror()
    async with (
        fake_upstream(mirror) as upstream,
        with_proxy(databases, upstreams=[upstream.url]).running() as world,
        world.signed_in() as alice,
        tab(world, alice) as one,
    ):
        ways = Ways(world.app)
        with monkeypatch.context() as patched:
            deaf = SimpleNamespace(hears=False)
            patched.setattr(world.app[ENDED], "_listener", deaf)
            await fine(one)
            assert not ways.last()
        await fine(one)
        assert ways.last()


async def test_limits_count_both_ways_and_refuse_on_aiohttps(
    databases: Databases,
) -> None:
    mirror = Mirror()
    async with (
        fake_upstream(mirror) as upstream,
        with_proxy(
            databases, upstreams=[upstream.url], max_streams_per_session=1
        ).running() as world,
        world.signed_in() as alice,
        world.signed_in("dave@acme.test") as dave,
        tab(world, alice) as one,
        tab(world, dave) as other,
    ):
        ways = Ways(world.app)
        async with tab(world, alice) as streaming:
            await streaming.ask(STREAM)
            await streaming.head()
            assert ways.last()
            fields = await refused(one, 429, "too_many_streams")
            assert fields["retry-after"]
            assert not ways.last()
            await fine(other)
            assert ways.last()
        await until(lambda: not world.app[LIVE].by_session)
        await fine(one)
        assert ways.last()


async def test_draining_refuses_and_lets_what_streams_go_on(
    databases: Databases,
) -> None:
    mirror = Mirror()
    async with (
        fake_upstream(mirror) as upstream,
        with_proxy(databases, upstreams=[upstream.url]).running() as world,
        world.signed_in() as alice,
        tab(world, alice) as one,
        tab(world, alice) as streaming,
    ):
        ways = Ways(world.app)
        await streaming.ask(STREAM)
        await streaming.head()
        assert await streaming.chunk()
        await fine(one)
        draining = asyncio.create_task(drain(world.app, 20))
        await until(lambda: world.app[LIVE].draining)
        fields = await refused(one, 503, "shutting_down")
        assert fields["connection"] == "close"
        assert not ways.last()
        assert not draining.done()
        await streaming.leave()
        await asyncio.wait_for(draining, 5)


async def test_an_answer_is_counted_and_logged_once(
    databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = Mirror()
    async with (
        fake_upstream(mirror) as upstream,
        with_proxy(databases, upstreams=[upstream.url]).running() as world,
        world.signed_in() as alice,
        tab(world, alice) as one,
    ):
        ways = Ways(world.app)
        with caplog.at_level(logging.INFO, logger="aiohttp.access"):
            caplog.clear()
            await fine(one, "/graph/ok?secret=x")
            assert ways.last()
            await until(lambda: caplog.records)
        (fields,) = [
            record.__dict__["fields"]
            for record in caplog.records
            if record.name == "aiohttp.access"
        ]
        assert {
            name: fields[name] for name in ("method", "path", "status", "bytes")
        } == {
            "method": "GET",
            "path": "/graph/ok",
            "status": 200,
            "bytes": 2,
        }
        assert fields["request_id"] == mirror.last.one("x-request-id")
        assert fields["tenant"] == 1001
        assert len(fields["session"]) == 12
        assert fields["seconds"] >= 0
        assert "secret" not in caplog.text
        async with alice.session.get(f"{world.admin_url}/metrics") as answer:
            text = await answer.text()
        assert 'bff_requests_total{route="/graph/{path}",status="2xx"} 1.0' in text
        assert 'bff_request_seconds_count{route="/graph/{path}"} 1.0' in text
        assert "bff_live_streams 0.0" in text


@pytest.mark.parametrize(
    ("trusted", "said", "expected"),
    [
        ((), ("6.6.6.6",), "127.0.0.1"),
        (("127.0.0.0/8",), (), "127.0.0.1"),
        (("127.0.0.0/8",), ("6.6.6.6, 203.0.113.5",), "203.0.113.5"),
        (("127.0.0.0/8",), ("nonsense",), "127.0.0.1"),
        (("127.0.0.0/8", "10.0.0.0/8"), ("203.0.113.5, 10.1.1.1",), "203.0.113.5"),
    ],
)
async def test_the_address_that_goes_up_is_the_browsers(
    databases: Databases, trusted: tuple[str, ...], said: tuple[str, ...], expected: str
) -> None:
    mirror = Mirror()
    async with fake_upstream(mirror) as upstream:
        told = with_proxy(databases, upstreams=[upstream.url])
        told.settings["server"] = {"trusted_proxies": trusted}
        async with (
            told.running() as world,
            world.signed_in() as alice,
            tab(world, alice) as one,
        ):
            ways = Ways(world.app)
            await fine(one, "/graph/ok", *(f"X-Forwarded-For: {hops}" for hops in said))
            assert ways.last()
    assert mirror.last.one("x-forwarded-for") == expected


async def test_a_head_over_the_limit_is_431_as_ever(databases: Databases) -> None:
    mirror = Mirror()
    async with (
        fake_upstream(mirror) as upstream,
        with_proxy(databases, upstreams=[upstream.url]).running() as world,
        world.signed_in() as alice,
        tab(world, alice) as one,
    ):
        ways = Ways(world.app)
        limit = world.config.server.max_header
        # Two long fields make no field too long.
        await fine(one, "/graph/ok", *(f"X-{n}: {'x' * (limit // 2)}" for n in (1, 2)))
        assert not ways.last()
        await one.ask("/graph/ok", f"Accept: {'x' * 2 * limit}")
        assert (await one.answer())[0] == 431
    assert len(mirror.got) == 1


async def test_an_upstream_that_is_away_or_breaks_off_is_said_as_ever(
    databases: Databases,
) -> None:
    async def rude(peer: Peer) -> None:
        await peer.request()

    away = f"http://127.0.0.1:{free_port()}"
    async with (
        with_proxy(databases, upstreams=[away]).running() as world,
        world.signed_in() as alice,
        tab(world, alice) as one,
    ):
        ways = Ways(world.app)
        for method, path in (("GET", "/graph/ok"), ("POST", "/graph/threads")):
            await one.ask(path, method=method, body=b"{}" if method == "POST" else None)
            status, _, body = await one.answer()
            assert (status, b"graph_unavailable" in body) == (502, True)
            assert ways.last()  # tried, then left to aiohttp
        assert world.app[LIVE].total == 0
    async with (
        fake_upstream(rude) as upstream,
        with_proxy(databases, upstreams=[upstream.url]).running() as world,
        world.signed_in() as alice,
        tab(world, alice) as one,
    ):
        ways = Ways(world.app)
        await one.ask("/graph/threads", method="POST", body=b"{}")
        status, _, body = await one.answer()
        assert (status, b"answer_lost" in body) == (409, True)
        assert ways.last()
        # The connection serves on; what only reads breaks it.
        await one.ask("/graph/ok")
        assert (await one.rest())[0] == b""
        assert len(upstream.peers) == 2
        assert world.app[LIVE].total == 0
