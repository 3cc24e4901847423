from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from graph_proxy import Proxy
from graph_proxy.upstream import Upstream
from tests.fakes.certificates import contexts
from tests.fakes.upstream import Peer, fake_upstream
from tests.graph_proxy.world import SOON, gateway, until

if TYPE_CHECKING:
    from pathlib import Path


async def _ok_forever(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer()


async def _waiting(peer: Peer) -> None:
    await peer.request()
    await peer.gone()


async def test_an_upstream_behind_a_unix_socket_is_reached(tmp_path: Path) -> None:
    path = str(tmp_path / "up.sock")
    async with (
        fake_upstream(_ok_forever, path=path) as upstream,
        gateway(f"unix:{path}") as here,
    ):
        assert (await here.get("/graph/ok"))[2] == b"ok"
        assert (await here.get("/graph/ok"))[2] == b"ok"
        assert len(upstream.peers) == 1


async def test_an_upstream_behind_tls_is_reached_and_its_connection_kept(
    tmp_path: Path,
) -> None:
    server, client = contexts(tmp_path, "127.0.0.1")
    async with (
        fake_upstream(_ok_forever, ssl=server) as upstream,
        gateway(upstream.url, ssl=client) as here,
    ):
        for _ in range(2):
            body = b"x" * 500_000
            answer = await here.get("/graph/threads", method="POST", body=body)
            assert answer[2] == b"ok"
        assert len(upstream.peers) == 1


@pytest.mark.parametrize("problem", ["untrusted", "another name"])
async def test_an_upstream_whose_certificate_does_not_verify_is_not_used(
    tmp_path: Path, problem: str
) -> None:
    server, client = contexts(
        tmp_path, "127.0.0.1" if problem == "untrusted" else "localhost"
    )
    async with (
        fake_upstream(_ok_forever, ssl=server) as upstream,
        gateway(upstream.url, ssl=None if problem == "untrusted" else client) as here,
    ):
        assert (await here.get("/graph/ok"))[0] == 502


def test_verification_cannot_be_switched_off() -> None:
    careless = ssl.create_default_context()
    careless.check_hostname = False
    with pytest.raises(ValueError, match="name must be verified"):
        Upstream("https://h", ssl=careless)
    careless.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="certificate must be verified"):
        Upstream("https://h", ssl=careless)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://h",
        "h:80",
        "",
        "http://",
        "http://u:p@h",
        "http://h/?a",
        "unix:x",
        "unix:",
    ],
)
def test_an_address_is_http_https_or_a_unix_socket(address: str) -> None:
    with pytest.raises(ValueError, match=r"unix|user"):
        Proxy(upstreams=[address])
    with pytest.raises(ValueError, match="at least one"):
        Proxy(upstreams=[])


async def test_the_upstream_with_the_least_outstanding_requests_is_chosen() -> None:
    async with (
        fake_upstream(_waiting) as one,
        fake_upstream(_waiting) as two,
        gateway(one.url, two.url) as here,
    ):
        for count in range(1, 7):
            await (await here.browser()).ask("/graph/ok")
            await until(lambda: len(one.peers) + len(two.peers) == count)  # noqa: B023
            assert abs(len(one.peers) - len(two.peers)) <= 1
        await here.browsers[0].leave()
        await here.browsers[2].leave()
        await until(lambda: here.proxy.outstanding == 4)


async def test_an_unreachable_upstream_is_left_out_and_later_tried_again() -> None:
    async with fake_upstream(_ok_forever) as gone:
        dead = gone.url
    async with fake_upstream(_ok_forever) as alive, gateway(dead, alive.url) as here:
        for _ in range(4):
            assert (await here.get("/graph/ok"))[0] == 200
        target = next(u for u in here.proxy.pool._upstreams if u.address == dead)
        left = target.ejected_until - asyncio.get_running_loop().time()
        assert 5 < left <= 10
        assert target not in here.proxy.pool._by_preference()
        target.ejected_until = 0.0
        assert target in here.proxy.pool._by_preference()
        assert (await here.get("/graph/ok"))[0] == 200


async def test_one_request_finds_out_whether_an_upstream_is_back() -> None:
    """A host that swallows connections must not hold everybody up every ten seconds."""
    dialled = 0

    async def mute(
        _: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:  # speaks no TLS, so connecting hangs
        nonlocal dialled
        dialled += 1
        await hold.wait()
        writer.close()

    hold = asyncio.Event()
    listener = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with (
        listener,
        fake_upstream(_ok_forever) as alive,
        gateway(f"https://127.0.0.1:{port}", alive.url, connect_timeout=0.3) as here,
    ):
        mute_one, alive_one = here.proxy.pool._upstreams
        alive_one.outstanding = 100  # the other is always the better choice
        mute_one.ejected_until = asyncio.get_running_loop().time() - 1
        tabs = [await here.browser() for _ in range(8)]
        for tab in tabs:
            await tab.ask("/graph/ok")
        for tab in tabs:
            assert (await tab.answer())[0] == 200
        assert dialled == 1
        left = mute_one.ejected_until - asyncio.get_running_loop().time()
        assert 5 < left <= 10
        alive_one.outstanding -= 100
        hold.set()


async def test_an_upstream_that_is_alone_is_always_tried() -> None:
    async with fake_upstream(_ok_forever) as upstream, gateway(upstream.url) as here:
        (target,) = here.proxy.pool._upstreams
        target.ejected_until = asyncio.get_running_loop().time() + 10
        assert (await here.get("/graph/ok"))[0] == 200
        assert target.ejected_until == 0.0


async def test_connecting_has_a_limit_of_its_own() -> None:
    async def silent(peer: Peer) -> None:
        await peer.gone()

    async with (
        fake_upstream(silent) as upstream,
        gateway(upstream.url.replace("http", "https"), connect_timeout=0.1) as here,
    ):
        assert (await here.get("/graph/ok"))[0] == 502
        await asyncio.wait_for(upstream.peers[0].left.wait(), SOON)


async def test_an_idle_connection_is_dropped_in_time() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await peer.gone()

    async with (
        fake_upstream(script) as upstream,
        gateway(upstream.url, idle_timeout=0.1) as here,
    ):
        assert (await here.get("/graph/ok"))[0] == 200
        await asyncio.wait_for(upstream.peers[0].left.wait(), SOON)
        assert not here.proxy.pool._upstreams[0].idle
        assert (await here.get("/graph/ok"))[0] == 200


@pytest.mark.parametrize("what", ["closes", "speaks"])
async def test_an_idle_connection_that_closes_or_speaks_is_forgotten(what: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await asyncio.sleep(0.05)
        if what == "speaks":
            await peer.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            await peer.gone()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        assert (await here.get("/graph/ok"))[0] == 200
        (target,) = here.proxy.pool._upstreams
        await until(lambda: not target.idle)
        assert (await here.get("/graph/ok"))[0] == 200
        assert len(upstream.peers) == 2


async def test_an_answer_with_something_behind_it_is_not_followed_by_another() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"okHTTP/1.1 200 OK\r\n", "X: y")

    async def smuggling(peer: Peer) -> None:
        await peer.request()
        await peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        )
        await peer.gone()

    async with fake_upstream(smuggling) as upstream, gateway(upstream.url) as here:
        for _ in range(2):
            assert (await here.get("/graph/ok"))[2] == b"ok"
        assert len(upstream.peers) == 2
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        assert (await here.get("/graph/ok"))[2] == b"okHTTP/1.1 200 OK\r\n"


async def test_close_drops_idle_connections_and_lets_others_finish() -> None:
    both, go_on = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        second = len(upstream.peers) == 2
        await (go_on if second else both).wait()
        await peer.answer()
        await peer.gone()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        one, two = await here.browser(), await here.browser()
        await one.ask("/graph/ok")
        await until(lambda: upstream.peers)
        await two.ask("/graph/ok")
        await until(lambda: len(upstream.peers) == 2)
        both.set()
        assert (await one.answer())[2] == b"ok"
        await here.proxy.close()
        await asyncio.wait_for(upstream.peers[0].left.wait(), SOON)
        go_on.set()
        assert (await two.answer())[2] == b"ok"
        await asyncio.wait_for(upstream.peers[1].left.wait(), SOON)


async def test_a_connection_that_ended_a_moment_ago_is_not_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        upstream = Upstream(f"http://127.0.0.1:{port}")
        connection = await upstream.dial(5.0)
        assert connection.transport is not None
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        peer, _ = listener.accept()
        upstream.keep(connection, 4.0)
        assert upstream.take_idle() is connection
        upstream.keep(connection, 4.0)
        peer.close()  # the event loop has had no chance to notice
        assert not connection.closed
        assert upstream.take_idle() is None
        await until(lambda: connection.closed)
