"""What streams promise holds whatever way a request goes; see shapes.py."""

from __future__ import annotations

import asyncio
import os
import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bff.graph import LIVE
from bff.serve import drain
from tests.bff.shapes import (
    OLD,
    RUN,
    SHAPES,
    SSE,
    STREAM,
    piece,
    scene,
)
from tests.fakes.upstream import Peer, Received
from tests.graph_proxy.world import until

if TYPE_CHECKING:
    from tests.databases import Databases

# We promise 200 ms; a busy machine gets more.
GONE = 1.0


@dataclass
class Stepwise:
    """An upstream whose answers the test drives itself."""

    head: bytes = SSE
    peers: asyncio.Queue[Peer] = field(default_factory=asyncio.Queue)
    got: list[Received] = field(default_factory=list)

    async def __call__(self, peer: Peer) -> None:
        try:
            while True:
                self.got.append(await peer.request())
                if self.head:
                    await peer.send(self.head)
                self.peers.put_nowait(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            peer.left.set()


@dataclass
class Whole:
    """An upstream that says one thing to all."""

    answer: bytes
    got: list[Received] = field(default_factory=list)

    async def __call__(self, peer: Peer) -> None:
        while True:
            self.got.append(await peer.request())
            await peer.send(self.answer)


async def test_the_head_comes_before_the_body_and_newlines_one_by_one(
    databases: Databases,
) -> None:
    """Waiting answers send a newline every five seconds, so that nobody gives up."""
    script = Stepwise(SSE.replace(b"text/event-stream", b"application/json"))
    async with scene(databases, script) as here:
        for shape in SHAPES:
            async with here.tab(shape) as one:
                status, headers = await here.asked(one, shape, "/graph/runs/wait")
                assert status == 200
                assert headers["content-type"] == "application/json"
                peer = await script.peers.get()
                for said in (b"\n", b"\n", b'{"done": 1}'):
                    await peer.chunk(said)
                    assert await piece(one, headers, len(said)) == said, shape
                await peer.chunk(b"")
                if shape is OLD:
                    assert await one.rest() == (b"", False)
                else:
                    assert await one.chunk() == b""
        assert all(request.body == b"{}" for request in script.got)
        await here.idle()


async def test_an_event_of_one_line_of_5_mb_passes(databases: Databases) -> None:
    event = b"data: " + os.urandom(2_500_000).hex().encode() + b"\r\n\r\n"
    whole = SSE + b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event)
    async with scene(databases, Whole(whole)) as here:
        for shape in SHAPES:
            async with here.tab(shape) as one:
                status, headers = await here.asked(one, shape, RUN)
                assert status == 200
                assert await piece(one, headers, len(event)) == event, shape
        await here.idle()


@pytest.mark.parametrize(
    ("method", "path"), [("GET", STREAM), ("POST", RUN), ("DELETE", "/graph/mcp")]
)
async def test_last_event_id_passes_with_every_method(
    databases: Databases, method: str, path: str
) -> None:
    script = Whole(SSE + b"0\r\n\r\n")
    async with scene(databases, script) as here:
        for shape in SHAPES:
            async with here.tab(shape) as one:
                sent = "Last-Event-ID: 1795402067879-0"
                found = await here.asked(one, shape, path, sent, method=method)
                assert found[0] == 200
        assert len(script.got) == len(SHAPES)
        for request in script.got:
            assert request.method == method
            assert request.one("last-event-id") == "1795402067879-0"


async def test_a_location_is_left_alone_but_in_redirects(databases: Databases) -> None:
    script = Whole(b"")
    async with scene(databases, script) as here:
        host = here.upstream.url.removeprefix("http://")
        for status, sent, expected in (
            (200, "/threads/t/runs/r/stream", "/threads/t/runs/r/stream"),
            (201, f"http://{host}/threads/t", f"http://{host}/threads/t"),
            (307, f"http://{host}/mcp", f"{here.world.url}/graph/mcp"),
            (307, f"https://{host}/mcp", f"{here.world.url}/graph/mcp"),
            (308, "/mcp?a=%2F", f"{here.world.url}/graph/mcp?a=%2F"),
            (302, "http://other.test/", "http://other.test/"),
        ):
            script.answer = (
                f"HTTP/1.1 {status} X\r\nLocation: {sent}\r\nContent-Location: {sent}"
                "\r\nContent-Length: 0\r\n\r\n"
            ).encode()
            for shape in SHAPES:
                async with here.tab(shape) as one:
                    got, headers = await here.asked(one, shape, RUN)
                assert (got, headers["location"]) == (status, expected), shape
                assert headers["content-location"] == sent
        assert len(script.got) == 6 * len(SHAPES)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_browser_that_leaves_takes_the_upstream_along(
    databases: Databases,
    begun: bool,  # noqa: FBT001 - a switch
) -> None:
    script = Stepwise(SSE if begun else b"")
    async with scene(databases, script) as here:
        for shape in SHAPES:
            for leave in (asyncio.StreamWriter.close, _reset):
                async with here.tab(shape) as one:
                    await one.send(shape.written(one, "POST", RUN, body=b"{}"))
                    peer = await script.peers.get()
                    if begun:
                        _, headers = await one.head()
                        await peer.chunk(b"data: 1\n\n")
                        await piece(one, dict(headers), 9)
                    assert here.ways[shape.heartbeat].last() is shape.is_direct
                    leave(one.writer)
                    await asyncio.wait_for(peer.left.wait(), GONE)
        await here.idle()


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@pytest.mark.parametrize(
    "framing", ["Transfer-Encoding: chunked", "Content-Length: 100", "X-Framing: none"]
)
async def test_an_upstream_that_dies_midway_leaves_no_clean_end(
    databases: Databases, framing: str
) -> None:
    script = Stepwise(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
    async with scene(databases, script) as here:
        for shape in SHAPES:
            for end in (Peer.reset, Peer.close):
                if end is Peer.close and framing.endswith("none"):
                    continue  # such an answer ends so
                async with here.tab(shape) as one:
                    _, headers = await here.asked(one, shape, RUN)
                    peer = await script.peers.get()
                    if framing.endswith("chunked"):
                        await peer.chunk(b"part")
                    else:
                        await peer.send(b"part")
                    assert await piece(one, headers, 4) == b"part"
                    end(peer)
                    data, was_reset = await one.rest()
                    assert data == b"", shape
                    if shape is OLD and "content-length" not in headers:
                        assert was_reset  # FIN would look like the end
        await here.idle()


async def test_a_stream_that_never_ends_is_cut_when_draining_is_over(
    databases: Databases,
) -> None:
    script = Stepwise()
    async with scene(databases, script) as here:
        for heartbeat, app in here.apps.items():
            live = app[LIVE]
            shapes = [one for one in SHAPES if one.heartbeat is heartbeat]
            for shape in shapes:
                live.draining = False
                async with here.tab(shape) as one, here.tab(shape) as late:
                    _, headers = await here.asked(one, shape, STREAM, method="GET")
                    peer = await script.peers.get()
                    draining = asyncio.ensure_future(drain(app, 0.3))
                    await until(lambda: live.draining)  # noqa: B023 - at once
                    await late.send(shape.written(late, "POST", RUN, body=b"{}"))
                    assert (await late.head())[0] == 503, shape
                    await peer.chunk(b"data: 1\n\n")
                    assert await piece(one, headers, 9) == b"data: 1\n\n"
                    await draining
                    live.cut_all()
                    data, was_reset = await one.rest()
                    assert data == b"", shape
                    assert was_reset or shape is not OLD
                    await asyncio.wait_for(peer.left.wait(), GONE)
                live.draining = False
        await here.idle()


@pytest.mark.parametrize(
    ("limit", "status"),
    [
        ("max_streams_per_session", 429),
        ("max_streams_per_tenant", 429),
        ("max_in_flight", 503),
    ],
)
async def test_limits_hold_and_say_when_to_come_again(
    databases: Databases, limit: str, status: int
) -> None:
    script = Stepwise()
    changes: dict[str, Any] = {limit: 1}
    async with scene(databases, script, **changes) as here:
        for shape in SHAPES:
            async with here.tab(shape) as one:
                assert (await here.asked(one, shape, RUN))[0] == 200
                for other in SHAPES:
                    if other.heartbeat is not shape.heartbeat:
                        continue  # another process, which counts its own
                    async with here.tab(other) as late:
                        raw = other.written(late, "POST", RUN, body=b"{}")
                        await late.send(raw)
                        got, headers = await late.head()
                    assert got == status, (shape, other)
                    assert dict(headers)["retry-after"]
            await here.idle()
    assert len(script.got) == len(SHAPES)


async def test_a_body_over_the_limit_is_413_and_never_arrives_whole(
    databases: Databases,
) -> None:
    arrived = 0

    async def script(peer: Peer) -> None:
        nonlocal arrived
        while data := await peer.reader.read(2**16):
            arrived += len(data)

    async with scene(databases, script, max_body=1000) as here:
        for shape in SHAPES:
            async with here.tab(shape) as one:
                raw = shape.written(one, "POST", RUN, body=b"x" * 1001)
                await one.send(raw)
                assert (await one.head())[0] == 413, shape
        await here.idle()
        # What is refused at once is never dialled; chunks are met when they come.
        assert len(here.upstream.peers) <= 1
        assert arrived < 1000


async def test_a_websocket_frame_over_4_mib_passes_both_ways(
    databases: Databases,
) -> None:
    async def script(peer: Peer) -> None:
        request = await peer.request()
        assert request.one("upgrade") == "websocket"
        proof = request.one("sec-websocket-key") or ""
        await peer.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
            + _accepted(proof)
            + b"\r\n\r\n"
        )
        # A text frame of 64-bit length; the browser's is masked, ours is not.
        size = 5 * 2**20
        await peer.send(b"\x81\x7f" + size.to_bytes(8) + b"y" * size)
        frame = await peer.reader.readexactly(size + 14)
        assert frame[:2] == b"\x81\xff"
        await peer.send(b"\x88\x02" + (4404).to_bytes(2))
        await peer.gone()

    async with (
        scene(databases, script) as here,
        here.alice.session.ws_connect(
            f"{here.world.url}/graph/threads/t/stream/events",
            headers={"Origin": here.world.url},
            max_msg_size=0,
        ) as tunnel,
    ):
        assert await tunnel.receive_str() == "y" * 5 * 2**20
        await tunnel.send_str("x" * 5 * 2**20)
        said = await tunnel.receive()
        assert (said.type, said.data) == (aiohttp.WSMsgType.CLOSE, 4404)


async def _echo(peer: Peer) -> None:
    while True:
        request = await peer.request()
        said = request.target.encode() + b" " + request.body
        if "dies" in request.target:
            await peer.send(SSE + b"%x\r\n" % len(said) + said[: len(said) // 2])
            peer.reset()
            return
        await peer.send(SSE)
        for at in range(0, len(said), 20_000):
            await peer.chunk(said[at : at + 20_000])
        await peer.chunk(b"")


async def test_nobody_gets_another_s_answer_though_all_ways_share_connections(
    databases: Databases,
) -> None:
    shapes = [shape for shape in SHAPES if not shape.heartbeat]
    answered = 0

    async def one_after_another(number: int) -> None:
        nonlocal answered
        dice = random.Random(number)  # noqa: S311 - chooses what to ask, no secret
        for _ in range(12):
            shape, mark = dice.choice(shapes), f"{dice.getrandbits(64):x}"
            fate = dice.choice(["", "", "", "leaves", "dies"])
            body = dice.randbytes(dice.choice([1, 1000, 150_000])).hex().encode()
            path = f"/graph/threads/{mark}/history?{fate}"
            async with here.tab(shape) as one:
                raw = shape.written(one, "POST", path, body=body)
                one.writer.write(raw[: len(raw) // 2])
                await asyncio.sleep(0)
                await one.send(raw[len(raw) // 2 :])
                if fate == "leaves":
                    await asyncio.sleep(dice.random() * 0.02)
                    one.writer.transport.abort()
                    continue
                status, headers = await one.head()
                expected = path.removeprefix("/graph").encode() + b" " + body
                assert status == 200
                if fate == "dies":
                    data, _ = await one.rest()
                    assert not data.endswith(b"0\r\n\r\n")
                    for part in re.findall(rb"/threads/([0-9a-f]+)", data):
                        assert mark.startswith(part.decode())
                else:
                    assert await piece(one, dict(headers), len(expected)) == expected
                answered += 1

    async with scene(databases, _echo) as here:
        async with asyncio.TaskGroup() as group:
            for number in range(24):
                group.create_task(one_after_another(number))
        await here.idle()
    assert answered > 100


def _accepted(key: str) -> bytes:
    import base64  # noqa: PLC0415 - only here
    import hashlib  # noqa: PLC0415 - only here

    said = f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()
    return base64.b64encode(hashlib.sha1(said, usedforsecurity=False).digest())
