"""Our toxiproxy does what it says."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.bff.waiting import until
from tests.faults.shim import Shim, Weather

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
# Nothing comes within this time: silence can be shown only by waiting.
SILENCE = 0.3


@asynccontextmanager
async def shim(weather: Weather | None = None) -> AsyncGenerator[Shim]:
    """Run one in front of a server that says everything twice."""
    tasks = set()

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data * 2)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(twice, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Shim(f"http://127.0.0.1:{port}", weather or Weather()).running() as one:
        yield one
    server.close()
    await asyncio.gather(*filter(None, tasks))


@asynccontextmanager
async def ends(one: Shim) -> AsyncGenerator[Ends]:
    reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def said(line: Ends, data: bytes) -> bytes:
    line[1].write(data)
    return await line[0].readexactly(2 * len(data))


async def hears_nothing(line: Ends) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SILENCE):
            await line[0].read(1)


async def test_bytes_pass_whole_and_ends_are_handed_on() -> None:
    async with shim() as one, ends(one) as line:
        assert await said(line, b"x" * 500_000) == b"x" * 1_000_000
        line[1].write_eof()
        assert await line[0].read() == b""
        await until(lambda: _none_open(one))


async def _none_open(one: Shim) -> bool:
    return one.open == 0


async def test_latency_and_loss_delay_but_keep_the_order() -> None:
    weather = Weather(latency=0.05, jitter=0.05, loss=0.5, loss_costs=0.05)
    async with shim(weather) as one, ends(one) as line:
        began = time.monotonic()
        assert await said(line, b"a") == b"aa"
        assert time.monotonic() - began >= 0.1  # there and back
        for number in range(5):
            line[1].write(b"%d" % number)
            await asyncio.sleep(0.01)
        heard = await line[0].readexactly(10)  # two that met are said as "2323"
        assert bytes(dict.fromkeys(heard)) == b"01234"


async def test_slow_bytes_take_their_time() -> None:
    async with shim(Weather(rate=2000)) as one, ends(one) as line:
        began = time.monotonic()
        assert await said(line, b"y" * 200) == b"y" * 400
        assert time.monotonic() - began >= 0.19


async def test_a_cut_comes_after_so_many_bytes_and_as_a_reset() -> None:
    async with shim(Weather(cut_after=7)) as one, ends(one) as line:
        line[1].write(b"abcdef")
        assert await line[0].readexactly(7) == b"abcdefa"
        with pytest.raises(ConnectionResetError):
            await line[0].read(1)


async def test_a_reset_breaks_what_stands_and_nothing_else() -> None:
    async with shim() as one, ends(one) as line:
        await said(line, b"a")
        await one.reset()
        with pytest.raises(ConnectionResetError):
            await line[0].read(1)
        async with ends(one) as other:
            assert await said(other, b"b") == b"bb"


async def test_silence_tells_nobody_and_lasts_for_whom_it_met() -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(shim())
        before = await stack.enter_async_context(ends(one))
        await said(before, b"a")
        one.silence()
        meanwhile = await stack.enter_async_context(ends(one))
        for line in (before, meanwhile):
            line[1].write(b"b")
            await hears_nothing(line)
        await one.up()
        after = await stack.enter_async_context(ends(one))
        assert await said(after, b"c") == b"cc"
        for line in (before, meanwhile):
            await hears_nothing(line)


async def test_what_is_held_passes_later() -> None:
    async with shim() as one, ends(one) as line:
        one.hold()
        line[1].write(b"a")
        await hears_nothing(line)
        one.let_go()
        assert await line[0].readexactly(2) == b"aa"


async def test_down_refuses_and_up_serves_at_the_same_address() -> None:
    async with shim() as one:
        async with ends(one) as line:
            await said(line, b"a")
            await one.down()
            with pytest.raises(ConnectionResetError):
                await line[0].read(1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", one.port)
        await one.up()
        async with ends(one) as line:
            assert await said(line, b"b") == b"bb"


def test_urls_keep_all_but_their_place() -> None:
    one = Shim("http://elsewhere:1", port=7)
    assert one.url == "http://127.0.0.1:7"
    assert one.instead_of("postgresql://a:b@h:5/d") == "postgresql://a:b@127.0.0.1:7/d"
