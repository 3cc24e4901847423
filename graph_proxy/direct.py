"""A whole request to an upstream and its answer back, bytes spliced, no server between.

For the plain case only: the request is all there, the browser speaks HTTP/1.1. The
rules are those of `Proxy.forward`; so is what happens when the upstream fails.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from graph_proxy.errors import UpstreamBroken, UpstreamUnavailable
from graph_proxy.splice import Splice

if TYPE_CHECKING:
    from graph_proxy.answers import Head
    from graph_proxy.connection import Connection
    from graph_proxy.framing import Body
    from graph_proxy.proxy import Proxy
    from graph_proxy.upstream import Upstream

_log = logging.getLogger(__name__)

# Asking twice changes nothing (RFC 9110, 9.2.1); HEAD is left to `Proxy.forward`.
SAFE = frozenset({"GET"})
METHODS = SAFE | {"POST", "PUT", "PATCH", "DELETE"}


class Direct:
    """One exchange; `start` it, `cut` it, or let it end.

    `target` is what `Proxy.target` returned for `method`, `lines` are whole field
    lines. What becomes of the answer, a subclass says; the event loop calls it, never
    to block.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_dialling",
        "_lines",
        "_over",
        "_proxy",
        "_target",
        "_upstream",
        "method",
        "reusable",
    )

    def __init__(
        self, proxy: Proxy, method: str, target: bytes, lines: bytes, body: bytes
    ) -> None:
        self.method = method
        self._proxy = proxy
        self._target = target
        self._lines = lines
        self._body = body
        self._upstream: Upstream | None = None
        self._connection: Connection | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._over = False
        self.reusable = False  # the connection, by another exchange

    # What a subclass says.

    def send_head(self, head: Head, upstream: Upstream, body: bytes) -> None:
        """Send the answer's head and what of its body came with it."""
        raise NotImplementedError

    def on_body(self, data: bytes) -> None:
        """Send further bytes of the body, framed already."""
        raise NotImplementedError

    def on_over(self, error: UpstreamBroken | None) -> None:
        """Note the end of the answer; with an error, break the connection."""
        raise NotImplementedError

    def on_unavailable(self) -> None:
        """Note that no byte has reached an upstream: another way may be tried."""
        raise NotImplementedError

    # What the browser's side calls.

    def start(self) -> None:
        """Send the request, on a connection that waits or on a new one."""
        self._proxy.outstanding += 1
        upstream, connection = self._proxy.pool.take_idle()
        if connection is not None:
            self._send(upstream, connection)
        else:
            self._dial(upstream)

    def cut(self) -> None:
        """Break off now: the browser has left, or must go; idempotent."""
        if not self._over:
            self._finish()
            self.on_over(UpstreamBroken("the answer was cut"))

    def pause(self) -> None:
        """Let the upstream wait for the browser."""
        if self._connection is not None:
            self._connection.pause_reading()

    def resume(self) -> None:
        """Let the upstream go on."""
        if self._connection is not None:
            self._connection.resume_reading()

    def expire(self) -> None:
        """Break off: the upstream has not begun to answer in time."""
        self._finish()
        self.on_over(UpstreamBroken("the upstream stayed silent for too long"))

    # What the upstream's connection calls, until there is a splice.

    def feed(self, data: bytes) -> None:
        """Take the first bytes of the answer."""
        self.splice().feed(data)

    def lost(self, error: Exception | None) -> None:
        """Note that the connection ended before any answer."""
        self.splice().lost(error)

    def splice(self, body: Body | None = None) -> Splice:
        """Have what is still to come read by a splice; with a *body*, no head."""
        connection = self._connection
        if connection is None:
            raise RuntimeError("there is no connection to read from")
        splice = Splice(connection, self.method, self, body)
        connection.hand_over(splice)
        return splice

    # What a splice calls, beside `on_body`.

    def on_head(self, head: Head, body: bytes) -> None:
        """Tell the browser."""
        self.answered()
        if self._upstream is not None:
            self.send_head(head, self._upstream, body)

    def on_end(self) -> None:
        """Give the connection back."""
        self._finish()
        self.on_over(None)

    def on_broken(self, error: UpstreamBroken) -> None:
        """Ask once more where that is harmless; else break off."""
        connection = self._connection
        stale = connection is not None and connection.reused and not connection.heard
        if stale and self.method in SAFE:
            upstream = self._upstream
            self._release()
            self._dial(upstream)
            return
        self._finish()
        self.on_over(error)

    def answered(self) -> None:
        """Wait no longer for a head, and hold nothing of the request.

        Only then is there no target.
        """
        self._proxy.heads_due.discard(self)
        self._target = self._lines = self._body = b""

    def sent_for_good(self) -> None:
        """Hold nothing of a request that is never sent again, however long it waits."""
        self._lines = self._body = b""

    def end_whole(self) -> None:
        """End an exchange whose answer came as one piece."""
        connection = self._connection
        if connection is not None:
            self.reusable = True
            connection.splice = None
        self._finish()
        self.on_over(None)

    def _send(self, upstream: Upstream, connection: Connection) -> None:
        self._upstream, self._connection = upstream, connection
        connection.hand_over(self)
        connection.write(
            b"%b %b%b%b%b\r\n%b"
            % (
                self.method.encode(),
                upstream.base_bytes,
                self._target,
                upstream.line_end,
                self._lines,
                self._body,
            )
        )
        if self.method not in SAFE:
            self.sent_for_good()
        self._proxy.heads_due.add(self, connection.loop)

    def _dial(self, first: Upstream | None) -> None:
        self._dialling = asyncio.create_task(self._dialled(first))

    async def _dialled(self, first: Upstream | None) -> None:
        try:
            upstream, connection = await self._proxy.pool.acquire(
                fresh=True, first=first
            )
        except Exception as error:  # noqa: BLE001 - logged, and told
            # Nobody awaits this task: without an end the browser would wait for ever.
            if not isinstance(error, UpstreamUnavailable):
                _log.exception("an upstream could not be dialled")
            # A try that was sent before had no answer; nothing has come of it.
            self._dialling = None
            self._finish()
            self.on_unavailable()
            return
        self._dialling = None
        self._send(upstream, connection)
        if connection.transport is None and connection.splice is not None:
            connection.splice.lost(None)  # before there was anybody to be told

    def _release(self) -> None:
        upstream, connection = self._upstream, self._connection
        if upstream is not None and connection is not None:
            self._upstream = self._connection = None
            self._proxy.pool.release(upstream, connection)

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        self._proxy.outstanding -= 1
        if self._target:
            self._proxy.heads_due.discard(self)
        if self._dialling is not None:
            self._dialling.cancel()
        self._release()
