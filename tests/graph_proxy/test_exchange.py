from __future__ import annotations

import asyncio
import gzip
import hashlib
from types import SimpleNamespace
from typing import Any, cast

import pytest

import graph_proxy
from graph_proxy.exchange import Exchange
from tests.fakes.upstream import Peer, Received, fake_upstream
from tests.graph_proxy.world import SOON, Gateway, gateway, until

_PATH = "/graph/threads"


class Recorder:
    """Answers every request and keeps what came."""

    def __init__(self) -> None:
        self.got: list[Received] = []

    async def __call__(self, peer: Peer) -> None:
        while True:
            self.got.append(await peer.request())
            await peer.answer()


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
async def test_a_body_of_known_length_keeps_it(size: int) -> None:
    script = Recorder()
    body = b"x" * size
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        assert (await here.get(_PATH, method="POST", body=body))[0] == 200
    (request,) = script.got
    assert request.one("content-length") == str(size)
    assert request.one("transfer-encoding") is None
    assert request.body == body


async def test_a_chunked_body_stays_chunked() -> None:
    script = Recorder()
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        for pause in (0.0, 0.02):
            await browser.ask(_PATH, "Transfer-Encoding: chunked", method="POST")
            for piece in (b"3\r\nabc\r\n", b"A;x=y\r\n0123456789\r\n", b"0\r\n\r\n"):
                await browser.send(piece)
                await asyncio.sleep(pause)
            assert (await browser.answer())[2] == b"ok"
        assert len(upstream.peers) == 1
    for request in script.got:
        assert request.one("content-length") is None
        assert request.one("transfer-encoding") == "chunked"
        assert request.body == b"abc0123456789"


async def test_no_body_brings_no_framing() -> None:
    script = Recorder()
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        await here.get("/graph/ok")
    (request,) = script.got
    assert request.one("content-length") is None
    assert request.one("transfer-encoding") is None


async def test_a_body_passes_while_it_is_still_being_sent() -> None:
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        _, _, headers = await peer.head()
        assert dict(headers)["content-length"] == "6"
        assert await peer.reader.readexactly(3) == b"abc"
        arrived.set()
        assert await peer.reader.readexactly(3) == b"def"
        await peer.answer()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask(_PATH, "Content-Length: 6", method="POST")
        await browser.send(b"abc")
        await asyncio.wait_for(arrived.wait(), SOON)
        await browser.send(b"def")
        assert (await browser.answer())[2] == b"ok"


async def test_an_upstream_that_reads_slowly_makes_the_browser_wait() -> None:
    size = 64 * 2**20
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        # A small buffer, or asyncio would read 128 MB ahead.
        peer.reader._limit = 2**16  # type: ignore[attr-defined]
        await peer.head()
        await go_on.wait()
        digest = hashlib.sha256()
        left = size
        while left:
            data = await peer.reader.read(2**20)
            left -= len(data)
            digest.update(data)
        await peer.answer(digest.hexdigest().encode())

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask(_PATH, f"Content-Length: {size}", method="POST")
        body = b"0123456789abcdef" * (size // 16)
        sending = asyncio.create_task(browser.send(body))
        done, _ = await asyncio.wait([sending], timeout=0.5)
        assert not done
        buffered = browser.writer.transport.get_write_buffer_size()
        assert buffered > size // 2
        go_on.set()
        await asyncio.wait_for(sending, 20)
        assert (await browser.answer())[2] == hashlib.sha256(body).hexdigest().encode()


async def test_the_browser_is_told_to_continue() -> None:
    script = Recorder()
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask(
            _PATH, "Expect: 100-continue", "Content-Length: 2", method="POST"
        )
        assert (await browser.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        await browser.send(b"{}")
        assert (await browser.answer())[2] == b"ok"
    assert script.got[0].body == b"{}"
    assert script.got[0].one("expect") is None


async def test_a_body_announced_too_large_never_starts() -> None:
    script = Recorder()
    async with (
        fake_upstream(script) as upstream,
        gateway(upstream.url, max_body=10) as here,
    ):
        assert (await here.get(_PATH, method="POST", body=b"x" * 10))[0] == 200
        assert (await here.get(_PATH, method="POST", body=b"x" * 11))[0] == 413
        assert len(script.got) == 1
        assert here.proxy.outstanding == 0
        error = here.errors[0]
        assert isinstance(error, graph_proxy.BodyTooLarge)
        assert error.limit == 10


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_chunked_body_that_grows_too_large_never_arrives_whole(
    at_once: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    whole: list[Received] = []

    async def script(peer: Peer) -> None:
        whole.append(await peer.request())

    async with (
        fake_upstream(script) as upstream,
        gateway(upstream.url, max_body=10) as here,
    ):
        browser = await here.browser()
        head = "Transfer-Encoding: chunked"
        if at_once:
            await browser.send(
                f"POST {_PATH} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n"
                f"B\r\n01234567890\r\n0\r\n\r\n".encode()
            )
        else:
            await browser.ask(_PATH, head, method="POST")
            await browser.send(b"8\r\n01234567\r\n")
            await until(lambda: upstream.peers)
            await browser.send(b"3\r\nabc\r\n")
        assert (await browser.answer())[0] == 413
        await here.settled()
        assert not whole


async def test_a_malformed_body_never_arrives_whole() -> None:
    whole: list[Received] = []

    async def script(peer: Peer) -> None:
        whole.append(await peer.request())

    # aiohttp tells nobody that the chunks went wrong: the time limit has to.
    async with (
        fake_upstream(script) as upstream,
        gateway(upstream.url, head_timeout=0.2) as here,
    ):
        browser = await here.browser()
        await browser.ask(_PATH, "Transfer-Encoding: chunked", method="POST")
        await browser.send(b"3\r\nabc\r\n")
        await until(lambda: upstream.peers)
        await browser.send(b"nonsense\r\n")
        assert (await browser.rest())[0] == b""
        await here.settled()
        assert not whole


async def test_a_body_that_does_not_decompress_never_arrives_whole() -> None:
    whole: list[Received] = []

    async def script(peer: Peer) -> None:
        whole.append(await peer.request())

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        status, _, _ = await here.get(
            _PATH, "Content-Encoding: gzip", method="POST", body=b"\x1f\x8b nonsense"
        )
        assert status == 400
        await here.settled()
        assert not whole
        assert isinstance(here.errors[0], graph_proxy.BodyBroken)


async def test_a_browser_that_leaves_while_sending_takes_the_upstream_along() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.gone()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask(_PATH, "Content-Length: 10", method="POST")
        await browser.send(b"half")
        await until(lambda: upstream.peers)
        await browser.leave()
        await asyncio.wait_for(upstream.peers[0].left.wait(), SOON)
        await here.settled()


async def _upload_and_answer(here: Gateway) -> tuple[int, bytes]:
    browser = await here.browser()
    await browser.ask(_PATH, "Content-Length: 8", method="POST")
    await browser.send(b"half")
    status, headers = await browser.head()
    await browser.send(b"rest")
    body = await browser.body(headers)
    return status, body


async def test_an_answer_may_begin_before_the_request_has_ended() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        assert await peer.reader.readexactly(4) == b"half"
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await peer.chunk(await peer.reader.readexactly(4))
        await peer.chunk(b"")
        await peer.request()
        await peer.answer()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        assert await _upload_and_answer(here) == (200, b"rest")
        await here.settled()
        assert (await here.get("/graph/ok"))[0] == 200
        assert len(upstream.peers) == 1


async def test_an_upstream_that_refuses_a_body_midway_is_heard_and_dropped() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await peer.gone()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        assert await _upload_and_answer(here) == (413, b"no")
        await asyncio.wait_for(upstream.peers[0].left.wait(), SOON)
        await here.settled()


async def test_the_head_timeout_counts_from_the_last_progress_of_the_body() -> None:
    script = Recorder()
    async with (
        fake_upstream(script) as upstream,
        gateway(upstream.url, head_timeout=0.3) as here,
    ):
        browser = await here.browser()
        await browser.ask(_PATH, "Content-Length: 4", method="POST")
        for byte in (b"a", b"b", b"c", b"d"):
            await asyncio.sleep(0.15)
            await browser.send(byte)
        assert (await browser.answer())[2] == b"ok"


@pytest.mark.parametrize("decompress", [True, False])
async def test_a_compressed_body_is_described_as_it_is_sent(
    decompress: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    script = Recorder()
    plain = b"hello " * 100
    packed = gzip.compress(plain)
    async with (
        fake_upstream(script) as upstream,
        gateway(upstream.url, server={"auto_decompress": decompress}) as here,
    ):
        status, _, _ = await here.get(
            _PATH, "Content-Encoding: gzip", method="POST", body=packed
        )
        assert status == 200
    (request,) = script.got
    if decompress:
        assert request.one("content-encoding") is None
        assert request.body == plain
    else:
        assert request.one("content-encoding") == "gzip"
        assert request.one("content-length") == str(len(packed))
        assert request.body == packed


class Recording:
    """A connection and its pool, noting what becomes of them."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def abort(self) -> None:
        self.said.append("aborted")

    def wake(self) -> None:
        """Nobody waits."""

    def release(self, *_: object) -> None:
        self.said.append("released")


@pytest.mark.parametrize("done", [False, True])
async def test_a_connection_with_half_a_request_on_it_serves_nobody_else(
    *, done: bool
) -> None:
    async def broken() -> None:
        raise graph_proxy.BodyBroken("the request body broke off")

    noted = Recording()
    exchange = Exchange(cast("Any", noted), cast("Any", None), cast("Any", noted))
    exchange._body = cast("Any", SimpleNamespace(done=done))
    exchange._sending = asyncio.ensure_future(broken())
    await asyncio.wait([exchange._sending])

    exchange.end()

    # The answer may have come whole: what counts is that the request did not.
    assert ("aborted" in noted.said) is not done
    assert isinstance(exchange._sending.exception(), graph_proxy.BodyBroken)
