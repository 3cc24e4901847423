"""Connections that say little, and take their time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.bff.raw import RawAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import pytest

# Wherever the patience with a head is kept.
PLACES = ("bff.wire", "bff.front")


def hurry(monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> None:
    """Let a gateway that is started from now on wait this long for a head."""
    told = 0
    for name in PLACES:
        with suppress(ModuleNotFoundError):
            place = import_module(name)
            if hasattr(place, "HEAD_SECONDS"):
                monkeypatch.setattr(place, "HEAD_SECONDS", seconds)
                told += 1
    assert told, "nobody limits how long a head may take"


async def trickle(
    url: str, start: bytes, *, first: bytes = b"", most: float = 15.0
) -> bool:
    """Send *start*, then a byte now and then; tell whether the connection was closed.

    Only bytes that end no head are sent: an answer would be no proof. *first* is a
    request that is answered before.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    if first:
        writer.write(first)
        assert await asyncio.wait_for(reader.read(1), most)
        await asyncio.sleep(0.1)
    writer.write(start)
    closed = asyncio.ensure_future(reader.read())
    try:
        async with asyncio.timeout(most):
            while not closed.done():
                await asyncio.wait([closed], timeout=0.2)
                if start:
                    writer.write(b"a")
        return closed.exception() is None or isinstance(closed.exception(), OSError)
    except TimeoutError:
        return False
    finally:
        closed.cancel()
        await hang_up(writer)


async def first_answer(url: str, data: bytes) -> RawAnswer:
    """Send *data*, stay connected, and return the first answer that comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    try:
        writer.write(data)
        top = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        length = int(RawAnswer(top).headers["content-length"])
        return RawAnswer(top + await reader.readexactly(length))
    finally:
        await hang_up(writer)


@asynccontextmanager
async def idle(url: str, number: int) -> AsyncGenerator[None]:
    """Hold so many connections open that ask for nothing."""
    async with AsyncExitStack() as stack:
        for _ in range(number):
            port = urlsplit(url).port
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.push_async_callback(hang_up, writer)
        yield


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Break a connection off."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()
