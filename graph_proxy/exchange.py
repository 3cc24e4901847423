"""One request on one upstream connection, until its answer is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from graph_proxy.errors import BodyBroken, BodyTooLarge, UpstreamBroken

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import StreamReader

    from graph_proxy.answers import Head
    from graph_proxy.connection import Connection
    from graph_proxy.upstream import Pool, Upstream


# How long a last write may take to reach an upstream that does not read, in seconds.
_FLUSH = 2.0


class Body:
    """The browser's request body: its framing upstream and its limit in bytes.

    Raises:
        BodyTooLarge: The announced length exceeds the limit.
    """

    def __init__(
        self, content: StreamReader, *, length: int | None, limit: int
    ) -> None:
        if length is not None and length > limit:
            raise BodyTooLarge(limit)
        self.length = length
        self._content = content
        self._limit = limit
        self._sent = 0
        self.done = False

    def at_hand(self) -> bytes:
        """Return what has arrived already, framed, without waiting.

        Raises:
            BodyTooLarge: More than the limit has.
            BodyBroken: The browser's body is malformed.
        """
        if (trouble := self._content.exception()) is not None:
            raise BodyBroken("the request body is broken") from trouble
        return self._framed(self._content.read_nowait())

    async def send(
        self, connection: Connection, progressed: Callable[[], None]
    ) -> None:
        """Send the rest as it comes, no faster than the upstream takes it.

        Raises:
            BodyTooLarge: The limit is exceeded.
            BodyBroken: The browser left, or its body is malformed.
        """
        while not self.done and not connection.closed:
            try:
                data = await self._content.readany()
            except Exception as error:
                raise BodyBroken("the request body broke off") from error
            connection.write(self._framed(data))
            await connection.drain()
            progressed()

    def _framed(self, data: bytes) -> bytes:
        self._sent += len(data)
        if self._sent > self._limit:
            raise BodyTooLarge(self._limit)
        self.done = self._content.at_eof()
        if self.length is not None:
            if self._sent > self.length or (self.done and self._sent < self.length):
                raise BodyBroken("the request body is not as long as announced")
            return data
        framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return framed + b"0\r\n\r\n" if self.done else framed


class Exchange:
    """Send a request and read its answer; `end` gives the connection back.

    To end before the answer is complete closes the connection: that is how the
    upstream learns that nobody listens any more.
    """

    def __init__(self, pool: Pool, upstream: Upstream, connection: Connection) -> None:
        self.upstream = upstream
        self.connection = connection
        self._pool = pool
        self._body: Body | None = None
        self._sending: asyncio.Task[None] | None = None
        self._answered = False
        self._over = False

    async def ask(
        self,
        head: bytes,
        body: Body | None,
        *,
        head_timeout: float,
    ) -> Head:
        """Send the request, await the answer's head, no longer silent than allowed.

        Raises:
            BodyTooLarge: The request body exceeds its limit.
            BodyBroken: The browser's body ended early or was malformed.
            UpstreamBroken: The upstream died, fell silent or spoke nonsense.
        """
        connection = self.connection
        self._body = body
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(head_timeout) as deadline:
                # One write, one packet, where all is here already.
                connection.write(head + body.at_hand() if body else head)
                if body is not None and not body.done:

                    def progressed() -> None:
                        # Sending may outlast the wait for the head.
                        if not (self._answered or deadline.expired()):
                            deadline.reschedule(loop.time() + head_timeout)

                    self._send(body, progressed)
                while (answer := connection.head) is None:
                    self.check()
                    await connection.changed()
        except TimeoutError as error:
            raise UpstreamBroken("the upstream stayed silent for too long") from error
        finally:
            self._answered = True
        return answer

    def _send(self, body: Body, progressed: Callable[[], None]) -> None:
        self._sending = asyncio.create_task(body.send(self.connection, progressed))
        self._sending.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # read by `check`; here only marked as seen
        self.connection.wake()

    async def read(self) -> bytes:
        """Return the next body bytes, or none at the clean end of the answer.

        Raises:
            ProxyError: There will be no clean end.
        """
        while True:
            if self._over:
                raise UpstreamBroken("the exchange was ended")
            if data := self.connection.take():
                return data
            if self.connection.complete:
                return b""
            self.check()
            await self.connection.changed()

    def check(self) -> None:
        """Return if the exchange may still go on.

        Raises:
            ProxyError: What broke it.
        """
        task = self._sending
        if task is not None and task.done() and not task.cancelled():
            task.result()
        self.connection.check()

    def end(self, *, flush: bool = False) -> None:
        """Give the connection back, or close it; idempotent.

        `flush` lets what was written reach the upstream before it is closed.
        """
        if self._over:
            return
        self._over = True
        if self._sending is not None:
            self._sending.cancel()
        if self._body is not None and not self._body.done:
            # Half a request is on it, whatever stopped the rest: the next one's head
            # would be read as the end of this one's body.
            self.connection.abort()
        if flush:
            self.connection.close()
            loop = asyncio.get_running_loop()
            loop.call_later(_FLUSH, self.connection.abort)
        self._pool.release(self.upstream, self.connection)
        self.connection.wake()

    async def settled(self) -> None:
        """Wait until nobody reads the browser's request body any more."""
        if self._sending is not None and not self._sending.done():
            await asyncio.wait([self._sending])
