"""T22: what costs an attacker little costs us little (aiohttp CVE-2025-69230, …).

Cookies, keys that nobody knows, log lines, nested and packed bodies, connections that
say nothing, and a provider that is slow, broken or gone.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

from bff import body as bodies
from tests.attacks import slow
from tests.attacks.outside import ask
from tests.bff.auth.test_backchannel import claims, deliver, signed
from tests.bff.proxied import with_proxy
from tests.bff.raw import exchange, head
from tests.bff.rawserver import listening
from tests.bff.waiting import until
from tests.fakes.upstream import Peer, fake_upstream
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases

MB = 2**20


# Cookies


async def test_many_or_long_cookies_end_in_a_clean_refusal(world: World) -> None:
    for cookie, statuses in (
        ("; ".join(f"c{number}=x" for number in range(3000)), {401}),
        ("; ".join(f"nx_signin.{number}=x" for number in range(1500)), {401}),
        ("; ".join(f"nx_access.{number}=x" for number in range(1500)), {401}),
        ("nx_access=4" + "A" * 30000, {401}),
        ("nx_access=9999999999999999999999", {401}),
        ("nx_access=4; nx_access.1=; nx_access.2=; nx_access.3=", {401}),
        ("nx_access=1" + "=" * 20000, {401}),
        ("nx_access=1" + "A" * 33000, {431}),
        ("a=b; " * 7000, {431}),
    ):
        raw = head(world.url, "GET /whoami", f"Cookie: {cookie}")
        answer = await exchange(world.url, raw)
        assert answer.status in statuses, cookie[:40]
        assert len(answer.raw) < 8000
    lines = [f"Cookie: c{number}={'x' * 1000}" for number in range(30)]
    answer = await exchange(world.url, head(world.url, "GET /whoami", *lines))
    assert answer.status in {400, 401, 431}


async def test_many_tries_to_sign_in_do_not_fill_the_cookie_jar(world: World) -> None:
    async with world.browser() as browser:
        for _ in range(12):
            assert (await browser.navigate("/auth/sso")).status == 302
        ours = [name for name in browser.cookies if name.startswith("nx_signin")]
        assert len(ours) <= 5


async def test_bad_cookies_write_a_bounded_number_of_lines(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bad = "; ".join(
        f"{name}{number}={value}"
        for number in range(60)
        for name, value in (
            ("a b", "c"),
            ("\x80", "d"),
            ("nx_access.", "\\x"),
            ("[", '"'),
        )
    )
    asked = 20
    for _ in range(asked):
        raw = head(world.url, "GET /auth/session", f"Cookie: {bad}")
        assert (await exchange(world.url, raw)).status in {200, 400}
    lines = [one for one in caplog.records if "asyncio" not in one.name]
    assert len(lines) <= 2 * asked
    assert sum(len(one.getMessage()) for one in lines) < 500 * asked


# Keys


class Counted:
    """Count what the provider is asked for."""

    def __init__(self, world: World) -> None:
        self.keys = 0
        world.provider.intercept = self._see

    async def _see(self, request: web.Request) -> None:
        self.keys += request.path.endswith("/certs")


def unknown(world: World, key: RSAKey, number: int) -> str:
    header = {"alg": "RS256", "typ": "logout+jwt", "kid": f"nobody-{number}"}
    return jwt.encode(header, claims(world), key, algorithms=["RS256"])


async def test_a_storm_of_unknown_keys_asks_the_provider_once_in_30_seconds(
    world: World,
) -> None:
    key = RSAKey.generate_key(2048)
    counted = Counted(world)
    async with world.signed_in() as browser:
        known = counted.keys
        for lap in range(3):
            storm = [unknown(world, key, number) for number in range(40)]
            world.clock.ahead += 31 if lap else 0
            before = counted.keys
            answers = await asyncio.gather(*(deliver(world, one) for one in storm))
            assert {answer.status for answer in answers} <= {400, 503}
            for one in storm[:5]:  # and one after the other
                assert (await deliver(world, one)).status == 400
            assert counted.keys - before <= 1, "one question in a storm"
        assert counted.keys - known <= 3

        world.provider.rotate_keys()
        await deliver(world, unknown(world, key, 1))
        world.clock.ahead += 2  # the storm goes on; people sign in all the same
        assert (await browser.login("bob@globex.test")).status == 200
        token = signed(world, claims(world, jti="after the storm"))
        assert (await deliver(world, token)).status == 200


# Bodies

NESTED = (
    b"[" * 120_000,
    b'{"a":' * 50_000,
    b'{"email":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"email":"a","password":"b","otp":' + b"9" * 200_000 + b"}",
    b'{"everywhere":1e999999999}',
    b'{"email":"' + b"\\u0000" * 40_000 + b'"}',
    b"{" + b",".join(b'"k%d":1' % number for number in range(20_000)) + b"}",
    b'"' + b"\\" * 200_001,
    b"\xff\xfe" + b"[\x00" * 50_000,
)


async def test_nested_and_long_json_is_refused_without_a_trace(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.signed_in() as browser:
        jar = browser.cookies
        for path in ("/auth/login", "/auth/logout", "/onboarding/first_login"):
            for raw in NESTED:
                answer = await ask(world, f"POST {path}", jar=jar, body=raw)
                assert answer.status in {400, 413, 422}, (path, raw[:30])
                assert len(answer.raw) < 20_000 or raw.startswith(b'{"k0"')
        assert (await browser.get("/whoami")).status == 200
    assert "Traceback" not in caplog.text
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


async def test_nested_tokens_are_refused_without_a_trace(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    deep = b"[" * 60_000 + b"]" * 60_000
    for raw in (
        b"[" * 90_000,
        b'{"alg":"RS256","kid":"x","a":' + deep + b"}",
        b'{"alg":"RS256","kid":' + b"9" * 90_000 + b"}",
        b'{"alg":"RS256","kid":"x","crit":' + deep + b"}",
        b'{"alg":"RS256","kid":"' + b"k" * 90_000 + b'"}',
        b'{"alg":"RS256","kid":"x","zip":"DEF"}',
    ):
        for payload in (b"{}", deep, zlib.compress(b"\0" * 5 * MB)):
            token = f"{part(raw)}.{part(payload)}.AA"
            assert (await deliver(world, token)).status in {400, 413}, raw[:40]
    for dots in (3, 4, 5, 50_000):
        assert (await deliver(world, "." * dots)).status == 400
    assert "Traceback" not in caplog.text


def packed(kind: str, plain: bytes) -> bytes:
    if kind == "gzip":
        return gzip.compress(plain)
    if kind == "deflate":
        return zlib.compress(plain)
    return gzip.compress(gzip.compress(plain))


@pytest.mark.parametrize("kind", ["gzip", "deflate", "gzip, gzip"])
async def test_a_packed_bomb_is_not_unpacked_for_our_own_routes(
    world: World, kind: str
) -> None:
    bomb = packed(kind, b'{"email":"' + b"a" * 8 * MB)
    assert len(bomb) < 200_000
    lines = (f"Content-Encoding: {kind}",)
    for path in ("/auth/login", "/auth/logout"):
        answer = await ask(world, f"POST {path}", *lines, body=bomb)
        assert answer.status in {400, 413, 415}, path
    form = ["Content-Type: application/x-www-form-urlencoded", *lines]
    raw = head(
        world.url,
        "POST /auth/backchannel-logout",
        *form,
        f"Content-Length: {len(bomb)}",
    )
    assert (await exchange(world.url, raw + bomb)).status in {400, 413, 415}
    assert not world.provider.events


async def test_a_packed_bomb_stops_at_the_proxys_limit(databases: Databases) -> None:
    got = 0

    async def counting(peer: Peer) -> None:
        nonlocal got
        while data := await peer.reader.read(65536):
            got += len(data)

    async with fake_upstream(counting) as upstream:
        world = with_proxy(databases, upstreams=[upstream.url], max_body=MB)
        async with world.running(), world.signed_in() as browser:
            bomb = packed("gzip", b"a" * 16 * MB)
            raw = head(
                world.url,
                "POST /graph/threads",
                "Sec-Fetch-Site: same-origin",
                "Content-Type: application/json",
                "Content-Encoding: gzip",
                f"Content-Length: {len(bomb)}",
                "Cookie: "
                + "; ".join(f"{key}={one}" for key, one in browser.cookies.items()),
            )
            answer = await exchange(world.url, raw + bomb, timeout=15)
            assert not answer.raw.startswith(b"HTTP/1.1 2")
            assert got <= MB + 128 * 1024, "no more than the limit got through"
            assert (await browser.get("/whoami")).status == 200


# Connections


async def test_half_heads_and_silence_are_closed_while_others_are_served(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow.hurry(monkeypatch, seconds=1.0)
    async with World(databases).running() as world:
        starts = (
            b"",
            b"G",
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-",
            b"POST /auth/login HTTP/1.1\r\n",
            b"GET /graph/threads/x HTTP/1.1\r\nHost: " + b"h" * 100,
            b"\x16\x03\x01\x02\x00",
        )
        slowly = [slow.trickle(world.url, start) for start in starts * 25]
        closing = asyncio.gather(*slowly)
        while not closing.done():
            async with asyncio.timeout(10), world.browser() as browser:
                assert (await browser.get("/healthz")).status == 200
            await asyncio.sleep(0.05)
        assert all(await closing), "each is closed, though it goes on trickling"


@pytest.mark.parametrize("path", ["/auth/session", "/graph/threads/x"])
async def test_half_a_head_after_a_good_request_is_closed_too(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    slow.hurry(monkeypatch, seconds=1.0)
    async with World(databases).running() as world, world.signed_in() as browser:
        jar = "; ".join(f"{name}={one}" for name, one in browser.cookies.items())
        lines = f"Cookie: {jar}", "Sec-Fetch-Site: same-origin"
        good = head(world.url, f"GET {path}", *lines)
        good = good.replace(b"Connection: close\r\n", b"")
        half = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-"

        assert await slow.trickle(world.url, half, first=good)


async def test_a_body_that_does_not_come_is_given_up(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.4)
    async with World(databases).running() as world:
        for path, kind in (
            ("/auth/login", "application/json"),
            ("/auth/backchannel-logout", "application/x-www-form-urlencoded"),
        ):
            raw = head(
                world.url,
                f"POST {path}",
                "Sec-Fetch-Site: same-origin",
                f"Content-Type: {kind}",
                "Content-Length: 100",
            )
            answer = await slow.first_answer(world.url, raw + b'{"email":')
            assert (answer.status, answer.json["code"]) == (408, "too_slow")


async def test_hundreds_of_idle_connections_keep_nobody_out(world: World) -> None:
    async with slow.idle(world.url, 300), world.signed_in() as browser:
        async with asyncio.timeout(20):
            assert (await browser.get("/graph/threads/x")).status == 200


# A provider in trouble


@asynccontextmanager
async def in_trouble(databases: Databases) -> AsyncGenerator[World]:
    world = World(databases, settings={"auth": {"timeout": 1.5}})
    async with world.running():
        yield world


async def hang(_: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def drip(request: web.Request) -> web.StreamResponse:
    stream = web.StreamResponse()
    await stream.prepare(request)
    while True:
        await stream.write(b" ")
        await asyncio.sleep(0.1)


async def flood(request: web.Request) -> web.StreamResponse:
    stream = web.StreamResponse()
    await stream.prepare(request)
    while True:
        await stream.write(b" " * 65536)


def answering(status: int, text: str) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    return answer


TROUBLES = {
    "hangs": hang,
    "drips": drip,
    "floods": flood,
    "500": answering(500, '{"error": "unknown_error"}'),
    "502 page": answering(502, "<html>bad gateway</html>"),
    "503": answering(503, ""),
    "429": answering(429, '{"error": "slow_down"}'),
    "200 page": answering(200, "<html>maintenance</html>"),
    "200 nothing": answering(200, ""),
    "200 null": answering(200, "null"),
    "200 list": answering(200, "[]"),
    "200 half": answering(200, '{"access_token": "x"'),
    "200 numbers": answering(200, '{"access_token": 1, "refresh_token": 2}'),
    "302": answering(302, ""),
}


async def test_a_provider_in_trouble_is_503_and_signs_nobody_out(
    databases: Databases,
) -> None:
    key = RSAKey.generate_key(2048)
    async with in_trouble(databases) as world, world.signed_in() as browser:
        jar = browser.cookies
        for name, trouble in TROUBLES.items():
            world.provider.intercept = trouble
            async with asyncio.timeout(10), world.browser() as stranger:
                answers = await asyncio.gather(
                    stranger.login("bob@globex.test"),
                    browser.post("/auth/refresh"),
                    browser.get("/whoami"),
                    browser.get("/graph/threads/x"),
                )
            statuses = [answer.status for answer in answers]
            assert statuses == [503, 503, 200, 200], name
            assert "Retry-After" in answers[0].headers, name
            assert "Retry-After" in answers[1].headers, name
            assert browser.cookies == jar, "not signed out"
            token = unknown(world, key, 0)
            assert (await deliver(world, token)).status in {400, 503}
            world.provider.intercept = None
        assert (await browser.post("/auth/refresh")).status == 200


async def test_an_answer_too_deep_to_read_is_trouble_like_any_other(
    world: World,
) -> None:
    world.provider.intercept = answering(200, "[" * 50_000)
    async with world.browser() as browser:
        assert (await browser.login("bob@globex.test")).status == 503


async def test_a_provider_that_is_gone_is_503_and_signs_nobody_out(
    databases: Databases,
) -> None:
    refused = asyncio.Event()

    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refused.set()
        writer.transport.abort()
        del reader

    async with listening(gone) as nowhere:
        world = World(databases, real_issuer=f"{nowhere}/realms/nexius")
        world.settings["auth"] = {"timeout": 1}
        async with world.running(), world.browser() as browser:
            answer = await browser.login("alice@acme.test")
            assert (answer.status, refused.is_set()) == (503, True)
            assert (await browser.navigate("/auth/sso")).status == 503
            assert (await browser.get("/healthz")).status == 200
            assert json.loads(await (await browser.get("/auth/session")).text()) == {
                "authenticated": False
            }


async def test_ended_streams_leave_nothing_that_fills_up(world: World) -> None:
    async with world.signed_in() as browser:
        for _ in range(30):
            answer = await browser.get("/graph/threads/t/stream")
            await answer.content.readany()
            answer.close()

        async def none_left() -> bool:
            return world.graph.open_streams == 0

        await until(none_left)
        assert (await browser.get("/graph/threads/x")).status == 200
