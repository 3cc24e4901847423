"""Long bodies and slow people cost little memory, whatever way they go; see shapes.py.

What is measured holds the test's own buffers as well, and the fake upstream's.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import tracemalloc
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.bff.shapes import CHUNKED, MB, RUN, SHAPES, SSE, STREAM, Scene, piece, scene

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from tests.bff.shapes import Shape
    from tests.bff.tabs import Tab
    from tests.databases import Databases
    from tests.fakes.upstream import Peer

BLOCK = os.urandom(MB)
UPLOAD = "/graph/threads"


@contextmanager
def memory(*, below: int) -> Generator[None]:
    """Fail when more than so many bytes were held at one time."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < below


@dataclass
class Server:
    """An upstream of endless events, long answers, and uploads it may not read."""

    size: int  # of a long answer, in MB
    sent: int = 0
    came: str = ""
    reads: asyncio.Event | None = None

    async def __call__(self, peer: Peer) -> None:
        # asyncio would read 128 MB ahead.
        peer.reader._limit = 2**16  # type: ignore[attr-defined] # no other way
        while True:
            _, target, headers = await peer.head()
            fields = dict(headers)
            if target == "/threads":
                if self.reads is not None:
                    await self.reads.wait()
                self.came = await _digest(peer, fields)
                await peer.answer(self.came.encode())
            elif target == "/threads/t/stream":
                await peer.send(SSE)
                while True:
                    await peer.chunk(b"data: 1\n\n")
                    await asyncio.sleep(0.01)
            else:
                await _read(peer, fields)
                self.sent = 0
                await peer.send(SSE)
                for _ in range(self.size):
                    await peer.chunk(BLOCK)
                    self.sent += 1
                await peer.chunk(b"")


async def _read(peer: Peer, fields: dict[str, str]) -> None:
    if "transfer-encoding" in fields:
        async for _ in peer.chunks():
            pass
    else:
        await peer.reader.readexactly(int(fields.get("content-length", 0)))


async def _digest(peer: Peer, fields: dict[str, str]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    if "transfer-encoding" in fields:
        async for chunk in peer.chunks():
            digest.update(chunk)
    else:
        left = int(fields["content-length"])
        while left:
            data = await peer.reader.read(min(left, 2**18))
            assert data
            digest.update(data)
            left -= len(data)
    return digest.hexdigest()


@asynccontextmanager
async def another(here: Scene, shape: Shape) -> AsyncGenerator[Tab]:
    """Stream to somebody else on the same gateway, in the same shape."""
    async with here.tab(shape) as other:
        _, headers = await here.asked(other, shape, STREAM, method="GET")
        await piece(other, headers, 9)
        yield other


async def still_hears(other: Tab, shape: Shape) -> None:
    chunked = {"transfer-encoding": "chunked"} if shape.version == "1.1" else {}
    for _ in range(20):
        assert await piece(other, chunked, 9) == b"data: 1\n\n"


async def swallowed(one: Tab, headers: dict[str, str]) -> tuple[int, str]:
    """Read a whole body, keeping none of it."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    if headers.get("transfer-encoding") == "chunked":
        while left := int(await one.reader.readuntil(b"\n"), 16):
            size += left
            while left:
                data = await one.reader.read(min(left, 2**18))
                digest.update(data)
                left -= len(data)
            await one.reader.readexactly(2)
    else:
        while data := await one.reader.read(2**18):
            digest.update(data)
            size += len(data)
    return size, digest.hexdigest()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda one: one.name)
async def test_a_reader_that_stops_costs_little_and_disturbs_nobody(
    databases: Databases, shape: Shape
) -> None:
    script = Server(64)
    async with scene(databases, script) as here, here.tab(shape) as stuck:
        async with another(here, shape) as other:
            with memory(below=12 * MB):
                _, headers = await here.asked(stuck, shape, RUN)
                last = -1
                while script.sent != last:  # until all on the way is full
                    last = script.sent
                    await asyncio.sleep(0.3)
                assert script.sent < 50  # what kernels hold of it
                await still_hears(other, shape)
                assert (await swallowed(stuck, headers))[0] == 64 * MB
        await here.idle()


async def upload(one: Tab, shape: Shape, blocks: int) -> None:
    """Send so many MB, as fast as they are taken."""
    chunked = shape.is_chunked
    framing = f"Content-Length: {blocks * MB}"
    if chunked:
        framing = "Transfer-Encoding: chunked"
    await one.send(shape.written(one, "POST", UPLOAD, framing, body=None))
    for _ in range(blocks):
        # The writer's own buffer is no part of what is measured.
        for at in range(0, MB, 2**16):
            data = BLOCK[at : at + 2**16]
            await one.send(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
    if chunked:
        await one.send(b"0\r\n\r\n")


@pytest.mark.parametrize("shape", SHAPES, ids=lambda one: one.name)
async def test_an_upload_that_is_not_read_costs_little_and_disturbs_nobody(
    databases: Databases, shape: Shape
) -> None:
    script = Server(0, reads=asyncio.Event())
    assert script.reads is not None
    digest = hashlib.md5(BLOCK * 48, usedforsecurity=False).hexdigest()
    async with scene(databases, script) as here, here.tab(shape) as one:
        async with another(here, shape) as other:
            with memory(below=12 * MB):
                sending = asyncio.create_task(upload(one, shape, 48))
                done, _ = await asyncio.wait([sending], timeout=1)
                assert not done  # it is made to wait
                await still_hears(other, shape)
                script.reads.set()
                await sending
                assert (await one.answer())[2] == digest.encode()
        await here.idle()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda one: one.name)
async def test_an_upload_that_comes_drop_by_drop_is_passed_on_so(
    databases: Databases, shape: Shape
) -> None:
    """A slow sender holds no worker: what has come is with the upstream at once."""
    heard = asyncio.Queue[bytes]()

    async def script(peer: Peer) -> None:
        _, _, headers = await peer.head()
        if "transfer-encoding" in dict(headers):
            async for chunk in peer.chunks():
                heard.put_nowait(chunk)
        else:
            left = int(dict(headers)["content-length"])
            while left:
                data = await peer.reader.read(left)
                heard.put_nowait(data)
                left -= len(data)
        await peer.answer()

    size = 300_000  # more than is waited for on the direct way
    async with scene(databases, script) as here, here.tab(shape) as one:
        framing = f"Content-Length: {size + 10}"
        if shape.is_chunked:
            framing = "Transfer-Encoding: chunked"
        await one.send(shape.written(one, "POST", UPLOAD, framing, body=None))
        for drop in (b"x" * size, *[b"y"] * 10):
            framed = b"%x\r\n%b\r\n" % (len(drop), drop) if shape.is_chunked else drop
            await one.send(framed)
            got = b""
            while len(got) < len(drop):
                got += await asyncio.wait_for(heard.get(), 10)
            assert got == drop
        if shape.is_chunked:
            await one.send(b"0\r\n\r\n")
        assert (await one.answer())[2] == b"ok"
        await here.idle()


# What begins a request, what is repeated, and whether the gateway ends it.
FLOODS = {
    "fields": (b"", b"X: y\r\n", True),
    "trailers": (b"\r\n1\r\na\r\n0\r\n", b"X: y\r\n", True),
    "an extension": (b"\r\n1;a", b"xxxxxx", False),
    "zeros of a size": (b"\r\n", b"000000", False),
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_of_what_means_nothing_costs_little(
    databases: Databases, kind: str
) -> None:
    begin, more, ends = FLOODS[kind]
    async with scene(databases, Server(1)) as here, here.tab() as one:
        framing = "Transfer-Encoding: chunked"
        head = one.written("POST", UPLOAD, framing).removesuffix(b"\r\n")
        flood = more * 2**13
        with memory(below=4 * MB):
            try:
                await one.send(head + begin)
                for _ in range(16 * MB // len(flood)):
                    await one.send(flood)
                    await asyncio.sleep(0)
                ended = False
            except ConnectionError:
                ended = True
        assert ended is ends
        async with here.tab() as other:
            assert (await here.asked(other, SHAPES[0], RUN))[0] == 200


@pytest.mark.parametrize(
    "shape",
    [
        # The direct one is test_100_mb_go_up_in_constant_memory.
        pytest.param(one, marks=[pytest.mark.acceptance] if one is not CHUNKED else ())
        for one in SHAPES[1:]
    ],
    ids=lambda one: one.name,
)
async def test_99_mb_go_up_in_constant_memory(
    databases: Databases, shape: Shape
) -> None:
    script = Server(0)
    digest = hashlib.md5(BLOCK * 99, usedforsecurity=False).hexdigest()
    async with scene(databases, script) as here, here.tab(shape) as one:
        with memory(below=12 * MB):
            await upload(one, shape, 99)
            assert (await one.answer())[2] == digest.encode()
        await here.idle()


@pytest.mark.acceptance
@pytest.mark.timeout(300)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda one: one.name)
async def test_1_gb_comes_down_in_constant_memory(
    databases: Databases, shape: Shape
) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    for _ in range(1024):
        digest.update(BLOCK)
    async with scene(databases, Server(1024)) as here, here.tab(shape) as one:
        with memory(below=12 * MB):
            _, headers = await here.asked(one, shape, RUN)
            assert await swallowed(one, headers) == (1024 * MB, digest.hexdigest())
        await here.idle()
