"""An upstream that takes down every request it is made to see, and raw senders."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bff.sessions.browser import COOKIES
from tests.bff.proxied import with_proxy
from tests.fakes.upstream import Peer, Received, fake_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.world import World

SMUGGLED = "SMUGGLED"
# What the gateway adds; each must arrive exactly once in each request.
ADDED = ("authorization", "x-tenant-id", "x-request-id", "host")


@dataclass
class Net:
    """A gateway, and what came out of it on the other side."""

    world: World
    cookie: str
    token: str
    seen: list[Received] = field(default_factory=list)
    # What no strict reader could make sense of.
    garbled: list[str] = field(default_factory=list)

    def head(self, line: str, *fields: str) -> str:
        """Write a head that may pass the gate, ending before its blank line."""
        host = self.world.url.removeprefix("http://")
        lines = [
            f"{line} HTTP/1.1",
            f"Host: {host}",
            f"Cookie: {self.cookie}",
            "Sec-Fetch-Site: same-origin",
            *fields,
        ]
        return "".join(f"{one}\r\n" for one in lines)

    def check(self) -> None:
        """Check that nothing came through that was not asked for as a whole."""
        assert self.garbled == []
        for one in self.seen:
            assert SMUGGLED not in one.target, one
            assert one.target.startswith("/threads"), one
            for name in ADDED:
                assert len(one.all(name)) == 1, (name, one)
            assert one.one("authorization") == f"Bearer {self.token}"
            assert one.all("cookie") == []
            assert one.all("x-evil") == []
            framing = one.all("content-length"), one.all("transfer-encoding")
            assert len(framing[0]) + len(framing[1]) <= 1, one


@asynccontextmanager
async def caught(databases: Databases, **proxy: object) -> AsyncGenerator[Net]:
    """Run a gateway in front of an upstream that reads strictly."""
    net: Net | None = None

    async def script(peer: Peer) -> None:
        assert net is not None
        while True:
            if not await peer.reader.read(0) and peer.reader.at_eof():
                return
            try:
                one = await peer.request()
            except asyncio.IncompleteReadError as error:
                if SMUGGLED.encode() in error.partial.split(b"\r\n")[0]:
                    net.garbled.append(repr(error.partial))
                return
            except (AssertionError, ValueError, UnicodeDecodeError) as error:
                net.garbled.append(repr(error))
                return
            net.seen.append(one)
            await peer.answer(b"[]", "Content-Type: application/json")

    async with fake_upstream(script) as upstream:
        world = with_proxy(databases, upstreams=[upstream.url], **proxy)
        async with world.running(), world.signed_in() as browser:
            jar = browser.cookies
            cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
            ticket = world.app[COOKIES].open_access(jar)
            assert ticket is not None
            net = Net(world, cookie, ticket.access_token)
            yield net


async def throw(url: str, *parts: bytes, patience: float = 0.4) -> bytes:
    """Send bytes, in so many packets, and return what comes until it is quiet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    got = b""
    try:
        with suppress(OSError):
            for number, part in enumerate(parts):
                if number:
                    await asyncio.sleep(0.02)
                writer.write(part)
                await writer.drain()
        with suppress(TimeoutError, OSError):
            while data := await asyncio.wait_for(reader.read(65536), patience):
                got += data
        return got
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


def statuses(got: bytes) -> list[int]:
    """Return the status of every answer in a row of answers."""
    pieces = got.replace(b"HTTP/1.0 ", b"HTTP/1.1 ").split(b"HTTP/1.1 ")[1:]
    return [int(piece[:3]) for piece in pieces]
