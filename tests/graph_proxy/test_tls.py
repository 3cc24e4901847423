"""How answers under TLS end, with asyncio's loop and with the one we serve with."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import uvloop

from tests.fakes.certificates import contexts
from tests.fakes.upstream import Peer, fake_upstream
from tests.graph_proxy.world import gateway, until

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    Run = Callable[[Coroutine[None, None, None]], None]

MB = 2**20


@pytest.fixture(
    params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine in a loop of either make: they hear of ends differently."""

    def in_loop(scene: Coroutine[None, None, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scene)

    return in_loop


ENDS = {"close_notify": Peer.close, "FIN": Peer.hang_up, "RST": Peer.reset}


@pytest.mark.parametrize("how", ENDS)
def test_an_answer_that_ends_with_its_connection_is_whole_only_if_that_was_said(
    run: Run, tmp_path: Path, how: str
) -> None:
    async def scene() -> None:
        go = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart")
            await go.wait()
            ENDS[how](peer)
            await peer.gone()

        server, client = contexts(tmp_path, "127.0.0.1")
        async with (
            fake_upstream(script, ssl=server) as upstream,
            gateway(upstream.url, ssl=client) as here,
        ):
            browser = await here.browser()
            await browser.ask("/graph/ok", "Connection: close")
            assert (await browser.head())[0] == 200
            assert await browser.chunk() == b"part"
            go.set()
            said = b"0\r\n\r\n" if how == "close_notify" else b""
            assert (await browser.rest())[0] == said
            await here.settled()

    run(scene())


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("framing", ["Content-Length: 4", "Transfer-Encoding: chunked"])
def test_an_answer_that_says_its_own_end_is_whole_however_the_connection_ends(
    run: Run, tmp_path: Path, framing: str, how: str
) -> None:
    async def scene() -> None:
        chunked = framing.endswith("chunked")
        body = b"4\r\nbody\r\n0\r\n\r\n" if chunked else b"body"

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing.encode() + body)
            await go.wait()
            ENDS[how](peer)
            await peer.gone()

        server, client = contexts(tmp_path, "127.0.0.1")
        async with (
            fake_upstream(script, ssl=server) as upstream,
            gateway(upstream.url, ssl=client) as here,
        ):
            (target,) = here.proxy.pool._upstreams
            for _ in range(2):
                go = asyncio.Event()
                assert (await here.get("/graph/ok"))[2] == b"body"
                go.set()
                await until(lambda: not target.idle)
            assert len(upstream.peers) == 2

    run(scene())


def serve_once(
    listener: socket.socket, context: ssl.SSLContext, head: bytes, body: bytes
) -> None:
    """Answer one request, then say close_notify and FIN in one breath, as many do."""
    plain, _ = listener.accept()
    with context.wrap_socket(plain, server_side=True) as secured:
        while not secured.recv(2**16).endswith(b"\r\n\r\n"):
            pass
        secured.sendall(head + body)
        secured.setblocking(False)  # noqa: FBT003 - the library's signature
        with suppress(ssl.SSLWantReadError, OSError):
            secured.unwrap()


@pytest.mark.parametrize("length", ["", "Content-Length: %d\r\n"])
def test_a_slow_reader_gets_the_end_of_an_answer_though_its_connection_is_gone(
    run: Run, tmp_path: Path, length: str
) -> None:
    async def scene() -> None:
        server, client = contexts(tmp_path, "127.0.0.1")
        # Little more than all buffers on the way, so that much lies in ours.
        body = os.urandom(8 * MB)
        field = length % len(body) if length else ""
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\n{field}\r\n".encode()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.ensure_future(
                asyncio.to_thread(serve_once, listener, server, head, body)
            )
            port = listener.getsockname()[1]
            async with gateway(f"https://127.0.0.1:{port}", ssl=client) as here:
                browser = await here.browser(limit=2**16)
                await browser.ask("/graph/ok")
                _, headers = await browser.head()
                await asyncio.sleep(0.5)  # all that fits is on the way
                assert await browser.body(headers) == body
                await serving
                await here.settled()

    run(scene())


def test_a_reader_who_is_slow_stops_an_upstream_under_tls(
    run: Run, tmp_path: Path
) -> None:
    async def scene() -> None:
        sent = 0

        async def script(peer: Peer) -> None:
            nonlocal sent
            await peer.request()
            await peer.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MB)
            )
            for _ in range(64):
                await peer.send(b"x" * MB)
                sent += 1
            await peer.gone()

        server, client = contexts(tmp_path, "127.0.0.1")
        async with (
            fake_upstream(script, ssl=server) as upstream,
            gateway(upstream.url, ssl=client) as here,
        ):
            browser = await here.browser(limit=2**16)
            await browser.ask("/graph/ok")
            _, headers = await browser.head()
            last = -1
            while sent != last:
                last = sent
                await asyncio.sleep(0.3)
            assert sent < 50  # what kernels hold of it
            assert await browser.body(headers) == b"x" * 64 * MB
            await here.settled()

    run(scene())
