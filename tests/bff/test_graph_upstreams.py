"""Several upstreams, unix sockets and TLS, on both ways to the graph server."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from bff.dev.ports import free_port
from bff.graph import LIVE
from tests.bff.shapes import DIRECT, HEARTBEAT, RUN, SSE, scene
from tests.fakes.certificates import certificate, contexts
from tests.fakes.upstream import Peer, fake_upstream
from tests.graph_proxy.world import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from pathlib import Path

    from tests.databases import Databases

WAYS = DIRECT, HEARTBEAT
LOGGER = "graph_proxy.upstream"


async def ok_forever(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer()


@contextmanager
def black_hole() -> Generator[str]:
    """Give an address that lets nobody connect and refuses nobody either."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):
            # Its queue is full; from now on, connecting takes for ever.
            with pytest.raises(TimeoutError):
                socket.create_connection(listener.getsockname(), timeout=0.1)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_an_upstream_that_hangs_in_connecting_costs_one_request_its_time(
    databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    with black_hole() as hanging:
        async with scene(
            databases, ok_forever, beside=[hanging], connect_timeout=0.5
        ) as here:
            for shape in WAYS:
                caplog.clear()
                async with here.tab(shape) as one, here.tab(shape) as two:
                    # Side by side they get different ones; one waits, then moves on.
                    for tab in (one, two):
                        raw = shape.written(tab, "POST", RUN, body=b"{}")
                        await tab.send(raw)
                    for tab in (one, two):
                        assert (await tab.answer())[::2] == (200, b"ok")
                    for _ in range(4):
                        await here.asked(one, shape, RUN)
                        assert await one.reader.readexactly(2) == b"ok"
                said = [each for each in caplog.records if each.name == LOGGER]
                assert len(said) == 1, shape
                assert "TimeoutError" in said[0].getMessage()
            await here.idle()


async def test_an_upstream_that_refuses_is_asked_once_and_then_left_out(
    databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = f"http://127.0.0.1:{free_port()}"
    async with scene(databases, ok_forever, beside=[refusing]) as here:
        for shape in WAYS:
            caplog.clear()
            async with here.tab(shape) as one:
                for _ in range(6):
                    assert (await here.asked(one, shape, RUN))[0] == 200
                    assert await one.reader.readexactly(2) == b"ok"
            said = [each for each in caplog.records if each.name == LOGGER]
            assert len(said) == 1, shape
        await here.idle()


async def test_new_requests_go_where_fewer_answers_are_open(
    databases: Databases, tmp_path: Path
) -> None:
    def forever(name: bytes) -> Callable[[Peer], Awaitable[None]]:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(SSE)
            await peer.chunk(name)
            await peer.gone()

        return script

    # One behind a unix socket: kinds may be mixed.
    path = str(tmp_path / "up.sock")
    async with (
        fake_upstream(forever(b"there"), path=path) as there,
        scene(databases, forever(b"here"), beside=[there.url]) as here,
    ):
        for shape in WAYS:
            tabs: dict[bytes, list[AsyncExitStack]] = {b"here": [], b"there": []}
            for went in [*range(1, 7), None, None]:
                if went is None:  # from here on, in turn would be wrong
                    for stack in tabs[b"here"]:
                        await stack.aclose()
                    left = len(tabs[b"there"])
                    live = here.apps[shape.heartbeat][LIVE]
                    await until(lambda: live.total == left, within=5)  # noqa: B023 - at once
                    tabs[b"here"].clear()
                stack = AsyncExitStack()
                one = await stack.enter_async_context(here.tab(shape))
                await here.asked(one, shape, RUN)
                name = await one.chunk()
                tabs[name].append(stack)
                if went is None:
                    assert name == b"here", shape
                elif went % 2 == 0:
                    assert len(tabs[b"here"]) == len(tabs[b"there"]), shape
            for stack in tabs[b"here"] + tabs[b"there"]:
                await stack.aclose()
        await here.idle()


async def test_a_unix_socket_serves_both_ways(
    databases: Databases, tmp_path: Path
) -> None:
    place = {"path": str(tmp_path / "up.sock")}
    async with scene(databases, ok_forever, server=place) as here:
        for shape in WAYS:
            async with here.tab(shape) as one:
                for _ in range(2):
                    assert (await here.asked(one, shape, RUN))[0] == 200
                    assert await one.reader.readexactly(2) == b"ok"


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_serves_both_ways_where_the_certificate_is_trusted(
    databases: Databases,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trusted: bool,  # noqa: FBT001 - a switch
) -> None:
    server, _ = contexts(tmp_path, "127.0.0.1")
    other, _ = certificate(tmp_path, "localhost")
    known = tmp_path / "127.0.0.1.crt" if trusted else other
    monkeypatch.setenv("SSL_CERT_FILE", str(known))
    async with scene(databases, ok_forever, server={"ssl": server}) as here:
        for shape in WAYS:
            async with here.tab(shape) as one:
                status, _ = await here.asked(one, shape, RUN)
                assert status == (200 if trusted else 502)


async def test_an_answer_that_tls_did_not_end_is_not_whole_on_either_way(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\npart")
        ending(peer)
        await peer.gone()

    server, _ = contexts(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "127.0.0.1.crt"))
    async with scene(databases, script, server={"ssl": server}) as here:
        for shape in WAYS:
            for said in (True, False):
                ending = Peer.close if said else Peer.hang_up
                async with here.tab(shape) as one:
                    await here.asked(one, shape, RUN, method="GET")
                    assert await one.chunk() == b"part"
                    if said:
                        assert await one.chunk() == b""
                    else:
                        assert (await one.rest())[0] == b"", shape
        await here.idle()
