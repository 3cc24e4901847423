"""The answer on its way to the browser."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, hdrs, web

from graph_proxy.answers import Framing
from graph_proxy.errors import ProxyError
from graph_proxy.events import HEARTBEAT, EventBoundaries

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.web_request import BaseRequest

    from graph_proxy.answers import Head
    from graph_proxy.exchange import Exchange
    from graph_proxy.headers import Header

_log = logging.getLogger(__name__)


class Forwarded(web.StreamResponse):
    """An upstream's answer whose head is here and whose body is still to come.

    Return it from the handler: aiohttp prepares it, signal included, and finishing it
    relays the body. It must come from the task that aiohttp runs the handler in; when
    that task ends, however it does, so does the exchange.
    """

    def __init__(
        self,
        request: web.Request,
        exchange: Exchange,
        head: Head,
        headers: list[Header],
        *,
        heartbeat: float | None = None,
    ) -> None:
        super().__init__(status=head.status, reason=head.reason)
        self.headers.extend(headers)
        self._request = request
        self._exchange = exchange
        self._heartbeat = heartbeat if self._takes_comments(head) else None
        # Only an end of the connection can tell an HTTP/1.0 browser where it ends.
        self._ends_by_close = (
            request.version < HttpVersion11
            and head.framing is not Framing.NONE
            and hdrs.CONTENT_LENGTH not in self.headers
        )
        if self._ends_by_close:
            self.force_close()
        # Its length is known at its end only.
        self.is_stream = head.framing in {Framing.CHUNKED, Framing.CLOSE}
        # Called once, when the first byte of the body has come from the upstream.
        self.on_first_byte: Callable[[], None] | None = None
        self._over = False
        self._callbacks: list[Callable[[], None]] = []
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(lambda _: self._finish())

    def cut(self) -> None:
        """Break the browser's connection and the upstream's now; idempotent.

        Works before, while and after the body is relayed; after, it does nothing.
        """
        if self._over:
            return
        transport = self._request.transport
        self._finish()
        if transport is not None:
            _break(transport, reset=self._ends_by_close)

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when the exchange is over, however it ended."""
        if self._over:
            callback()
        else:
            self._callbacks.append(callback)

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Send the head.

        Raises:
            ConnectionResetError: The answer was cut.
        """
        if self._over and not self.prepared:
            raise ConnectionResetError("the answer was cut")
        # A body that is here already leaves in one packet with its head.
        self._send_headers_immediately = not self._exchange.connection.complete
        try:
            return await super().prepare(request)
        except BaseException:
            self._finish()
            raise

    async def _prepare_headers(self) -> None:
        has_type = hdrs.CONTENT_TYPE in self.headers
        await super()._prepare_headers()
        if not has_type:
            # aiohttp has put octet-stream; the upstream left it to the browser.
            self.headers.popall(hdrs.CONTENT_TYPE, None)

    async def write_eof(self, data: bytes = b"") -> None:
        """Relay the body to its end.

        Raises:
            ConnectionResetError: The upstream broke, the browser left, or `cut` was
                called; aiohttp then closes the connection without a final chunk.
        """
        if self._eof_sent:
            return
        try:
            await self._relay()
            await super().write_eof(data)
        except ProxyError as error:
            _log.info("the answer broke off: %s", error)
            transport = self._request.transport
            if self._ends_by_close and transport is not None:
                _break(transport, reset=True)
            raise ConnectionResetError("the answer broke off") from error
        finally:
            self._finish()
            await self._exchange.settled()

    async def _relay(self) -> None:
        boundaries = EventBoundaries() if self._heartbeat else None
        while data := await self._read(boundaries):
            if self.on_first_byte is not None and data is not HEARTBEAT:
                self.on_first_byte()
                self.on_first_byte = None
            if boundaries is not None:
                boundaries.feed(data)
            await self.write(data)
        self._exchange.end()  # before a slow browser has taken the last bytes

    async def _read(self, boundaries: EventBoundaries | None) -> bytes:
        if boundaries is None:
            return await self._exchange.read()
        try:
            async with asyncio.timeout(self._heartbeat):
                return await self._exchange.read()
        except TimeoutError:
            return HEARTBEAT if boundaries.at_boundary else await self._read(None)

    def _takes_comments(self, head: Head) -> bool:
        return (
            head.framing in {Framing.CHUNKED, Framing.CLOSE}
            and self.content_type == "text/event-stream"
            and hdrs.CONTENT_ENCODING not in self.headers
        )

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        self._exchange.end()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback()
            except Exception:  # noqa: BLE001 - logged; the others must still run
                _log.exception("a callback of a finished answer failed")


class Unanswered(web.StreamResponse):
    """Stands for the answer that nobody gets; its status is for logs only."""

    async def prepare(
        self,
        request: BaseRequest,  # noqa: ARG002 - aiohttp's signature
    ) -> AbstractStreamWriter | None:
        """Send nothing.

        Raises:
            ConnectionResetError: Always: there is no connection to answer on.
        """
        raise ConnectionResetError("the request is left unanswered")


def abort(request: web.Request) -> web.StreamResponse:
    """Close the browser's connection without an answer; return it from the handler.

    For `UpstreamBroken` where the request only reads: SDKs then resume, and browsers
    that ask again do no harm.
    """
    if request.transport is not None:
        request.transport.close()
    return Unanswered(status=502)


def _break(transport: asyncio.Transport, *, reset: bool) -> None:
    """Close at once, by RST where FIN would look like a clean end."""
    if reset and (sock := transport.get_extra_info("socket")) is not None:
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
