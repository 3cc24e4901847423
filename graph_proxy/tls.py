"""A connection under TLS, whose end is only believed when it was said.

A TCP connection that ends says nothing about who ended it: anybody on the way can. TLS
has a word for it, close_notify (RFC 8446, 6.1). An answer that ends with its connection
is complete only with that word (RFC 9112, 9.8).
"""

from __future__ import annotations

import ssl as tls
from typing import TYPE_CHECKING, Protocol, cast

from graph_proxy.connection import Connection

if TYPE_CHECKING:
    import asyncio


class _Buffered(Protocol):
    def set_read_buffer_limits(self, high: int, low: int) -> None: ...


class SecureConnection(Connection):
    """A `Connection` for which an end without close_notify is a failure.

    An answer that had arrived whole by its own framing is none the worse for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said_goodbye = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; have it read no further ahead than it must.

        uvloop forgets what it has read but not handed over when the connection ends,
        which a paused reader would miss: the end of a long answer.
        """
        cast("_Buffered", transport).set_read_buffer_limits(high=1, low=0)
        super().connection_made(transport)

    def eof_received(self) -> None:
        """Note whether the upstream said that this is the end."""
        if self.transport is None:
            return
        # uvloop calls this for close_notify only, asyncio for a bare FIN as well.
        secured: tls.SSLObject = self.transport.get_extra_info("ssl_object")
        try:
            self._said_goodbye = not secured.read(1)
        except tls.SSLZeroReturnError:
            self._said_goodbye = True
        except tls.SSLError:
            self._said_goodbye = False  # it would wait for more

    def connection_lost(self, exc: Exception | None) -> None:
        """Note how the connection ended; a silent end is a broken one."""
        if exc is None and not self._said_goodbye:
            exc = ConnectionResetError(
                "the connection ended without TLS's close_notify"
            )
        super().connection_lost(exc)
