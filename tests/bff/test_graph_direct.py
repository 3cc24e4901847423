"""The direct way and aiohttp's: the same for the browser, the same for the upstream."""

from __future__ import annotations

import string
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bff.dev.ports import free_port
from tests.bff.proxied import with_proxy
from tests.bff.tabs import Tab, Ways, tab
from tests.fakes.upstream import Received, fake_upstream
from tests.world import gateway

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.fakes.upstream import Peer

PLAIN = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
# What every answer may have of its own: a time, a number, how its body is framed.
OWN = frozenset({"date", "x-request-id"})
FRAMING = frozenset({"content-length", "transfer-encoding"})


@dataclass(repr=False)
class Mirror:
    """An upstream that answers what it is told and keeps what it was asked."""

    answer: bytes = PLAIN
    got: list[Received] = field(default_factory=list)

    async def __call__(self, peer: Peer) -> None:
        while True:
            self.got.append(await peer.request())
            await peer.send(self.answer)
            if b"Content-Length" not in self.answer and b"chunked" not in self.answer:
                return


@dataclass(frozen=True)
class Answer:
    """What the browser got, without what differs from one time to the next."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    framing: dict[str, str]


@dataclass(repr=False)
class Both:
    """The same person's connections to two gateways over one upstream."""

    mirror: Mirror
    direct: Tab
    other: Tab
    ways: Ways

    async def ask(
        self,
        method: str,
        path: str,
        *headers: str,
        body: bytes | None = None,
        answer: bytes = PLAIN,
    ) -> tuple[Answer, Answer, list[Received]]:
        """Ask over both and return both answers and what the upstream was asked."""
        self.mirror.answer = answer
        self.mirror.got.clear()
        answers = []
        for one in (self.direct, self.other):
            await one.ask(path, *headers, method=method, body=body)
            answers.append(await heard(one, method))
        return answers[0], answers[1], list(self.mirror.got)


async def heard(one: Tab, method: str = "GET") -> Answer:
    status, headers = await one.head()
    no_body = status in {204, 304} or method == "HEAD"
    body = b"" if no_body else await one.body(headers)
    fields = sorted(pair for pair in headers if pair[0] not in OWN | FRAMING)
    # Each is asked on one connection; who ends it must be asked to.
    assert "connection" not in dict(headers)
    return Answer(
        status,
        fields,
        without_number(body),
        {name: value for name, value in headers if name in FRAMING},
    )


def without_number(body: bytes) -> bytes:
    """Blank the request's number in a problem's body."""
    before, mark, after = body.partition(b'"request_id": "')
    return before + mark + after[32:] if mark else body


def asked(request: Received) -> tuple[str, str, list[tuple[str, str]], bytes]:
    fields = sorted(
        (name, value.strip()) for name, value in request.headers if name not in OWN
    )
    return request.method, request.target, fields, request.body


@asynccontextmanager
async def both_ways(
    databases: Databases, **settings: dict[str, Any]
) -> AsyncGenerator[Both]:
    mirror = Mirror()
    async with fake_upstream(mirror) as upstream, AsyncExitStack() as stack:
        world = with_proxy(databases, upstreams=[upstream.url], gateway_key="test-key")
        world.settings |= settings
        await stack.enter_async_context(world.running())
        target = world.config.proxy["graph"].model_copy(update={"heartbeat": 3600.0})
        slow = world.config.model_copy(update={"proxy": {"graph": target}})
        port = free_port()
        async with (
            gateway(slow, port, world.clock) as (app, _),
            world.signed_in() as alice,
            tab(world, alice) as direct,
            tab(world, alice, f"http://127.0.0.1:{port}") as other,
        ):
            ways, others = Ways(world.app), Ways(app)
            yield Both(mirror, direct, other, ways)
            assert not any(others.seen)


@pytest.fixture
async def both(databases: Databases) -> AsyncGenerator[Both]:
    async with both_ways(databases) as made:
        yield made


def assert_same(
    ours: Answer, theirs: Answer, got: list[Received], *, asks: int = 2
) -> None:
    assert ours.status == theirs.status
    assert ours.fields == theirs.fields
    assert ours.body == theirs.body
    assert len(got) == asks
    if asks:
        assert asked(got[0]) == asked(got[1])


def answer(first: str, *fields: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {first}", *fields]
    if (
        not any(line.startswith("Transfer-Encoding") for line in lines)
        and "204" not in first
    ):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body


REQUESTS: list[tuple[str, str, tuple[str, ...], bytes | None]] = [
    ("GET", "/graph/ok", (), None),
    ("GET", "/graph/info?x=%2F&y=a+b&&z", (), None),
    ("GET", "/graph/threads/%74%31/state?", (), None),
    ("GET", "/graph/threads/a%20b", ("Accept: text/event-stream",), None),
    ("GET", "/graph/threads/t/../t/state", (), None),
    ("GET", "/graph/threads/t/stream", ("Last-Event-ID: 17-0",), None),
    ("GET", "/graph/threads/t", ("Content-Length: 0",), None),
    ("GET", "/graph/threads/t", (), b"a body"),
    ("POST", "/graph/threads", ("Content-Type: application/json",), b"{}"),
    ("POST", "/graph/threads", (), None),
    ("POST", "/graph/threads", (), b""),
    ("POST", "/graph/threads/t/runs/stream", ("Last-Event-ID: 1",), b"x" * 100_000),
    ("PATCH", "/graph/threads/t", ('If-Match: "a"', "Content-Language: en"), b"{}"),
    ("PUT", "/graph/store/items", ("MCP-Session-Id: s", "traceparent: 00-1"), b"{}"),
    ("DELETE", "/graph/threads/t", ("If-None-Match: *",), None),
    ("DELETE", "/graph/store/items", (), b'{"key": "x"}'),
]
FORGED = (
    "Authorization: Bearer forged",
    "X-Tenant-ID: 9",
    "X_Tenant_ID: 9",
    "X-Gateway-Key: forged",
    "X-Request-ID: forged",
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Proto: gopher",
    "Forwarded: for=6.6.6.6",
    "x-auth-scheme: langsmith",
    "X-API-Key: forged",
    "X-User-ID: forged",
    "langsmith-trace: forged",
    "baggage: forged",
    "Keep-Alive: 5",
    "Proxy-Authorization: forged",
    "Connection: keep-alive",
    "Accept-Encoding: gzip",
    "Referer: http://evil.test/",
    "User-Agent: Test/1.0 (\xe9)",
    "Accept-Language: de;q=0.5",
    "Cache-Control: no-cache",
    "Range: bytes=0-1",
)


async def test_the_upstream_is_asked_the_same(both: Both) -> None:
    for extra in ((), FORGED):
        for method, path, headers, body in REQUESTS:
            ours, theirs, got = await both.ask(
                method, path, *headers, *extra, body=body
            )
            assert both.ways.last(), (method, path)
            assert_same(ours, theirs, got)
            assert "forged" not in str(got[0])
            assert "nx_access" not in str(got[0])
            assert got[0].one("x-tenant-id") == "1001"
            assert got[0].one("x-gateway-key") == "test-key"
            assert got[0].one("x-forwarded-for") == "127.0.0.1"
            assert (got[0].one("authorization") or "").startswith("Bearer ey")
            numbers = {request.one("x-request-id") for request in got}
            assert len(numbers) == 2


REFUSED: list[tuple[str, str, tuple[str, ...], int]] = [
    ("GET", "/graph/internal/x", (), 404),
    ("GET", "/graph/docs", (), 404),
    ("GET", "/graph/", (), 404),
    ("GET", "/graph/threads/../docs", (), 404),
    ("GET", "/graph/../whoami", (), 404),
    ("GET", "/graph//ok", (), 400),
    ("GET", "/graph/%2e%2e%2fwhoami", (), 400),
    ("GET", "/graph/%zz", (), 400),
    ("PUT", "/graph/threads/t", (), 405),
    ("DELETE", "/graph/ok", (), 405),
    ("GET", "/graph/ok", ("Sec-Fetch-Site: cross-site",), 403),
    ("GET", "/graph/ok", ("Sec-Fetch-Site: none",), 403),
    ("POST", "/graph/threads", ("Origin: null", "Sec-Fetch-Site: same-site"), 403),
    ("GET", "/graph/ok", ("Host: evil.test",), 421),
    ("GET", "/graph/ok", ("Cookie: a=b",), 401),
]


async def test_a_refusal_is_aiohttps_and_says_the_same(both: Both) -> None:
    for method, path, headers, status in REFUSED:
        ours, theirs, got = await both.ask(method, path, *headers)
        assert not both.ways.last(), (method, path)
        assert ours.status == status, (method, path, headers)
        assert_same(ours, theirs, got, asks=0)
        # And the connection serves the next one directly.
        ours, theirs, got = await both.ask("GET", "/graph/ok")
        assert both.ways.last()
        assert_same(ours, theirs, got)


CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"3\r\nabc\r\n2;a=b\r\nde\r\n0\r\nX-Trailer: y\r\n\r\n"
ANSWERS = {
    "plain": PLAIN,
    "empty": answer("200 OK"),
    "created": answer("201 Created", "Location: /threads/t", body=b"{}"),
    "no content": b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    "no content of a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Same\r\nETag: x\r\nContent-Length: 7\r\n\r\n",
    "partial": answer("206 Partial Content", "Content-Range: bytes 0-1/2", body=b"{}"),
    "error": answer("500 Oh", "Content-Type: application/json", body=b'{"detail":1}'),
    "unauthorized": answer("401 Unauthorized", "WWW-Authenticate: Bearer", body=b"x"),
    "odd status": answer("599 Odd One", body=b"x"),
    "no reason": answer("200 ", body=b"x"),
    "chunks": answer("200 OK", CHUNKED) + CHUNKS,
    "events": answer("200 OK", CHUNKED, "Content-Type: text/event-stream") + CHUNKS,
    "no chunk": answer("200 OK", CHUNKED) + b"0\r\n\r\n",
    "till the end": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it",
    "till the end of nothing": b"HTTP/1.0 200 OK\r\n\r\n",
    "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + PLAIN,
    "cookies": answer("200 OK", "Set-Cookie: a=b", "Set-Cookie: nx_access=1x"),
    "server": answer("200 OK", "Server: uvicorn", "X-Powered-By: Test"),
    "CORS": answer(
        "200 OK",
        "Access-Control-Allow-Origin: *",
        "access-control-allow-credentials: true",
    ),
    "vary": answer("200 OK", "Vary: Accept", "vary: *", "VARY:"),
    "caching": answer("200 OK", "Cache-Control: public, max-age=60", "Expires: x"),
    "no-transform": answer("200 OK", "Cache-Control: No-Transform"),
    "no-transform later": answer(
        "200 OK", "Cache-Control: no-cache", "Cache-Control: no-transform"
    ),
    "caches in front": answer(
        "200 OK", "CDN-Cache-Control: max-age=60", "Surrogate-Control: max-age=60"
    ),
    "policies": answer(
        "200 OK",
        "Content-Security-Policy: default-src 'self'",
        "Content-Security-Policy: img-src *",
        "X-Frame-Options: ALLOWALL",
        "x-content-type-options: sniff",
        "Referrer-Policy: unsafe-url",
        "X-Request-ID: upstream",
        "Strict-Transport-Security: max-age=1",
    ),
    "a page": answer("200 OK", "Content-Type: Text/HTML ; charset=utf-8", body=b"<p>"),
    "two types": answer("200 OK", "Content-Type: text/html", "Content-Type: text/css"),
    "two types, the page later": answer(
        "200 OK", "Content-Type: text/css", "Content-Type: text/html"
    ),
    "a type that is none": answer("200 OK", "Content-Type: text", body=b"x"),
    "an empty type": answer("200 OK", "Content-Type:", body=b"x"),
    "hop by hop": answer(
        "200 OK",
        "Connection: keep-alive, X-Hop, Content-Language",
        "Keep-Alive: timeout=5",
        "X-Hop: 1",
        "Content-Language: de",
        "Proxy-Authenticate: x",
        "Trailer: X",
        "Upgrade: h2c",
    ),
    "a length that Connection lists": answer(
        "200 OK", "Connection: content-length", body=b"abc"
    ),
    "a redirect to the upstream": answer("307 Temporary", "Location: /threads/"),
    "a redirect elsewhere": answer("302 Found", "Location: http://evil.test/"),
    "a location that stays": answer("200 OK", "Content-Location: /threads/t/runs/r"),
    "a date": answer("200 OK", "Date: Thu, 01 Jan 1970 00:00:00 GMT"),
    "bytes beyond ASCII": answer("200 OK", "X-A: \xe9\xff", "X-B: \xc3\xa9"),
    "repeated": answer("200 OK", "X-A: 1", "x-a: 2", "Link: a", "Link: b"),
    "an empty field": answer("200 OK", "X-A:", "X-B:   "),
    "gzip": answer("200 OK", "Content-Encoding: gzip", body=b"\x1f\x8bnot really"),
    "a length with zeros": b"HTTP/1.1 200 OK\r\nContent-Length: 003\r\n\r\nabc",
}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_browser_is_answered_the_same(both: Both, method: str) -> None:
    path = "/graph/threads/t/state"
    different = {}
    for kind, sent in ANSWERS.items():
        body = b"{}" if method == "POST" else None
        ours, theirs, got = await both.ask(method, path, body=body, answer=sent)
        assert both.ways.last(), kind
        try:
            assert_same(ours, theirs, got)
            assert framed(ours) == framed(theirs)
        except AssertionError:
            different[kind] = ours, theirs
    assert "\n".join(f"{kind}: {pair}" for kind, pair in different.items()) == ""


def framed(got: Answer) -> dict[str, str]:
    """Say how a body is framed, the number as a number.

    aiohttp writes a length or chunks as it likes for the same bytes.
    """
    framing = dict(got.framing)
    if "content-length" in framing:
        framing["content-length"] = str(int(framing["content-length"]))
    return framing


names = st.sampled_from(
    [
        *(
            "Content-Type",
            "content-type",
            "Vary",
            "Cache-Control",
            "Connection",
            "Server",
        ),
        *("Set-Cookie", "ETag", "X-A", "x-a", "Link", "Location", "Content-Location"),
        *("Access-Control-Allow-Origin", "X-Frame-Options", "Content-Security-Policy"),
        *("X-Request-ID", "Surrogate-Control", "CDN-Cache-Control", "Keep-Alive"),
        *("Strict-Transport-Security", "Content-Encoding", "Allow", "Retry-After"),
        *("Content-Disposition", "X-Accel-Buffering", "Pragma", "Age", "Expires"),
    ]
) | st.text(string.ascii_letters + string.digits + "-_.!#$%&'*+^`|~", min_size=1)
values = st.sampled_from(
    [
        "",
        "*",
        "no-store",
        "no-transform, x",
        "text/html",
        "text/html;a=b",
        "x-a",
        "close",
    ]
) | st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"),
    max_size=20,
)
NEVER = FRAMING | OWN | {"trailer", "upgrade", "te", "proxy-connection"}
fields = st.lists(
    st.tuples(names, values).filter(lambda pair: pair[0].lower() not in NEVER),
    max_size=6,
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    status=st.sampled_from(
        [200, 200, 201, 204, 206, 301, 304, 307, 404, 422, 500, 503]
    ),
    sent=fields,
    body=st.binary(max_size=30),
    chunked=st.booleans(),
)
@example(status=200, sent=[("Connection", "X-A"), ("x-a", "b")], body=b"", chunked=True)
async def test_the_browser_is_answered_the_same_whatever_the_fields(
    both: Both,
    status: int,
    sent: list[tuple[str, str]],
    body: bytes,
    chunked: bool,  # noqa: FBT001 - drawn
) -> None:
    lines = [f"{name}: {value}" for name, value in sent]
    if status in {204, 304}:
        raw = "\r\n".join([f"HTTP/1.1 {status} X", *lines, "\r\n"]).encode("latin-1")
    elif chunked:
        raw = answer(f"{status} X", CHUNKED, *lines)
        raw += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    else:
        raw = answer(f"{status} X", *lines, body=body)

    ours, theirs, got = await both.ask("GET", "/graph/ok", answer=raw)

    assert both.ways.last()
    assert_same(ours, theirs, got)
