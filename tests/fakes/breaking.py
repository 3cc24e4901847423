"""A relay in front of a server that breaks chosen answers at a chosen point."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

HEAD_END = b"\r\n\r\n"
TOKEN = b"event: messages"
# How long a stalled answer says nothing before it ends.
STALL = 3.0
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_SIZE_LINE = re.compile(rb"\r\n([0-9a-fA-F]+\r\n)\Z")
_REQUEST = re.compile(
    rb"^(GET|POST|PUT|PATCH|DELETE) (\S+) HTTP/1\.1\r\n", re.MULTILINE
)


class Where(Enum):
    """After what of an answer nothing more passes."""

    NOTHING = "before the answer"
    HEAD = "after the head"
    METADATA = "before the first token"
    TOKENS = "in mid-stream"


class How(Enum):
    """What then becomes of the connection."""

    CUT = "cut"
    RESET = "reset"
    STALL = "stalled and cut"
    HOLD = "held"  # until the other side goes


@dataclass
class Plan:
    """What is to happen to the answer of one request, or of every such request."""

    where: Where
    how: How
    once: bool = True
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def passes(self, seen: bytes) -> int | None:
        """Return how much of the answer's bytes *seen* may pass, None for all."""
        if self.where is Where.NOTHING:
            return 0
        if self.where is Where.HEAD:
            end = seen.find(HEAD_END)
            return None if end < 0 else end + len(HEAD_END)
        at = -1
        for _ in range(1 if self.where is Where.METADATA else 11):
            at = seen.find(TOKEN, at + 1)
            if at < 0:
                return None
        # Between two chunks, where an end could be taken for a good one.
        size = _SIZE_LINE.search(seen, max(0, at - 20), at)
        return size.start(1) if size else at


@dataclass
class Asked:
    """A request's head as it reached the graph server."""

    method: str
    path: str
    head: bytes
    answer: bytearray = field(default_factory=bytearray)  # what of it has passed

    def header(self, name: str) -> str | None:
        """Return a field's value."""
        found = re.search(rb"(?im)^%b: *(.*?)\r$" % name.encode(), self.head)
        return None if found is None else found[1].decode()


@dataclass
class Breaker:
    """Relays bytes; *plans* by ``METHOD path`` are carried out.

    A patient one waits for its server, as a load balancer does.
    """

    target: str
    patient: bool = False
    plans: dict[str, Plan] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    _open: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    def answers(self, thread: str) -> bytes:
        """Return all that has passed of answers about *thread*."""
        return b"".join(
            bytes(one.answer) for one in self.asked if f"/{thread}/" in one.path
        )

    def count(self, method: str, path: str) -> int:
        """Say how often this was asked for."""
        return sum((one.method, one.path) == (method, path) for one in self.asked)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Breaker]:
        """Relay for as long as the context is open."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for writer in self._open.values():
                writer.transport.abort()
            await asyncio.gather(*self._open)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            upstream = await self._connect()
            try:
                await _Connection(self, (reader, writer), upstream).run()
            finally:
                upstream[1].close()
        except OSError:
            pass  # closed is how the other side learns that nobody is there
        finally:
            del self._open[task]
            writer.close()

    async def _connect(self) -> Ends:
        place = urlsplit(self.target)
        while True:
            try:
                return await asyncio.open_connection(place.hostname, place.port)
            except OSError:
                if not self.patient:
                    raise
            await asyncio.sleep(0.1)


class _Connection:
    def __init__(self, breaker: Breaker, client: Ends, server: Ends) -> None:
        self._breaker = breaker
        self._client, self._server = client, server
        self._plan: Plan | None = None
        self._asked = Asked("", "", b"")
        self._seen = b""

    async def run(self) -> None:
        """Relay until either side is gone, or a plan says so."""
        tasks = [asyncio.ensure_future(way()) for way in (self._up, self._down)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _up(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._client[0].read(65536):
                found = _REQUEST.search(data)
                if found is not None:
                    self._begin(found[1].decode(), found[2].decode(), data)
                self._server[1].write(data)
                await self._server[1].drain()

    def _begin(self, method: str, path: str, data: bytes) -> None:
        head = data.partition(HEAD_END)[0] + b"\r\n"
        self._asked = Asked(method, path, head)
        self._breaker.asked.append(self._asked)
        plans, key = self._breaker.plans, f"{method} {path}"
        self._plan = plans.get(key)
        if self._plan and self._plan.once:
            del plans[key]
        self._seen = b""

    async def _down(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._server[0].read(65536):
                plan = self._plan
                passed = len(self._seen)
                self._seen += data
                limit = plan.passes(self._seen) if plan else None
                passing = self._seen[passed:limit]
                self._asked.answer += passing
                self._client[1].write(passing)
                if plan and limit is not None:
                    await self._carry_out(plan)
                    return
                await self._client[1].drain()

    async def _carry_out(self, plan: Plan) -> None:
        plan.reached.set()
        if plan.how is How.HOLD:
            await asyncio.Event().wait()  # until `_up` sees the other side go
        if plan.how is How.STALL:
            await asyncio.sleep(STALL)
        if plan.how is How.RESET:
            _reset(self._client[1])


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
