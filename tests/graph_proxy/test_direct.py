"""One exchange the direct way, against upstreams on raw sockets."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bff.dev.ports import free_port
from graph_proxy import Proxy, incoming
from graph_proxy.direct import Direct
from graph_proxy.errors import (
    BadPath,
    BodyTooLarge,
    MethodRefused,
    PathRefused,
    UpstreamBroken,
)
from tests.fakes.upstream import Peer, Received, fake_upstream
from tests.graph_proxy.world import SOON, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from graph_proxy.answers import Head
    from graph_proxy.upstream import Upstream

OWN = b"Authorization: Bearer token-of-the-user\r\nX-Tenant-ID: 1001\r\n"
SSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


class Heard(Direct):
    """An exchange whose browser writes down what it is told."""

    def __init__(self, proxy: Proxy, asked: incoming.Incoming) -> None:
        target = proxy.target(asked.method, asked.target).encode()
        lines = proxy.heads.fields(asked.block) + OWN
        super().__init__(proxy, asked.method, target, lines, asked.body)
        self.head: Head | None = None
        self.body = bytearray()
        self.over = 0
        self.error: UpstreamBroken | None = None
        self.unavailable = 0

    def send_head(self, head: Head, upstream: Upstream, body: bytes) -> None:
        assert self.head is None
        assert upstream.outstanding
        self.head = head
        self.body += body

    def on_body(self, data: bytes) -> None:
        assert not self.over
        self.body += data

    def on_over(self, error: UpstreamBroken | None) -> None:
        self.over += 1
        self.error = error

    def on_unavailable(self) -> None:
        self.unavailable += 1

    @property
    def done(self) -> bool:
        return bool(self.over or self.unavailable)


def plain(
    method: str = "GET", target: str = "/graph/ok", *fields: str, body: bytes = b""
) -> incoming.Incoming:
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost:8080", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    asked = incoming.read("\r\n".join([*lines, "\r\n"]).encode() + body)
    assert asked is not None
    return asked


@asynccontextmanager
async def proxy(*upstreams: str, **options: Any) -> AsyncGenerator[Proxy]:
    made = Proxy(upstreams=upstreams, **options)
    yield made
    await made.close()
    assert made.outstanding == 0
    assert all(upstream.outstanding == 0 for upstream in made.pool._upstreams)


def begin(here: Proxy, asked: incoming.Incoming | None = None) -> Heard:
    heard = Heard(here, asked or plain())
    heard.start()
    return heard


async def ask(here: Proxy, asked: incoming.Incoming | None = None) -> Heard:
    heard = begin(here, asked)
    await until(lambda: heard.done)
    assert heard.over + heard.unavailable == 1
    return heard


class Script:
    """Answers every request with the same bytes and keeps what came."""

    def __init__(self, *answer: bytes, close: bool = False) -> None:
        self.answer = answer
        self.close = close
        self.got: list[Received] = []

    async def __call__(self, peer: Peer) -> None:
        while True:
            self.got.append(await peer.request())
            for piece in self.answer:
                await peer.send(piece)
                await asyncio.sleep(0.01)
            if self.close:
                return


async def test_the_request_arrives_with_what_may_cross_and_what_is_ours() -> None:
    script = Script(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    async with (
        fake_upstream(script) as upstream,
        proxy(f"{upstream.url}/base", forward_headers=["X-Extra"]) as here,
    ):
        heard = await ask(
            here,
            plain(
                "POST",
                "/graph/threads/%74/runs/stream?a=%2F",
                "Accept: a/b",
                "Last-Event-ID: 7",
                "MCP-Session-Id: m",
                "X-EXTRA: e",
                "Cookie: nx_access=1secret",
                "Authorization: Bearer forged",
                "X-Tenant-ID: 9",
                "X_Tenant_ID: 9",
                "X-Forwarded-For: 6.6.6.6",
                "X-Auth-Scheme: langsmith",
                "Origin: http://localhost:8080",
                "Sec-Fetch-Site: same-origin",
                body=b'{"x": 1}',
            ),
        )
    (got,) = script.got
    assert (got.method, got.target) == ("POST", "/base/threads/t/runs/stream?a=%2F")
    assert got.body == b'{"x": 1}'
    assert dict(got.headers) == {
        "host": upstream.url.removeprefix("http://"),
        "accept": "a/b",
        "last-event-id": "7",
        "mcp-session-id": "m",
        "x-extra": "e",
        "content-length": "8",
        "authorization": "Bearer token-of-the-user",
        "x-tenant-id": "1001",
    }
    assert len(got.headers) == 8
    assert heard.body == b"ok"
    assert heard.error is None


@pytest.mark.parametrize(
    ("fields", "body", "length"),
    [((), b"", None), (("Content-Length: 0",), b"", "0"), ((), b"abc", "3")],
)
async def test_a_length_is_announced_where_the_browser_did(
    fields: tuple[str, ...], body: bytes, length: str | None
) -> None:
    script = Script(b"HTTP/1.1 204 No Content\r\n\r\n")
    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        await ask(here, plain("POST", "/graph/threads", *fields, body=body))
    assert script.got[0].one("content-length") == length
    assert script.got[0].body == body


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (plain("GET", "/graph/internal/x"), PathRefused),
        (plain("GET", "/graph/../whoami"), PathRefused),
        (plain("GET", "/graph//ok"), BadPath),
        (plain("GET", "/graph/%2e%2e%2fwhoami"), BadPath),
        (plain("GET", "/graph/%zz"), BadPath),
        (plain("GET", "/graph/ok#x"), BadPath),
        (plain("PUT", "/graph/threads/t"), MethodRefused),
        (plain("POST", "/graph/threads", body=b"12345"), BodyTooLarge),
    ],
)
async def test_what_is_refused_is_refused_before_anything_is_counted(
    asked: incoming.Incoming, error: type[Exception]
) -> None:
    async with proxy("http://127.0.0.1:1", max_body=4) as here:
        with pytest.raises(error):
            Heard(here, asked)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (SSE + b"2\r\nok\r\n0\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_a_whole_answer_keeps_the_connection(answer: bytes, body: bytes) -> None:
    script = Script(answer[:20], answer[20:])
    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        for _ in range(3):
            heard = await ask(here)
            assert heard.body == body
            assert heard.error is None
        assert len(upstream.peers) == 1


async def test_a_close_delimited_answer_ends_cleanly_with_a_chunk() -> None:
    script = Script(b"HTTP/1.1 200 OK\r\n\r\n", b"all of it", close=True)
    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        for _ in range(2):
            heard = await ask(here)
            assert heard.body == b"9\r\nall of it\r\n0\r\n\r\n"
            assert heard.error is None
        assert len(upstream.peers) == 2


@pytest.mark.parametrize(
    "answer",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 200 OK\r\n\r\n"),
        (SSE + b"2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",),
        (
            SSE + b"2\r\nok\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\nx",),
    ],
)
async def test_excess_reaches_nobody_and_its_connection_serves_nobody(
    answer: tuple[bytes, ...],
) -> None:
    script = Script(*answer)
    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        for number in (1, 2):
            heard = await ask(here)
            assert heard.error is None
            assert b"ok" in heard.body or heard.body == b""
            assert b"HTTP/1.1" not in heard.body
            await until(lambda: not here.pool._upstreams[0].idle)
            assert len(upstream.peers) == number


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_head_that_cannot_be_trusted_is_asked_for_once(
    answer: bytes, method: str
) -> None:
    script = Script(answer)
    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        heard = await ask(here, plain(method, "/graph/threads/t/state"))
        assert heard.head is None
        assert heard.error is not None
        assert len(script.got) == 1
        await until(lambda: not here.pool._upstreams[0].idle)


class DiesOnSecond:
    """Serves one request a connection; the second is read and left unanswered."""

    def __init__(self) -> None:
        self.got: list[Received] = []

    async def __call__(self, peer: Peer) -> None:
        self.got.append(await peer.request())
        await peer.answer()
        self.got.append(await peer.request())


async def test_a_get_on_a_stale_connection_is_asked_once_more() -> None:
    script = DiesOnSecond()
    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        await ask(here)
        heard = await ask(here)
        assert heard.error is None
        assert heard.body == b"ok"
        assert len(script.got) == 3
        assert len(upstream.peers) == 2


async def test_but_not_on_a_fresh_one() -> None:
    script = Script(close=True)
    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        heard = await ask(here)
        assert heard.error is not None
        assert len(script.got) == 1


async def test_nor_once_a_byte_was_heard() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await peer.request()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        await ask(here)
        assert (await ask(here)).error is not None
        assert len(upstream.peers) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_nothing_else_is_ever_asked_twice(method: str) -> None:
    script = DiesOnSecond()
    target = "/graph/threads" if method == "POST" else "/graph/threads/t"
    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        await ask(here)
        heard = await ask(here, plain(method, target))
        assert heard.error is not None
        assert len(script.got) == 2
        assert len(upstream.peers) == 1


async def test_a_stale_get_finds_the_upstream_away() -> None:
    script = DiesOnSecond()
    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        await ask(here)
        # Only who listens goes; the pooled connection stands.
        port = int(upstream.url.rpartition(":")[2])
        here.pool._upstreams[0]._port = free_port()
        assert here.pool._upstreams[0]._port != port
        heard = await ask(here)
        assert heard.unavailable == 1
        assert len(script.got) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_upstream_that_is_away_is_unavailable(method: str) -> None:
    async with proxy(f"http://127.0.0.1:{free_port()}") as here:
        heard = await ask(here, plain(method, "/graph/threads/t/state"))
        assert heard.unavailable == 1
        assert heard.over == 0


@pytest.mark.parametrize(
    ("begun", "passed"),
    [
        (SSE + b"4\r\npart\r\n", b"4\r\npart\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart", b"part"),
        (SSE + b"9\r\npart", b"9\r\npart"),
    ],
)
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_an_upstream_that_dies_inside_the_body_breaks_the_answer(
    begun: bytes, passed: bytes, how: str
) -> None:
    die = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(begun)
        await die.wait()
        if how == "reset":
            peer.reset()

    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        heard = begin(here)
        await until(lambda: heard.body == passed)
        die.set()
        await until(lambda: heard.done)
        assert heard.error is not None
        assert heard.body == passed
        assert len(upstream.peers) == 1


async def test_silence_past_the_head_timeout_breaks_it_and_hangs_up() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.gone()

    async with (
        fake_upstream(script) as upstream,
        proxy(upstream.url, head_timeout=0.05) as here,
    ):
        heard = await ask(here)
        assert heard.error is not None
        assert "silent" in str(heard.error)
        await asyncio.wait_for(upstream.peers[0].left.wait(), SOON)


async def test_silence_after_the_head_is_no_trouble() -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(SSE)
        await go_on.wait()
        await peer.chunk(b"")

    async with (
        fake_upstream(script) as upstream,
        proxy(upstream.url, head_timeout=0.05) as here,
    ):
        heard = begin(here)
        await until(lambda: heard.head)
        await asyncio.sleep(0.15)
        assert not heard.done
        go_on.set()
        await until(lambda: heard.done)
        assert heard.error is None


@pytest.mark.parametrize("stage", ["dialling", "asked", "streaming"])
async def test_to_cut_hangs_up_whatever_the_stage_and_once(stage: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if stage == "streaming":
            await peer.send(SSE)
        await peer.gone()

    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        heard = begin(here)
        if stage == "asked":
            await until(lambda: upstream.peers)
        if stage == "streaming":
            await until(lambda: heard.head)
        heard.cut()
        heard.cut()
        assert heard.over == 1
        assert heard.error is not None
        assert here.outstanding == 0
        for peer in upstream.peers:
            await asyncio.wait_for(peer.left.wait(), SOON)
        heard.pause()
        heard.resume()


async def test_a_pause_makes_the_upstream_wait_and_a_reused_one_does_not() -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(SSE)
        for _ in range(400):
            await peer.chunk(b"x" * 65536)
            sent += 1
        await peer.chunk(b"")
        await peer.request()
        await peer.answer()
        await peer.gone()

    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        heard = begin(here)
        await until(lambda: heard.head)
        heard.pause()
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 400
        held = len(heard.body)
        await asyncio.sleep(0.05)
        assert len(heard.body) == held
        heard.resume()
        await until(lambda: heard.done, within=20)
        assert heard.error is None
        assert heard.body.count(b"x") == 400 * 65536
        heard.pause()  # too late to stop anybody
        assert (await ask(here)).body == b"ok"
        assert len(upstream.peers) == 1


async def test_two_requests_share_no_connection_at_a_time() -> None:
    script = Script(SSE, b"1\r\nx\r\n", b"0\r\n\r\n")
    async with fake_upstream(script) as upstream, proxy(upstream.url) as here:
        both = await asyncio.gather(ask(here), ask(here))
        assert [heard.body for heard in both] == [b"1\r\nx\r\n0\r\n\r\n"] * 2
        assert len(upstream.peers) == 2
        await ask(here)
        assert len(upstream.peers) == 2


async def test_several_upstreams_are_kept_busy_and_their_connections_kept() -> None:
    first = Script(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    second = Script(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    async with (
        fake_upstream(first) as one,
        fake_upstream(second) as other,
        proxy(one.url, other.url) as here,
    ):
        for _ in range(20):
            assert (await ask(here)).body == b"ok"

        assert len(first.got) == len(second.got) == 10
        assert [len(upstream.idle) for upstream in here.pool._upstreams] == [1, 1]


async def test_what_an_upstream_says_unasked_is_nobody_s_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "http://{}:{}".format(*server.getsockname())
        async with proxy(address) as here:
            asked = asyncio.ensure_future(ask(here))
            loop = asyncio.get_running_loop()
            server.setblocking(False)  # noqa: FBT003 - its signature
            peer, _ = await loop.sock_accept(server)
            with peer:
                await loop.sock_recv(peer, 4096)
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none")
                assert (await asked).body == b"one"
                # It arrives before the loop looks: only asking the kernel tells.
                peer.send(b"HTTP/1.1 408 Too Late\r\nContent-Length: 3\r\n\r\nbye")
                heard = begin(here)
                fresh, _ = await loop.sock_accept(server)
                with fresh:
                    await loop.sock_recv(fresh, 4096)
                    fresh.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")
                    await until(lambda: heard.done)
                assert heard.body == b"two"
                heard.cut()
