from __future__ import annotations

import asyncio

import pytest

import graph_proxy
from graph_proxy import Allow, Proxy
from tests.fakes.upstream import Peer, Received, fake_upstream
from tests.graph_proxy.world import OWN, SOON, gateway, until


async def _ok_forever(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer()


async def _never(peer: Peer) -> None:
    await peer.gone()


async def test_the_upstream_gets_the_gateways_fields_and_not_the_browsers() -> None:
    got: list[Received] = []

    async def script(peer: Peer) -> None:
        got.append(await peer.request())
        await peer.answer()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        status, _, body = await here.get(
            "/graph/threads/t/history?limit=1&limit=%2F..%2f&x",
            "Authorization: Bearer evil",
            "Cookie: nx_access=secret",
            "X-Auth-Scheme: langsmith",
            "X_Tenant_ID: evil",
            "x-tenant-id: evil",
            "X-Forwarded-For: 6.6.6.6",
            "Connection: close, authorization, X-Tenant-ID, x-forwarded-for",
            "Last-Event-ID: 42",
            "Accept: text/event-stream",
            method="POST",
            body=b"{}",
        )
        assert (status, body) == (200, b"ok")
    (request,) = got
    assert request.method == "POST"
    assert request.target == "/threads/t/history?limit=1&limit=%2F..%2f&x"
    assert request.body == b"{}"
    for name, value in OWN:
        assert request.all(name.lower()) == [value]
    assert request.one("last-event-id") == "42"
    assert request.one("host") == upstream.url.removeprefix("http://")
    assert {name for name, _ in request.headers} == {
        *(name.lower() for name, _ in OWN),
        *("host", "last-event-id", "accept", "content-length"),
    }


async def test_the_normalised_path_is_sent() -> None:
    got: list[str] = []

    async def script(peer: Peer) -> None:
        got.append((await peer.request()).target)
        await peer.answer()

    async with fake_upstream(script) as upstream:
        async with gateway(f"{upstream.url}/base/") as here:
            await here.get("/%67raph/threads/../%6Fk?%6F")
        async with gateway(upstream.url, prefix="/", allow=Allow.everything()) as here:
            await here.get("/a%7cb/")
    assert got == ["/base/ok?%6F", "/a%7Cb/"]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/graph/threads/%2e%2e/internal/truncate", "POST", 404),
        ("/graph/threads/..%2finternal/truncate", "POST", 400),
        ("/graph//internal/truncate", "POST", 400),
        ("/graph/threads/%00", "GET", 400),
        ("http://upstream/graph/ok", "GET", 400),
        ("/graph/ok#x", "GET", 400),
        ("/graph/threads/../../auth/login", "POST", 404),
        ("/graph/ok", "POST", 405),
        ("/graph/ok", "TRACE", 405),
        ("/graph/ok", "OPTIONS", 405),
    ],
)
async def test_a_refused_request_reaches_no_upstream(
    path: str, method: str, status: int
) -> None:
    async with fake_upstream(_never) as upstream, gateway(upstream.url) as here:
        assert (await here.get(path, method=method))[0] == status
        assert not upstream.peers
        assert here.proxy.outstanding == 0


async def test_what_the_browser_gets_is_filtered_marked_and_otherwise_as_it_came() -> (
    None
):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(
            b"HTTP/1.1 202 Because\r\nContent-Length: 2\r\nServer: uvicorn\r\n"
            b"Set-Cookie: a=b\r\nAccess-Control-Allow-Origin: *\r\nVary: Origin\r\n"
            b"Connection: keep-alive, x-hop\r\nX-Hop: 1\r\nLink: a\r\nLink: b\r\n"
            b"Content-Location: /threads/t\r\nLocation: /threads/t\r\n"
            b"Content-Encoding: br\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\n\r\nok"
        )

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask("/graph/ok")
        status, headers = await browser.head()
        assert status == 202
        server = [pair for pair in headers if pair[0] == "server"]
        assert "uvicorn" not in str(server)
        assert sorted(pair for pair in headers if pair not in server) == [
            ("content-encoding", "br"),
            ("content-length", "2"),
            ("content-location", "/threads/t"),
            ("date", "Tue, 01 Jan 2030 00:00:00 GMT"),
            ("link", "a"),
            ("link", "b"),
            ("location", "/threads/t"),
            ("set-cookie", "nx_access=1"),
            ("set-cookie", "nx_refresh=2"),
            ("vary", "Origin"),
        ]
        assert await browser.reader.readexactly(2) == b"ok"


async def test_a_redirect_is_mapped_and_not_followed() -> None:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            host = request.one("host")
            await peer.send(
                f"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n"
                f"Location: https://{host}/threads/search?x=1\r\n\r\n".encode()
            )

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        for _ in range(2):
            status, headers, _ = await here.get("/graph/ok/")
            assert status == 307
            assert (
                headers["location"] == "http://localhost:8080/graph/threads/search?x=1"
            )
        assert len(upstream.peers) == 1


async def test_nobody_there_is_the_callers_to_answer() -> None:
    async with fake_upstream(_never) as upstream:
        gone = upstream.url
    async with gateway(gone) as here:
        assert (await here.get("/graph/runs/stream", method="POST", body=b"{}"))[
            0
        ] == 502
        assert isinstance(here.errors[0], graph_proxy.UpstreamUnavailable)
        assert here.proxy.outstanding == 0


@pytest.mark.parametrize(
    "how", ["close", "reset", "garbage", "ambiguous", "half a head", "unasked 101"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_upstream_that_fails_after_the_request_leaves_no_answer(
    how: str, method: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if how == "reset":
            peer.reset()
        elif how == "garbage":
            await peer.send(b"nonsense\r\n\r\n")
            await peer.gone()
        elif how == "ambiguous":
            await peer.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            await peer.gone()
        elif how == "half a head":
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        elif how == "unasked 101":
            await peer.send(
                b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
            )
            await peer.gone()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        path = "/graph/threads/t/history"
        body = b"{}" if method == "POST" else None
        await browser.ask(path, method=method, body=body)
        assert (await browser.rest())[0] == b""
        assert [type(error) for error in here.errors] == [graph_proxy.UpstreamBroken]
        assert len(upstream.peers) == 1
        await here.settled()


async def test_a_silent_upstream_is_cut_off_without_an_answer() -> None:
    async with (
        fake_upstream(_never) as upstream,
        gateway(upstream.url, head_timeout=0.1) as here,
    ):
        browser = await here.browser()
        await browser.ask("/graph/runs/wait", method="POST", body=b"{}")
        assert await browser.rest() == (b"", False)
        assert isinstance(here.errors[0], graph_proxy.UpstreamBroken)
        await asyncio.wait_for(upstream.peers[0].left.wait(), SOON)


async def test_a_browser_that_leaves_before_the_head_takes_the_upstream_along() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask("/graph/runs/wait", method="POST", body=b"{}")
        await until(lambda: upstream.peers)
        await browser.leave()
        await asyncio.wait_for(upstream.peers[0].left.wait(), SOON)
        await here.settled()
        assert [type(error) for error in here.errors] == [asyncio.CancelledError]


async def test_a_browser_that_leaves_while_dialling_leaves_nothing_behind() -> None:
    # The upstream never answers the TLS handshake.
    async with (
        fake_upstream(_never) as upstream,
        gateway(upstream.url.replace("http", "https")) as here,
    ):
        browser = await here.browser()
        await browser.ask("/graph/ok")
        await until(lambda: upstream.peers)
        (target,) = here.proxy.pool._upstreams
        assert here.proxy.outstanding == target.outstanding == 1
        await browser.leave()
        await here.settled()
        assert target.outstanding == 0
        await asyncio.wait_for(upstream.peers[0].left.wait(), SOON)


async def test_a_stale_connection_is_replaced_once_for_a_get() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        if len(upstream.peers) == 1:
            await peer.request()
            peer.close()  # without having said a byte
        else:
            await _ok_forever(peer)

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        for _ in range(2):
            assert (await here.get("/graph/ok"))[0] == 200
        assert len(upstream.peers) == 2


async def test_a_fresh_connection_that_dies_is_not_tried_again() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask("/graph/ok")
        assert (await browser.rest())[0] == b""
        assert len(upstream.peers) == 1


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_what_changes_something_is_never_sent_twice(method: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await peer.request()
        peer.close()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        assert (await here.get("/graph/threads/t"))[0] == 200
        browser = await here.browser()
        path = "/graph/threads" if method == "POST" else "/graph/threads/t"
        await browser.ask(path, method=method)
        assert (await browser.rest())[0] == b""
        assert len(upstream.peers) == 1


async def test_a_post_goes_out_afresh_when_the_pooled_connection_was_closed() -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        if len(upstream.peers) == 1:
            peer.close()
            await peer.writer.wait_closed()
            closed.set()
        else:
            await _ok_forever(peer)

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        assert (await here.get("/graph/ok"))[0] == 200
        await asyncio.wait_for(closed.wait(), SOON)
        status, _, _ = await here.get("/graph/threads", method="POST", body=b"{}")
        assert status == 200
        assert len(upstream.peers) == 2


async def test_many_at_once_with_leavers_among_them_leave_nothing_behind() -> None:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await peer.chunk(request.body)
            await asyncio.sleep(0.01)
            await peer.chunk(request.body)
            await peer.chunk(b"")

    async def visit(number: int) -> None:
        browser = await here.browser()
        for turn in range(3):
            body = f"{number}:{turn};".encode() * 1000
            await browser.ask("/graph/threads", method="POST", body=body)
            if number % 5 == turn:
                await browser.leave()
                return
            assert (await browser.answer())[2] == body * 2

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        await asyncio.gather(*map(visit, range(100)))
        await here.settled()
        (target,) = here.proxy.pool._upstreams
        assert target.outstanding == 0
        assert len(here.over) == len(here.answers)


async def test_a_malformed_header_of_the_gateways_own_is_a_mistake_of_its_own() -> None:
    async with fake_upstream(_never) as upstream, gateway(upstream.url) as here:
        here.own = [("Authorization", "Bearer a\r\nX: y")]
        assert (await here.get("/graph/ok"))[0] == 500
        assert here.proxy.outstanding == 0
        assert here.proxy.pool._upstreams[0].outstanding == 0


@pytest.mark.parametrize("prefix", ["graph", "/graph/../x", "/a%41", "/a//b"])
def test_a_prefix_must_be_normalised(prefix: str) -> None:
    with pytest.raises(ValueError, match="normalised"):
        Proxy(upstreams=["http://h"], prefix=prefix)
