"""A relay of bytes that does to a connection what networks do: our own toxiproxy.

It knows no protocol, so it stands before PostgreSQL, Keycloak, LangGraph and a gateway
alike. What it does can be changed at any time and counts for what passes from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

BLOCK = 65536
# A slow line is fed so often a second.
SLICES = 20.0
# Blocks under way on one line; more are left in the sender's hands, as a window does.
UNDER_WAY = 64


@dataclass
class Weather:
    """What each direction of each connection is like, times in seconds."""

    latency: float = 0.0
    jitter: float = 0.0
    # A lost packet is one that comes later, and all behind it: so often, so long.
    loss: float = 0.0
    loss_costs: float = 0.2
    rate: float | None = None  # bytes a second
    cut_after: int | None = None  # bytes of what the server says, then both are reset

    def delay(self, chance: random.Random) -> float:
        """Return how long the next block is under way."""
        lost = self.loss_costs if chance.random() < self.loss else 0.0
        return self.latency + self.jitter * chance.random() + lost


@dataclass
class Shim:
    """Hands on what comes for *target* (``http://host:port``, ``postgresql://…``)."""

    target: str
    weather: Weather = field(default_factory=Weather)
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - the same weather each time
    port: int = 0
    accepted: int = 0
    _server: asyncio.Server | None = None
    _links: set[Link] = field(default_factory=set)
    _silent: bool = False
    _flows: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """The target's own URL, by way of here."""
        return self.instead_of(self.target)

    def instead_of(self, url: str) -> str:
        """Return *url* with the host and port of here."""
        parts = urlsplit(url)
        who, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{who}{at}127.0.0.1:{self.port}").geturl()

    @property
    def open(self) -> int:
        """Count the connections that stand."""
        return len(self._links)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Shim]:
        """Relay for as long as the context is open."""
        self._flows.set()
        await self.up()
        try:
            yield self
        finally:
            await self.down()

    async def up(self) -> None:
        """Take connections, and serve them."""
        self._silent = False
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(
                self._serve, "127.0.0.1", self.port
            )
            self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse new connections and reset those that stand, as a dead process does."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self.reset()

    async def reset(self) -> None:
        """Reset the connections that stand; new ones are served."""
        links = list(self._links)
        for link in links:
            link.reset()
        await asyncio.gather(*(link.over.wait() for link in links))

    def silence(self) -> None:
        """Forget every connection without a word, and answer no new one.

        Nobody is told (no FIN, no RST): half-open, as behind a firewall that has lost
        its table. What stands now stays dead when others are served again by `up`.
        """
        self._silent = True
        for link in self._links:
            link.dead = True

    def hold(self) -> None:
        """Let nothing pass until `let_go`; nothing of it is lost."""
        self._flows.clear()

    def let_go(self) -> None:
        """Let pass what was held."""
        self._flows.set()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.accepted += 1
        link = Link(self, writer, dead=self._silent)
        self._links.add(link)
        try:
            await link.run(reader)
        finally:
            self._links.discard(link)
            link.over.set()

    async def pass_on(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Write *data* as fast as the line is."""
        await self._flows.wait()
        while data:
            rate = self.weather.rate
            size = len(data) if rate is None else max(1, int(rate / SLICES))
            if rate is not None:
                await asyncio.sleep(size / rate)
            writer.write(data[:size])
            await writer.drain()
            data = data[size:]


class Link:
    """One connection, and the one to the target."""

    def __init__(self, shim: Shim, client: asyncio.StreamWriter, *, dead: bool) -> None:
        self.dead = dead
        self.over = asyncio.Event()
        self._shim = shim
        self._client = client
        self._server: asyncio.StreamWriter | None = None
        self._down = 0
        self._broken = asyncio.Event()

    def reset(self) -> None:
        """Break both ends at once."""
        self._broken.set()

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Relay until it is over."""
        relaying = asyncio.ensure_future(self._relay(reader))
        broken = asyncio.ensure_future(self._broken.wait())
        try:
            await asyncio.wait({relaying, broken}, return_when="FIRST_COMPLETED")
        finally:
            for task in (relaying, broken):
                task.cancel()
            await asyncio.gather(relaying, broken, return_exceptions=True)
            for writer in (self._client, self._server):
                if writer is not None:
                    _close(writer, hard=self._broken.is_set())

    async def _relay(self, reader: asyncio.StreamReader) -> None:
        if self.dead:
            await self._swallow(reader)
            return
        place = urlsplit(self._shim.target)
        try:
            back, self._server = await asyncio.open_connection(
                place.hostname, place.port
            )
        except OSError:
            self.reset()  # nobody is there
            return
        ways = [
            asyncio.ensure_future(self._pump(reader, self._server, down=False)),
            asyncio.ensure_future(self._pump(back, self._client, down=True)),
        ]
        try:
            await asyncio.gather(*ways)
        except OSError:
            self.reset()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(BLOCK):
                pass

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool
    ) -> None:
        shim, loop = self._shim, asyncio.get_running_loop()
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDER_WAY)

        async def arrive() -> None:
            while True:
                due, data = await line.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if self.dead:
                    continue
                if not data:
                    with contextlib.suppress(OSError):
                        writer.write_eof()
                    return
                await shim.pass_on(writer, self._within(data) if down else data)

        arriving, last = asyncio.ensure_future(arrive()), 0.0
        try:
            while True:
                data = await reader.read(BLOCK)
                last = max(last, loop.time() + shim.weather.delay(shim.chance))
                if arriving.done():
                    break
                await line.put((last, data))
                if not data:
                    break
            if self.dead:
                await self._broken.wait()  # nobody hears of it
            await arriving
        finally:
            arriving.cancel()
            await asyncio.gather(arriving, return_exceptions=True)

    def _within(self, data: bytes) -> bytes:
        """Return what may pass before the cut."""
        most = self._shim.weather.cut_after
        if most is not None and self._down + len(data) >= most:
            data = data[: max(0, most - self._down)]
            # What is written now still leaves, and then the line is dead.
            asyncio.get_running_loop().call_later(0.05, self.reset)
        self._down += len(data)
        return data


def _close(writer: asyncio.StreamWriter, *, hard: bool) -> None:
    sock = writer.get_extra_info("socket")
    if hard and sock is not None and sock.fileno() >= 0:
        linger = struct.pack("ii", 1, 0)  # a RST, no FIN
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
    else:
        writer.close()
