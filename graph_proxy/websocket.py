"""Switched protocols: a tunnel of raw bytes, once the upstream has agreed.

Only WebSocket is switched to. A tunnel for `h2c` would carry requests past every check
of the gateway, so any other Upgrade is ignored, as RFC 9110 (7.8) lets a server do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from aiohttp import HttpVersion11, hdrs

from graph_proxy.headers import tokens
from graph_proxy.relay import Forwarded

if TYPE_CHECKING:
    from aiohttp import web

    from graph_proxy.answers import Head
    from graph_proxy.exchange import Exchange
    from graph_proxy.headers import Header


def asks_for_websocket(request: web.Request) -> bool:
    """Say whether the request is a WebSocket handshake (RFC 6455, 4.1)."""
    return (
        request.method == "GET"
        and request.version >= HttpVersion11
        and not request.body_exists
        and [v.strip().lower() for v in request.headers.getall(hdrs.UPGRADE, ())]
        == ["websocket"]
        and "upgrade" in tokens(request.headers.items(), "connection")
    )


class Tunnel(Forwarded):
    """A 101 answer, and after it the bytes of both sides as they come.

    Closes both ends when one goes. From its making on, aiohttp hands over what the
    browser sends, the bytes that came early included.
    """

    _length_check = False

    def __init__(
        self,
        request: web.Request,
        exchange: Exchange,
        head: Head,
        headers: list[Header],
    ) -> None:
        super().__init__(request, exchange, head, headers)
        self.headers[hdrs.CONNECTION] = "Upgrade"
        self.headers[hdrs.UPGRADE] = "websocket"
        self.force_close()
        # aiohttp would parse whatever comes next as another request; this must stand
        # before the handler returns (web_protocol.finish_response).
        reader = _FromBrowser(request, exchange)
        request.protocol.set_parser(cast("Any", reader))
        request.protocol.keep_alive(False)  # noqa: FBT003 - aiohttp's signature

    def cut(self) -> None:
        """Break both connections now; idempotent."""
        self._exchange.end()
        super().cut()

    def _finish(self) -> None:
        # A close frame just written still has to arrive.
        self._exchange.end(flush=True)
        super()._finish()
        transport = self._request.transport
        if transport is not None:
            transport.close()


class _FromBrowser:
    """What aiohttp feeds with the browser's bytes in place of its request parser."""

    def __init__(self, request: web.Request, exchange: Exchange) -> None:
        self._protocol = request.protocol
        self._exchange = exchange
        self._paused = False
        exchange.connection.on_drained = self._resume

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Pass bytes on; stop the browser while the upstream does not keep up."""
        connection = self._exchange.connection
        connection.write(data)
        if connection.writing_paused and not self._paused:
            self._paused = True
            self._protocol.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        """Close the upstream's end once the browser's is gone."""
        self._exchange.end(flush=True)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._protocol.resume_reading()
