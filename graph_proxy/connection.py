"""One connection to an upstream: bytes out, one answer at a time in."""

from __future__ import annotations

import asyncio
import select
import socket
from typing import TYPE_CHECKING, cast

from graph_proxy.answers import AnswerParser, MalformedAnswer
from graph_proxy.errors import UpstreamBroken

if TYPE_CHECKING:
    from collections.abc import Callable

    from graph_proxy.answers import Head
    from graph_proxy.splice import Reader

# What one slow reader may keep in memory before the upstream is made to wait.
HIGH_WATER = 64 * 1024
# Ask after a minute of silence, then every ten seconds; five without an answer are
# the end. Not every system can be told.
_KEEP_ALIVE = [
    (getattr(socket, name), value)
    for name, value in (
        ("TCP_KEEPIDLE", 60),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 5),
    )
    if hasattr(socket, name)
]


def keep_alive(sock: socket.socket) -> None:
    """Notice a host that vanished, behind a connection that is silent for long."""
    if sock.family in {socket.AF_INET, socket.AF_INET6}:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


class Connection(asyncio.Protocol):
    """A transport and the state of the exchange that uses it.

    Either one task at a time waits for `changed` and takes, or a `Reader` is handed
    what comes; writers wait for `drain`.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        # Known once connected; it is dear to ask for (a system call on Python 3.11).
        self.loop: asyncio.AbstractEventLoop
        self.reused = False
        self.heard = False  # a byte of the answer has arrived
        self.on_idle_end: Callable[[Connection], None] | None = None
        self.on_drained: Callable[[], None] | None = None
        self.idle_until = 0.0
        self.splice: Reader | None = None
        self._spliced: Reader | None = None
        self._ask: Callable[[int], list[tuple[int, int]]] | None = None
        self._answer = AnswerParser()
        self._busy = False
        self._lost = False
        self._aborted = False
        self._trouble: Exception | None = None
        self._reading_paused = False
        self._writing_paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    # What the exchange does.

    def begin(self, method: str, *, upgrade: bool = False) -> None:
        """Make ready for one request and its answer."""
        self.heard = False
        self._busy = True
        self._answer.begin(method, upgrade=upgrade)

    def hand_over(self, reader: Reader) -> None:
        """Have an answer read by *reader*, from its beginning or from here on."""
        self._busy = True
        self.splice = self._spliced = reader

    def write(self, data: bytes) -> None:
        """Hand bytes to the transport; silently nothing once it is gone."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the upstream has taken enough, or is gone."""
        while self._writing_paused and not self._lost:
            self._drained = self.loop.create_future()
            try:
                await self._drained
            finally:
                self._drained = None

    @property
    def writing_paused(self) -> bool:
        """Say whether the upstream takes bytes slower than they come."""
        return self._writing_paused

    @property
    def head(self) -> Head | None:
        """The head of the answer, once it is here."""
        return self._answer.head

    @property
    def complete(self) -> bool:
        """Say whether the answer has arrived to its end."""
        return self._answer.complete

    def take(self) -> bytes:
        """Return the body bytes that have arrived, and let more come."""
        data = self._answer.take()
        self.resume_reading()
        return data

    def check(self) -> None:
        """Return if the answer may still go on.

        Raises:
            UpstreamBroken: The connection ended, or what came was no HTTP answer.
        """
        if self._trouble is not None:
            raise UpstreamBroken(str(self._trouble)) from self._trouble
        if self._lost:
            raise UpstreamBroken("the upstream's connection was lost")

    async def changed(self) -> None:
        """Wait until bytes arrive, the connection ends, or `wake` is called."""
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Let the task that waits for `changed` look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def rest(self) -> bool:
        """End the exchange; say whether the connection can serve another."""
        splice, transport = self._spliced, self.transport
        if splice is not None:
            # An early answer may leave half a request unsent.
            sent = transport is not None and not transport.get_write_buffer_size()
            whole = sent and splice.reusable and self.splice is None
            self.splice = self._spliced = None
        else:
            answer = self._answer
            whole = answer.complete and answer.keep_alive and not answer.excess
        self._busy = False
        if self._reading_paused:
            self.resume_reading()
        return (
            whole
            and not self._writing_paused
            and transport is not None
            and not transport.is_closing()
        )

    @property
    def closed(self) -> bool:
        """Say whether the transport is gone or going."""
        return self.transport is None or self.transport.is_closing()

    def is_stale(self) -> bool:
        """Say whether an idle connection has ended, even if nobody noticed yet."""
        if self.transport is None or self.transport.is_closing():
            return True
        # Asks the kernel: an end that arrived since the event loop last looked would
        # otherwise be met by a request that cannot be sent twice.
        if self._ask is None:
            poll = select.poll()
            number = self.transport.get_extra_info("socket").fileno()
            poll.register(number, select.POLLIN)
            self._ask = poll.poll
        return bool(self._ask(0))

    def close(self) -> None:
        """Close after what was written has been sent."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close now."""
        self._aborted = True
        if self.transport is not None:
            self.transport.abort()

    def pause_reading(self) -> None:
        """Let the upstream wait: the browser does not keep up."""
        if not self._reading_paused and self.transport is not None and not self.closed:
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Let the upstream go on."""
        if self._reading_paused:
            self._reading_paused = False
            if self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; send small writes at once."""
        self.transport = cast("asyncio.Transport", transport)
        self.loop = asyncio.get_running_loop()
        sock = transport.get_extra_info("socket")
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(sock)

    def data_received(self, data: bytes) -> None:
        """Parse, and stop reading while too much lies unread."""
        splice = self.splice
        if splice is not None:
            self.heard = True
            splice.feed(data)
            return
        if not self._busy:
            self.abort()  # nobody asked
            return
        self.heard = True
        try:
            self._answer.feed(data)
        except MalformedAnswer as error:
            self._trouble = error
            self.abort()
        if self._answer.buffered > HIGH_WATER:
            self.pause_reading()
        self.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note how the connection ended, and tell everybody who waits."""
        self._lost = True
        if self.splice is not None:
            self.splice.lost(exc)
        elif self._busy and self._spliced is None and self._trouble is None:
            try:
                if exc is None and not self._aborted:
                    self._answer.feed_eof()
                else:
                    self._trouble = exc
            except MalformedAnswer as error:
                self._trouble = error
        self.transport = None
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self.wake()
        if self.on_idle_end is not None:
            self.on_idle_end(self)

    def pause_writing(self) -> None:
        """Note that the upstream does not keep up."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writing_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self.on_drained is not None:
            self.on_drained()
