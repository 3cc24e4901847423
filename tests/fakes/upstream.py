"""An upstream that does, byte by byte, what a test's script says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import AsyncGenerator, Awaitable, Callable

_LIMIT = 2**26


@dataclass(frozen=True)
class Received:
    """A request as it arrived, header names lower-cased, duplicates kept."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def one(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None


class Peer:
    """One accepted connection, in the hands of a script."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.left = asyncio.Event()  # set once `gone` has seen the other side go

    async def request(self) -> Received:
        """Read a whole request."""
        method, target, headers = await self.head()
        fields = dict(headers)
        if fields.get("transfer-encoding") == "chunked":
            body = b"".join([chunk async for chunk in self.chunks()])
        else:
            body = await self.reader.readexactly(int(fields.get("content-length", 0)))
        return Received(method, target, headers, body)

    async def head(self) -> tuple[str, str, list[tuple[str, str]]]:
        """Read the head of a request, leaving its body."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        lines = raw.decode(errors="surrogateescape").split("\r\n")
        method, target, version = lines[0].split(" ")
        assert version == "HTTP/1.1"
        headers = [line.split(": ", 1) for line in lines[1:-2]]
        return method, target, [(name.lower(), value) for name, value in headers]

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Read a chunked body."""
        while size := int(await self.reader.readuntil(b"\n"), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)

    async def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"ok", *headers: str) -> None:
        """Write an ordinary 200 answer."""
        lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers]
        await self.send("\r\n".join([*lines, "\r\n"]).encode() + body)

    async def chunk(self, data: bytes) -> None:
        """Write one chunk of a chunked body; an empty one ends it."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def gone(self) -> None:
        """Wait until the other side has closed, cleanly or not."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(_LIMIT):
                pass
        self.left.set()

    def close(self) -> None:
        """Close in good order."""
        self.writer.close()

    def hang_up(self) -> None:
        """Send a bare FIN: under TLS, an end of which TLS says nothing."""
        number = self.writer.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(number)) as own:
            own.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close by RST."""
        linger = struct.pack("ii", 1, 0)
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


@dataclass
class FakeUpstream:
    """Where the upstream listens, and what came to it."""

    url: str
    peers: list[Peer] = field(default_factory=list)


@contextlib.asynccontextmanager
async def fake_upstream(
    script: Callable[[Peer], Awaitable[None]],
    *,
    path: str | None = None,
    ssl: tls.SSLContext | None = None,
) -> AsyncGenerator[FakeUpstream]:
    """Run `script` for every connection, on a free port or a unix socket.

    A script that fails fails the test; one that still runs at the end is cancelled.
    """
    fake = FakeUpstream("")
    tasks: list[asyncio.Task[None]] = []

    async def accept(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        peer = Peer(reader, writer)
        fake.peers.append(peer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await script(peer)
        except asyncio.CancelledError:
            pass  # the end of the test
        finally:
            writer.close()

    if path is not None:
        server = await asyncio.start_unix_server(accept, path, limit=_LIMIT)
        fake.url = f"unix:{path}"
    else:
        server = await asyncio.start_server(
            accept, "127.0.0.1", 0, limit=_LIMIT, ssl=ssl
        )
        port = server.sockets[0].getsockname()[1]
        fake.url = f"{'https' if ssl else 'http'}://127.0.0.1:{port}"
    try:
        yield fake
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        for task in tasks:
            await task
