from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from graph_proxy import Proxy
from graph_proxy.upstream import Upstream
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


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate that signs itself for a DNS name or an address."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.crt", folder / f"{name}.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


def _server(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context and one that trusts it."""
    cert_file, key_file = _certificate(folder, name)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert_file, key_file)
    return server, ssl.create_default_context(cafile=str(cert_file))


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
    server, client = _server(tmp_path, "127.0.0.1")
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
    server, client = _server(
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
