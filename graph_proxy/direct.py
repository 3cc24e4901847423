"""A whole request to an upstream and its answer back, bytes spliced, no server between.

For the plain case only: the request is all there, the browser speaks HTTP/1.1. The
rules are those of `Proxy.forward`; so is what happens when the upstream fails.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from graph_proxy.errors import BodyTooLarge, UpstreamBroken, UpstreamUnavailable
from graph_proxy.headers import crosses

if TYPE_CHECKING:
    from graph_proxy.answers import Head
    from graph_proxy.connection import Connection
    from graph_proxy.incoming import Incoming
    from graph_proxy.proxy import Proxy
    from graph_proxy.upstream import Upstream

_log = logging.getLogger(__name__)

# Asking twice changes nothing (RFC 9110, 9.2.1); HEAD is left to `Proxy.forward`.
SAFE = frozenset({"GET"})
METHODS = SAFE | {"POST", "PUT", "PATCH", "DELETE"}


class Browser(Protocol):
    """The side that asked; called from the event loop, never to block."""

    def on_head(self, head: Head, upstream: Upstream, body: bytes) -> None:
        """Send the answer's head and what of its body came with it."""

    def on_body(self, data: bytes) -> None:
        """Send further bytes of the body, framed already."""

    def on_over(self, error: UpstreamBroken | None) -> None:
        """Note the end of the answer; with an error, break the connection."""

    def on_unavailable(self) -> None:
        """Note that no byte has reached an upstream: another way may be tried."""


class HeadWriter:
    """Write the heads of requests that `Proxy` forwards."""

    def __init__(self, proxy: Proxy) -> None:
        self._extra = proxy.extra
        self._known: dict[str, bytes] = {}

    def fields(self, fields: dict[str, bytes]) -> bytes:
        """Return the field lines of a browser's that may reach an upstream."""
        parts: list[bytes] = []
        known = self._known
        for key, value in fields.items():
            line = known.get(key)
            if line is None:
                line = self._learn(key)
            if line:
                parts += (line, value, b"\r\n")
        return b"".join(parts)

    def _learn(self, key: str) -> bytes:
        line = b""
        if crosses(key, self._extra):
            line = f"{key}: ".encode("latin-1")
        if len(self._known) < 1000:  # noqa: PLR2004 - strangers invent names
            self._known[key] = line
        return line


class Direct:
    """One exchange; `start` it, `cut` it, or let it end.

    `own` are whole field lines of the gateway's. `crossing` are the browser's that may
    reach an upstream, where they have been chosen before.

    Raises:
        BadPath, PathRefused, MethodRefused, BodyTooLarge: As `Proxy.forward` does.
    """

    __slots__ = (
        "_asked",
        "_browser",
        "_connection",
        "_dialling",
        "_lines",
        "_over",
        "_proxy",
        "_target",
        "_upstream",
        "on_body",
    )

    def __init__(
        self,
        proxy: Proxy,
        asked: Incoming,
        own: bytes,
        browser: Browser,
        *,
        crossing: bytes | None = None,
    ) -> None:
        self._target = proxy.target(asked.method, asked.target)
        if len(asked.body) > proxy.max_body:
            raise BodyTooLarge(proxy.max_body)
        self._proxy = proxy
        self._asked: Incoming | None = asked
        if crossing is None:
            crossing = proxy.heads.fields(asked.fields)
        self._lines = crossing + own
        self._browser = browser
        self._upstream: Upstream | None = None
        self._connection: Connection | None = None
        self._dialling: asyncio.Task[None] | None = None
        self.on_body = browser.on_body
        self._over = False

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
            self._browser.on_over(UpstreamBroken("the answer was cut"))

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
        error = UpstreamBroken("the upstream stayed silent for too long")
        self._browser.on_over(error)

    # What the splice calls; `on_body` is the browser's own.

    def on_head(self, head: Head, body: bytes) -> None:
        """Tell the browser."""
        self._proxy.heads_due.discard(self)
        self._asked, self._lines = None, b""
        upstream = self._upstream
        if upstream is not None:
            self._browser.on_head(head, upstream, body)

    def on_end(self) -> None:
        """Give the connection back."""
        self._finish()
        self._browser.on_over(None)

    def on_broken(self, error: UpstreamBroken) -> None:
        """Ask once more where that is harmless; else break off."""
        connection, asked = self._connection, self._asked
        stale = connection is not None and connection.reused and not connection.heard
        if stale and asked is not None and asked.method in SAFE:
            upstream = self._upstream
            self._release()
            self._dial(upstream)
            return
        self._finish()
        self._browser.on_over(error)

    def _send(self, upstream: Upstream, connection: Connection) -> None:
        asked = self._asked
        if asked is None:
            return
        self._upstream, self._connection = upstream, connection
        head = (
            f"{asked.method} {upstream.base}{self._target} HTTP/1.1\r\n"
            f"Host: {upstream.authority}\r\n"
        )
        if asked.body or "content-length" in asked.fields:
            head += f"Content-Length: {len(asked.body)}\r\n"
        connection.hand_over(asked.method, self)
        connection.write(b"%b%b\r\n%b" % (head.encode(), self._lines, asked.body))
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
            self._browser.on_unavailable()
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
        self._proxy.heads_due.discard(self)
        if self._dialling is not None:
            self._dialling.cancel()
        self._release()
