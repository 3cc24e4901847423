from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from tests.fakes.upstream import Peer, Received, fake_upstream
from tests.graph_proxy.world import SOON, Browser, Gateway, gateway, until

if TYPE_CHECKING:
    from graph_proxy import Forwarded

_PATH = "/graph/threads/t/stream/events"
_HANDSHAKE = (
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: v2",
    "Sec-WebSocket-Extensions: permessage-deflate",
)
_SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    b"Sec-WebSocket-Protocol: v2\r\nSet-Cookie: a=b\r\n\r\n"
)


async def _echo(peer: Peer) -> None:
    await peer.request()
    await peer.send(_SWITCH)
    while data := await peer.reader.read(2**16):
        await peer.send(data)


async def _opened(here: Gateway, *, early: bytes = b"") -> Browser:
    browser = await here.browser()
    lines = [f"GET {_PATH} HTTP/1.1", "Host: localhost:8080", *_HANDSHAKE, "\r\n"]
    await browser.send("\r\n".join(lines).encode() + early)
    status, headers = await browser.head()
    assert status == 101
    fields = dict(headers)
    assert fields["upgrade"] == "websocket"
    assert fields["connection"].lower() == "upgrade"
    assert fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert fields["sec-websocket-protocol"] == "v2"
    assert not {"content-length", "transfer-encoding", "content-type"} & fields.keys()
    cookies = [value for name, value in headers if name == "set-cookie"]
    assert cookies == ["nx_access=1", "nx_refresh=2"]
    return browser


async def test_the_handshake_reaches_the_upstream_with_the_callers_token() -> None:
    got: list[Received] = []

    async def script(peer: Peer) -> None:
        got.append(await peer.request())
        await peer.send(_SWITCH)
        await peer.gone()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        await _opened(here)
    (request,) = got
    assert request.target == "/threads/t/stream/events"
    assert request.one("authorization") == "Bearer token-of-the-user"
    assert request.one("connection") == "Upgrade"
    assert request.one("upgrade") == "websocket"
    assert request.one("sec-websocket-key") == "dGhlIHNhbXBsZSBub25jZQ=="
    assert request.one("sec-websocket-protocol") == "v2"
    assert request.one("sec-websocket-extensions") == "permessage-deflate"


async def test_bytes_pass_both_ways_however_many() -> None:
    data = os.urandom(5_000_000)
    async with fake_upstream(_echo) as upstream, gateway(upstream.url) as here:
        browser = await _opened(here)
        sending = asyncio.create_task(browser.send(data))
        assert await browser.reader.readexactly(len(data)) == data
        await sending
        await browser.send(b"\x81\x00")
        assert await browser.reader.readexactly(2) == b"\x81\x00"


async def test_bytes_that_come_early_from_either_side_are_not_lost() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.05)  # the browser's bytes wait in the gateway
        await peer.send(_SWITCH + b"from the upstream")
        await peer.send(await peer.reader.readexactly(400_000))
        await peer.gone()

    early = b"GET /auth/logout HTTP/1.1\r\n\r\n".ljust(400_000, b"e")
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await _opened(here, early=early)
        expected = b"from the upstream" + early
        assert await browser.reader.readexactly(len(expected)) == expected


async def test_a_slow_upstream_makes_the_browser_wait() -> None:
    size = 64 * 2**20
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        peer.reader._limit = 2**16  # type: ignore[attr-defined]
        await peer.request()
        await peer.send(_SWITCH)
        await go_on.wait()
        left = size
        while left:
            left -= len(await peer.reader.read(2**20))
        await peer.send(b"all")
        await peer.gone()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await _opened(here)
        sending = asyncio.create_task(browser.send(b"x" * size))
        done, _ = await asyncio.wait([sending], timeout=0.5)
        assert not done
        assert browser.writer.transport.get_write_buffer_size() > size // 2
        go_on.set()
        assert await browser.reader.readexactly(3) == b"all"
        await sending


async def test_a_browser_that_leaves_says_its_last_word_and_takes_the_upstream_along() -> (  # noqa: E501 - a sentence
    None
):
    heard = b""

    async def script(peer: Peer) -> None:
        nonlocal heard
        await peer.request()
        await peer.send(_SWITCH)
        heard = await peer.reader.read()
        peer.left.set()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await _opened(here)
        await browser.send(b"\x88\x02\x03\xe8")
        await browser.leave()
        await asyncio.wait_for(upstream.peers[0].left.wait(), SOON)
        assert heard == b"\x88\x02\x03\xe8"
        await here.settled()
        assert len(here.over) == 1


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_an_upstream_that_leaves_takes_the_browser_along(how: str) -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(_SWITCH + b"\x88\x02\x11\x33")
        await go.wait()
        if how == "reset":
            peer.reset()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await _opened(here)
        assert await browser.reader.readexactly(4) == b"\x88\x02\x11\x33"
        go.set()
        assert (await browser.rest())[0] == b""
        await here.settled()
        assert len(here.over) == 1


@pytest.mark.parametrize("early", [b"", b"\x81\x85abcd", b"GET /x HTTP/1.1\r\n\r\n"])
async def test_a_refused_upgrade_is_an_ordinary_answer_and_the_end(
    early: bytes,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2\r\nUpgrade: x\r\n\r\n{}"
        )
        await peer.gone()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask(_PATH, *_HANDSHAKE)
        if early:
            await browser.send(early)
        status, headers = await browser.head()
        assert status == 403
        assert dict(headers)["connection"] == "close"
        assert "upgrade" not in dict(headers)
        assert (await browser.rest())[0] == b"{}"
        await here.settled()
        assert len(upstream.peers) == 1


async def test_cut_breaks_a_tunnel() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(_SWITCH)
        await peer.gone()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await _opened(here)
        here.answers[0].cut()
        here.answers[0].cut()
        assert (await browser.rest())[0] == b""
        await asyncio.wait_for(upstream.peers[0].left.wait(), SOON)
        await here.settled()
        assert len(here.over) == 1


async def test_a_tunnel_that_the_handler_drops_is_closed() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(_SWITCH)
        await peer.gone()

    async def fail(answer: Forwarded) -> None:
        raise LookupError(answer.status)

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        here.after_forward = fail
        browser = await here.browser()
        await browser.ask(_PATH, *_HANDSHAKE)
        assert (await browser.head())[0] == 500
        await browser.rest()
        await asyncio.wait_for(upstream.peers[0].left.wait(), SOON)
        await here.settled()


async def test_a_browser_that_leaves_during_the_handshake_takes_the_upstream_along() -> (  # noqa: E501 - a sentence
    None
):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask(_PATH, *_HANDSHAKE)
        await until(lambda: upstream.peers)
        await browser.leave()
        await asyncio.wait_for(upstream.peers[0].left.wait(), SOON)
        await here.settled()


@pytest.mark.parametrize(
    "fields",
    [
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x"),
        ("Connection: Upgrade", "Upgrade: websocket, h2c"),
        ("Upgrade: websocket",),
    ],
)
async def test_any_other_upgrade_is_ignored(fields: tuple[str, ...]) -> None:
    got: list[Received] = []

    async def script(peer: Peer) -> None:
        got.append(await peer.request())
        await peer.answer()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        assert (await here.get("/graph/ok", *fields))[2] == b"ok"
    (request,) = got
    assert (
        not {"upgrade", "connection", "http2-settings"} & dict(request.headers).keys()
    )


async def test_a_websocket_passes_only_where_one_is_allowed() -> None:
    async with fake_upstream(_echo) as upstream, gateway(upstream.url) as here:
        assert (await here.get("/graph/ok", *_HANDSHAKE))[0] == 405
        assert not upstream.peers
