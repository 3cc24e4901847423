"""The client that measures notices what proxies get wrong."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bench.load import listening

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def _event(number: int) -> bytes:
    data = b'data: {"n":%10d,"t":%20d,"content":"x"}\n\n'
    return data % (number, time.monotonic_ns())


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@asynccontextmanager
async def _server(answer: Answer) -> AsyncGenerator[int]:
    served: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        await answer(writer)
        if not writer.is_closing():
            await reader.read()  # until the client leaves
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*filter(None, served))


async def _count(
    answer: Answer, folder: Path, *, again: bool = False
) -> dict[str, float]:
    heads = ["GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"]
    async with (
        _server(answer) as port,
        listening(
            port, heads, connections=1, at_once=1, again=again, folder=folder
        ) as listener,
    ):
        return await listener.count(0.5)


async def test_events_are_counted_however_their_bytes_are_cut(tmp_path: Path) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + _chunk(_event(1)))
        await asyncio.sleep(0.2)
        both = _event(2) + _event(3)
        framed = _chunk(both[:20]) + _chunk(both[20:33]) + _chunk(both[33:])
        for place in range(len(framed)):
            writer.write(framed[place : place + 1])
            await writer.drain()

    counted = await _count(answer, tmp_path)

    assert (counted["units"], counted["lost"], counted["gaps"]) == (2, 0, 0)
    assert counted["largest"] > 0


@pytest.mark.parametrize(
    ("ending", "what"),
    [
        (b"", "broken off"),
        (b"0\r\n\r\n", "ended as if it were complete"),
        (b"no chunk\r\n", "framed wrongly"),
    ],
)
async def test_a_stream_that_ends_is_lost(
    tmp_path: Path, ending: bytes, what: str
) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + _chunk(_event(1)))
        await asyncio.sleep(0.2)
        writer.write(ending)
        writer.close()

    assert (await _count(answer, tmp_path))["lost"] == 1, what


async def test_an_event_that_is_missing_is_a_gap(tmp_path: Path) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + _chunk(_event(1)) + _chunk(_event(3)))

    counted = await _count(answer, tmp_path)

    assert (counted["gaps"], counted["silent"]) == (1, 1)


async def test_a_refusal_has_failed(tmp_path: Path) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")

    counted = await _count(answer, tmp_path)

    assert (counted["failed"], counted["bad_status"]) == (1, 429)


async def test_a_request_follows_the_other_even_on_a_new_connection(
    tmp_path: Path,
) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    counted = await _count(answer, tmp_path, again=True)

    assert counted["units"] > 1
    assert counted["reconnects"] > 1
    assert counted["lost"] == counted["failed"] == 0
