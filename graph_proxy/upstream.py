"""Where the upstreams are, and the connections kept to them."""

from __future__ import annotations

import asyncio
import logging
import ssl as tls
from typing import TYPE_CHECKING

from yarl import URL

from graph_proxy.connection import Connection
from graph_proxy.errors import UpstreamUnavailable
from graph_proxy.tls import SecureConnection

if TYPE_CHECKING:
    from collections.abc import Sequence

# How long an upstream that refused a connection is left out while others are there.
EJECTION = 10.0

_log = logging.getLogger(__name__)


class Upstream:
    """One address: `http://…`, `https://…` (verified) or `unix:/path/of.sock`.

    A path in the address is put before every path that is sent.

    Raises:
        ValueError: The address is none of these, or verification is switched off.
    """

    def __init__(self, address: str, *, ssl: tls.SSLContext | None = None) -> None:
        self.address = address
        self.outstanding = 0
        self.ejected_until = 0.0
        self.base = ""
        self.base_bytes = b""
        self.idle: list[Connection] = []
        self._sweeping: asyncio.TimerHandle | None = None
        self._ssl: tls.SSLContext | None = None
        self._socket_path: str | None = None
        self._host = ""
        self._port = 0
        if address.startswith("unix:"):
            self._socket_path = address.removeprefix("unix:").removeprefix("//")
            self.authority = "localhost"
            if not self._socket_path.startswith("/"):
                raise ValueError(f"{address!r}: a unix socket needs an absolute path")
            self.line_end = _line_end(self.authority)
            return
        url = URL(address)
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError(f"{address!r} is neither http, https nor unix")
        if url.user or url.password or url.query_string or url.fragment:
            raise ValueError("an upstream's address has no user, query or fragment")
        self.authority = url.raw_authority
        self.base = url.raw_path.rstrip("/")
        self.base_bytes = self.base.encode()
        self.line_end = _line_end(self.authority)
        self._host, self._port = url.host, url.port or 0
        if url.scheme == "https":
            self._ssl = ssl or tls.create_default_context()
            if self._ssl.verify_mode is not tls.CERT_REQUIRED:
                raise ValueError("an https upstream's certificate must be verified")
            if not self._ssl.check_hostname:
                raise ValueError("an https upstream's name must be verified")

    async def dial(self, timeout: float) -> Connection:  # noqa: ASYNC109 - of one step
        """Open a connection, TLS included, within `timeout` seconds.

        Raises:
            OSError: It cannot be had; `TimeoutError`, in time.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout):
            if self._socket_path is not None:
                _, connection = await loop.create_unix_connection(
                    Connection, self._socket_path
                )
            else:
                made = SecureConnection if self._ssl else Connection
                _, connection = await loop.create_connection(
                    made, self._host, self._port, ssl=self._ssl
                )
        return connection

    def take_idle(self) -> Connection | None:
        """Return the connection used last that still stands, if any."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.is_stale():
                connection.reused, connection.heard = True, False
                return connection
            connection.abort()
        return None

    def keep(self, connection: Connection, seconds: float) -> None:
        """Hold a connection for the next request, for so many seconds at most."""
        if connection.on_idle_end is None:
            connection.on_idle_end = self._forget
        connection.idle_until = connection.loop.time() + seconds
        self.idle.append(connection)
        if self._sweeping is None:
            # One timer for all: connections come back far more often than they rest.
            self._sweeping = connection.loop.call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        """Close what has rested for too long, and look again when more will have."""
        self._sweeping = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        # Taken and put back at the end, so the first has always rested the longest.
        for connection in [one for one in self.idle if one.idle_until <= now]:
            self.idle.remove(connection)
            connection.close()
        if self.idle:
            self._sweeping = loop.call_at(self.idle[0].idle_until, self._sweep)

    def close_idle(self) -> None:
        """Close every connection that rests."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in self.idle:
            connection.close()

    def _forget(self, connection: Connection) -> None:
        if connection in self.idle:
            self.idle.remove(connection)


class Pool:
    """Choose an upstream by least outstanding requests, and keep its connections.

    An upstream that cannot be reached is left out for ten seconds, unless none is left.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        *,
        connect_timeout: float,
        idle_timeout: float,
    ) -> None:
        if not upstreams:
            raise ValueError("there must be at least one upstream")
        self._upstreams = list(upstreams)
        self._only = upstreams[0] if len(upstreams) == 1 else None
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self._turn = 0
        self._closed = False

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """Return them all, for whoever watches them."""
        return tuple(self._upstreams)

    def take_idle(self) -> tuple[Upstream, Connection | None]:
        """Return the upstream of choice, and a connection that waits there, if any."""
        upstream = self._only or self._by_preference()[0]
        connection = upstream.take_idle() if upstream.idle else None
        if connection is not None:
            upstream.outstanding += 1
        return upstream, connection

    async def acquire(
        self, *, fresh: bool = False, first: Upstream | None = None
    ) -> tuple[Upstream, Connection]:
        """Return an upstream and a connection to it, a new one if `fresh`.

        `first` is the upstream that was chosen before.

        Raises:
            UpstreamUnavailable: None can be reached.
        """
        trouble: OSError | None = None
        for upstream in self._by_preference(first):
            upstream.outstanding += 1
            if upstream.ejected_until:
                # One finds out for all whether it is back; that may take seconds.
                upstream.ejected_until = _from_now(EJECTION)
            try:
                connection = None if fresh else upstream.take_idle()
                if connection is None:
                    connection = await upstream.dial(self._connect_timeout)
            except OSError as error:
                upstream.outstanding -= 1
                trouble = error
                upstream.ejected_until = _from_now(EJECTION)
                _log.warning("cannot reach %s: %r", upstream.address, error)
            except BaseException:
                upstream.outstanding -= 1
                raise
            else:
                upstream.ejected_until = 0.0
                return upstream, connection
        raise UpstreamUnavailable("no upstream can be reached") from trouble

    def release(self, upstream: Upstream, connection: Connection) -> None:
        """Take back a connection whose exchange is over, in whatever state it is."""
        upstream.outstanding -= 1
        if connection.rest() and not self._closed:
            upstream.keep(connection, self._idle_timeout)
        elif not connection.closed:  # else it may be sending its last bytes
            connection.abort()

    def close(self) -> None:
        """Close the idle connections; those in use close when they are released."""
        self._closed = True
        for upstream in self._upstreams:
            upstream.close_idle()

    def _by_preference(self, first: Upstream | None = None) -> list[Upstream]:
        if len(self._upstreams) == 1:
            return self._upstreams
        if first is not None:
            # Not the next in turn: chosen twice, every second one would be left out.
            return [first, *(one for one in self._upstreams if one is not first)]
        now = asyncio.get_running_loop().time()
        self._turn += 1
        turn = self._turn % len(self._upstreams)
        ring = self._upstreams[turn:] + self._upstreams[:turn]
        ready = [upstream for upstream in ring if upstream.ejected_until <= now]
        return sorted(ready or ring, key=lambda upstream: upstream.outstanding)


def _from_now(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def _line_end(authority: str) -> bytes:
    """Return what stands behind the target of every request, its Host included."""
    return f" HTTP/1.1\r\nHost: {authority}\r\n".encode()
