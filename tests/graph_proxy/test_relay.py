from __future__ import annotations

import asyncio
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from tests.fakes.upstream import Peer, fake_upstream
from tests.graph_proxy.world import SOON, gateway, until

if TYPE_CHECKING:
    from graph_proxy import Forwarded

_SSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_STREAM = "/graph/threads/t/runs/stream"


class Stepwise:
    """An upstream whose single stream the test drives itself."""

    def __init__(self, head: bytes = _SSE) -> None:
        self.head = head
        self.peer: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        await peer.send(self.head)
        self.peer.set_result(peer)
        await peer.gone()


async def test_the_head_goes_out_before_any_byte_of_the_body() -> None:
    script = Stepwise()
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask(_STREAM, method="POST", body=b"{}")
        status, headers = await browser.head()
        assert status == 200
        assert dict(headers)["content-type"] == "text/event-stream; charset=utf-8"
        assert dict(headers)["transfer-encoding"] == "chunked"
        peer = await script.peer
        for event in (b"event: metadata\r\ndata: {}\r\n\r\n", b": heartbeat\r\n\r\n"):
            await peer.chunk(event)
            assert await browser.chunk() == event
        await peer.chunk(b"")
        assert await browser.chunk() == b""
        # Both connections serve another request.
        await browser.ask("/graph/ok")
        await here.settled()
        assert len(here.over) == 1


async def test_the_newlines_of_a_waiting_answer_pass_one_by_one() -> None:
    script = Stepwise(_SSE.replace(b"text/event-stream", b"application/json"))
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask("/graph/runs/wait", method="POST", body=b"{}")
        await browser.head()
        peer = await script.peer
        for _ in range(3):
            await peer.chunk(b"\n")
            assert await browser.chunk() == b"\n"
        await peer.chunk(b'{"done":1}')
        assert await browser.chunk() == b'{"done":1}'


async def test_an_event_of_one_line_of_5_mb_passes() -> None:
    event = b"data: " + b"x" * 5_000_000 + b"\r\n\r\n"

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(_SSE)
        await peer.chunk(event)
        await peer.chunk(b"")

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        _, _, body = await here.get(_STREAM, method="POST", body=b"{}")
        assert body == event


async def test_a_clean_end_keeps_both_connections() -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(_SSE)
            await peer.chunk(b"data: 1\n\n")
            await peer.chunk(b"")

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        for _ in range(3):
            await browser.ask(_STREAM, method="POST", body=b"{}")
            assert (await browser.answer())[2] == b"data: 1\n\n"
        await here.settled()
        assert len(upstream.peers) == 1
        assert len(here.over) == 3


@pytest.mark.parametrize(
    ("framing", "how"),
    [
        (b"Transfer-Encoding: chunked", "close"),
        (b"Transfer-Encoding: chunked", "reset"),
        (b"Transfer-Encoding: chunked", "nonsense"),
        (b"Content-Length: 100", "close"),
        (b"Content-Length: 100", "reset"),
    ],
)
async def test_an_upstream_that_dies_inside_the_body_breaks_the_browsers_connection(
    framing: bytes, how: str
) -> None:
    script = Stepwise(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask(_STREAM, method="POST", body=b"{}")
        _, headers = await browser.head()
        chunked = dict(headers).get("transfer-encoding") == "chunked"
        peer = await script.peer
        await (peer.chunk(b"part") if chunked else peer.send(b"part"))
        expected = b"4\r\npart\r\n" if chunked else b"part"
        assert await browser.reader.readexactly(len(expected)) == expected
        if how == "close":
            peer.close()
        elif how == "reset":
            peer.reset()
        else:
            await peer.send(b"no chunk\r\n")
        assert (await browser.rest())[0] == b""
        await here.settled()
        assert len(here.over) == 1


async def test_what_arrived_before_the_upstream_died_still_reaches_the_browser() -> (
    None
):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(_SSE)
        await peer.chunk(b"x" * 300_000)

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask(_STREAM, method="POST", body=b"{}")
        await browser.head()
        data, _ = await browser.rest()
        assert data.count(b"x") == 300_000
        assert not data.endswith(b"0\r\n\r\n")


async def test_an_answer_that_ends_with_its_connection_ends_cleanly() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it")

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        for _ in range(2):
            _, headers, body = await here.get("/graph/ok")
            assert body == b"all of it"
            assert headers["transfer-encoding"] == "chunked"
        assert len(upstream.peers) == 2


async def test_a_reset_is_no_clean_end_of_an_answer_that_ends_with_its_connection() -> (
    None
):
    script = Stepwise(b"HTTP/1.1 200 OK\r\n\r\n")
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask("/graph/ok")
        await browser.head()
        peer = await script.peer
        await peer.send(b"part")
        assert await browser.chunk() == b"part"
        peer.reset()
        assert (await browser.rest())[0] == b""


async def test_a_browser_that_leaves_a_silent_stream_takes_the_upstream_along() -> None:
    script = Stepwise()
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask(_STREAM, method="POST", body=b"{}")
        await browser.head()
        peer = await script.peer
        await browser.leave()
        await asyncio.wait_for(peer.left.wait(), SOON)
        await here.settled()
        assert len(here.over) == 1


async def test_http_1_0_gets_a_body_that_ends_with_the_connection() -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(_SSE)
            await peer.chunk(b"data: 1\n\n")
            await peer.chunk(b"")

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        for header in ("X: y", "Connection: keep-alive"):
            browser = await here.browser()
            await browser.ask(_STREAM, header, method="POST", body=b"{}", version="1.0")
            _, headers = await browser.head()
            assert "transfer-encoding" not in dict(headers)
            assert dict(headers).get("connection") != "keep-alive"
            assert await browser.rest() == (b"data: 1\n\n", False)


async def test_http_1_0_sees_a_broken_answer_as_a_reset() -> None:
    script = Stepwise()
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask(_STREAM, method="POST", body=b"{}", version="1.0")
        await browser.head()
        peer = await script.peer
        await peer.chunk(b"part")
        assert await browser.reader.readexactly(4) == b"part"
        peer.close()
        assert await browser.rest() == (b"", True)


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'),
    ],
)
async def test_an_answer_without_body_leaves_both_connections_usable(
    method: str, head: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head)
        await peer.request()
        await peer.answer(b"next")

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask("/graph/ok", method=method)
        status, headers = await browser.head()
        fields = dict(headers)
        assert "transfer-encoding" not in fields
        assert "content-type" not in fields
        if method == "HEAD":
            assert fields.get("content-length") == ("5" if b"Length" in head else None)
        else:
            assert str(status).encode() in head
        await browser.ask("/graph/ok")
        assert (await browser.answer())[2] == b"next"
        assert len(upstream.peers) == 1


async def test_no_content_type_is_invented() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"ok")

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        _, headers, _ = await here.get("/graph/ok")
        assert "content-type" not in headers


async def test_a_slow_reader_costs_a_bounded_amount_of_memory() -> None:
    sent = 0
    block = b"x" * 2**20

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(_SSE)
        for _ in range(64):
            await peer.chunk(block)
            sent += 1
        await peer.chunk(b"")

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser(limit=2**16)
        await browser.ask(_STREAM, method="POST", body=b"{}")
        await browser.head()
        tracemalloc.start()
        try:
            last = -1
            while sent != last:  # until everything on the way is full
                last = sent
                await asyncio.sleep(0.2)
            assert sent < 40
            assert tracemalloc.get_traced_memory()[0] < 8 * 2**20
        finally:
            tracemalloc.stop()
        total = 0
        while data := await browser.chunk():
            total += len(data)
        assert total == 64 * 2**20


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_cut_breaks_both_connections_in_the_middle(version: str) -> None:
    script = Stepwise()
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        await browser.ask(_STREAM, method="POST", body=b"{}", version=version)
        await browser.head()
        peer = await script.peer
        (answer,) = here.answers
        answer.cut()
        answer.cut()
        assert here.over == [answer]
        data, was_reset = await browser.rest()
        assert data == b""
        assert was_reset == (version == "1.0")
        await asyncio.wait_for(peer.left.wait(), SOON)
        await here.settled()
        assert here.over == [answer]


async def test_cut_works_before_the_answer_has_begun() -> None:
    script = Stepwise()

    async def cut(answer: Forwarded) -> None:
        answer.cut()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        here.after_forward = cut
        browser = await here.browser()
        await browser.ask(_STREAM, method="POST", body=b"{}")
        assert (await browser.rest())[0] == b""
        await asyncio.wait_for((await script.peer).left.wait(), SOON)
        assert len(here.over) == 1


async def test_cut_leaves_a_finished_answer_and_its_connections_alone() -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser()
        for _ in range(2):
            await browser.ask("/graph/ok")
            assert (await browser.answer())[2] == b"ok"
            await here.settled()
            here.answers[0].cut()
            called: list[int] = []
            here.answers[0].add_done_callback(lambda: called.append(1))  # noqa: B023
            assert called == [1]
        assert len(upstream.peers) == 1


async def test_cut_reaches_a_browser_that_has_stopped_reading() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(_SSE)
        while True:
            await peer.chunk(b"x" * 2**20)

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        browser = await here.browser(limit=2**16)
        await browser.ask(_STREAM, method="POST", body=b"{}")
        await browser.head()
        await asyncio.sleep(0.2)
        here.answers[0].cut()
        await here.settled()
        data, _ = await browser.rest()
        assert not data.endswith(b"0\r\n\r\n")


async def test_an_answer_that_the_handler_drops_closes_the_upstream() -> None:
    script = Stepwise()

    async def fail(answer: Forwarded) -> None:
        raise LookupError(answer.status)

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        here.after_forward = fail
        status, _, _ = await here.get(_STREAM, method="POST", body=b"{}")
        assert status == 500
        await asyncio.wait_for((await script.peer).left.wait(), SOON)
        await here.settled()
        assert len(here.over) == 1


async def test_a_prepare_signal_that_fails_closes_the_upstream() -> None:
    script = Stepwise()
    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        here.mark_fails = True
        browser = await here.browser()
        await browser.ask(_STREAM, method="POST", body=b"{}")
        assert (await browser.rest())[0] == b""
        await asyncio.wait_for((await script.peer).left.wait(), SOON)
        await here.settled()
        assert len(here.over) == 1


async def test_an_answer_may_be_finished_by_the_handler_itself() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(_SSE)
        await peer.chunk(b"data: 1\n\n")
        await peer.chunk(b"")

    async def finish(answer: Forwarded) -> None:
        await answer.prepare(answer._request)
        await answer.write_eof()
        await answer.write_eof()

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        here.after_forward = finish
        browser = await here.browser()
        await browser.ask(_STREAM, "Connection: close", method="POST", body=b"{}")
        _, headers = await browser.head()
        assert await browser.body(headers) == b"data: 1\n\n"
        assert (await browser.rest())[0] == b""


async def test_a_callback_that_fails_does_not_keep_the_others_from_running() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()

    def fail() -> None:
        raise LookupError

    called: list[int] = []

    async def add(answer: Forwarded) -> None:
        answer.add_done_callback(fail)
        answer.add_done_callback(lambda: called.append(1))

    async with fake_upstream(script) as upstream, gateway(upstream.url) as here:
        here.after_forward = add
        assert (await here.get("/graph/ok"))[0] == 200
        await here.settled()
        assert called == [1]


async def test_a_heartbeat_fills_silence_between_events_only() -> None:
    script = Stepwise()
    async with (
        fake_upstream(script) as upstream,
        gateway(upstream.url, heartbeat=0.05) as here,
    ):
        browser = await here.browser()
        await browser.ask(_STREAM, method="POST", body=b"{}")
        await browser.head()
        peer = await script.peer
        assert await browser.chunk() == b": heartbeat\n\n"
        await peer.chunk(b"data: half")
        while (data := await browser.chunk()) == b": heartbeat\n\n":
            pass
        assert data == b"data: half"
        await asyncio.sleep(0.15)
        await peer.chunk(b" an event\r\n\r\n")
        assert await browser.chunk() == b" an event\r\n\r\n"
        assert await browser.chunk() == b": heartbeat\n\n"
        await peer.chunk(b"")
        while await browser.chunk():
            pass


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked",
        b"Content-Type: text/event-stream\r\nContent-Length: 2",
        (
            b"Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
            b"Transfer-Encoding: chunked"
        ),
    ],
)
async def test_a_heartbeat_is_put_into_nothing_but_a_plain_event_stream(
    fields: bytes,
) -> None:
    script = Stepwise(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n")
    async with (
        fake_upstream(script) as upstream,
        gateway(upstream.url, heartbeat=0.02) as here,
    ):
        browser = await here.browser()
        await browser.ask("/graph/ok")
        await browser.head()
        peer = await script.peer
        await asyncio.sleep(0.1)
        await peer.send(b"ok" if b"Length" in fields else b"2\r\nok\r\n0\r\n\r\n")
        data = await browser.reader.readexactly(2)
        assert data in {b"ok", b"2\r"}
        await until(lambda: len(here.over) == 1)
