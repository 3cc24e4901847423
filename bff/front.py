"""The browser's side of a connection: which of two ways each request goes.

A plain request that has arrived whole may go the direct way, on which no server
machinery stands between the browser's bytes and the upstream's. Everything else goes to
aiohttp, the very same bytes. One request at a time is on its way, so that both agree
where the next begins; a connection on which that is in doubt stays with aiohttp.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from bff.gathering import MOST_GATHERED, Gathering
from graph_proxy import incoming
from graph_proxy.connection import keep_alive

if TYPE_CHECKING:
    from collections.abc import Callable

    from bff.express import Exchange, Express, Memo
    from bff.wire import QuietHandler
    from graph_proxy.incoming import Incoming


# Silent connections and half heads would use up our descriptors.
HEAD_SECONDS = 30.0
# As aiohttp: longer than the proxies in front keep theirs.
IDLE_SECONDS = 3630.0
# What a browser may send ahead of an answer; none pipelines that much. Reading on is
# what tells us that it has left: to stop would keep the answer of one that has.
MOST_EARLY = 64 * 1024
# How long a browser may take to fetch the last bytes of a connection that is closed.
LINGER_SECONDS = 10.0


class Front(asyncio.Protocol):
    """One connection of a browser."""

    __slots__ = (
        "_asked",
        "_early",
        "_exchange",
        "_gathering",
        "_given_away",
        "_handler",
        "_last",
        "_loop",
        "_make_handler",
        "_missing",
        "_over",
        "_paused",
        "_quiet",
        "_timer",
        "_waiting",
        "express",
        "memo",
        "peer",
        "transport",
    )

    def __init__(
        self,
        make_handler: Callable[[Front], QuietHandler],
        express: Express | None,
        on_over: Callable[[Front], None],
    ) -> None:
        self.transport: asyncio.Transport | None = None
        self.express = express
        self.peer = ""
        self.memo: Memo | None = None
        self._make_handler = make_handler
        self._over = on_over
        self._loop = asyncio.get_running_loop()
        self._handler: QuietHandler | None = None
        self._given_away = express is None
        self._exchange: Exchange | None = None
        self._gathering = Gathering(0 if express is None else express.max_head)
        self._early = b""
        self._asked = False
        # A memo is there, no byte waits anywhere, and nobody is at work.
        self._quiet = False
        self._waiting = False
        self._missing = 0  # of a body that aiohttp reads, in bytes
        self._paused = False
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Say whether an answer is on its direct way."""
        return self._exchange is not None

    @property
    def last_answer(self) -> float:
        """Return when an answer last went the direct way, in the loop's time."""
        return self._loop.time() if self._exchange is not None else self._last

    def close_if_idle(self) -> None:
        """Close unless an answer is being sent; aiohttp closes its own."""
        if self._exchange is None and self._handler is None:
            self._close()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect the first request's head within 30 seconds."""
        self.transport = cast("asyncio.Transport", transport)
        keep_alive(self.transport.get_extra_info("socket"))
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self._last = self._loop.time()
        if self._given_away:
            self._aiohttp()  # which has a timer of its own
            return
        self._timer = self._loop.call_later(HEAD_SECONDS, self._look)

    def data_received(self, data: bytes) -> None:
        """Decide which way what has come shall go."""
        if self._quiet and self.express is not None:
            self._quiet = False
            exchange = self.express.again(self, data)
            if exchange is not None:
                self._exchange = exchange
                exchange.start()
                return
        if self._exchange is not None or self._early:
            self._keep_early(data)
            return
        if self._given_away:
            self._to_aiohttp(data)
            return
        if self._missing:
            self._missing -= len(data)
            if self._missing < 0:
                # Something stands behind the body: aiohttp has to say where it begins.
                self._give_away()
            self._to_aiohttp(data)
            return
        handler = self._handler
        if handler is not None and not handler.is_idle:
            self._give_away()  # the browser does not wait for its answer
            self._to_aiohttp(data)
            return
        if self._paused:
            # Small answers end before anybody can be made to wait.
            self._keep_early(data)
            return
        self._asked = True
        self._gather(data)

    def pause_writing(self) -> None:
        """Let whoever sends now wait for the browser."""
        self._paused, self._quiet = True, False
        if self._exchange is not None:
            self._exchange.pause()
        if self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Let it go on."""
        self._paused = False
        if self._exchange is not None:
            self._exchange.resume()
        elif self._early:
            self._loop.call_soon(self._go_on)
        if self._handler is not None and self._handler.writing_paused:
            self._handler.resume_writing()

    def eof_received(self) -> bool | None:
        """Let the transport close: a browser that says no more reads no more."""
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody that the browser is gone."""
        self.transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._exchange is not None:
            self._exchange.cut()
        if self._handler is not None:
            self._handler.connection_lost(exc)
        self.forget()
        self._over(self)

    # What the direct way calls.

    def send(self, data: bytes) -> None:
        """Send bytes of an answer."""
        if self.transport is not None:
            self.transport.write(data)
            if self._paused and self._exchange is not None:
                self._exchange.pause()

    def answered(self) -> None:
        """Be ready for the next request."""
        self._exchange = None
        self._last = self._loop.time()
        if self._early:
            self._loop.call_soon(self._go_on)
        else:
            self._quiet = self.memo is not None and not self._paused

    def forget(self) -> None:
        """Forget the last request: its answer may take hours."""
        memo, self.memo = self.memo, None
        self._quiet = False
        if memo is not None:
            memo.drop()

    def break_off(self, *, at_once: bool = False) -> None:
        """Break the connection, *at_once* or behind what has been sent of an answer."""
        self._exchange = None
        if self.transport is None:
            return
        if at_once:
            self.transport.abort()
        else:
            self._close()

    def leave(self, data: bytes) -> None:
        """Hand a request over to aiohttp after all; nothing was sent of an answer."""
        self._exchange = None
        early, self._early = self._early, b""
        if early:
            self._give_away()
        self._to_aiohttp(data + early)

    def _go_on(self) -> None:
        if self._paused or self._exchange is not None:
            return  # it is called again
        early, self._early = self._early, b""
        # It may have been called twice.
        if early and self.transport is not None:
            self.data_received(early)

    def _gather(self, data: bytes) -> None:
        memo = self.memo
        found = self._gathering.feed(data, None if memo is None else memo.block)
        if found is None:
            self._wait()
            return
        asked, data = found
        if asked is not None and asked.missing and self._holds(asked, data):
            self._wait()
            return
        self._waiting = False  # a timer that still runs is the idle one
        if asked is None:
            self._give_away()
        elif asked.missing:
            self._missing = asked.missing
        elif self.express is not None:
            exchange = self.express.take(self, asked)
            if exchange is not None:
                self._exchange = exchange
                exchange.start()
                return
        self._to_aiohttp(data)

    def _holds(self, asked: Incoming, data: bytes) -> bool:
        """Hold a request for its body, if it is small and would not be refused."""
        express = self.express
        if (
            express is None
            or asked.missing + len(data) > MOST_GATHERED
            or not express.wants(self, asked)
        ):
            return False
        self._gathering.hold(data, asked.missing)
        return True

    def _give_away(self) -> None:
        """Leave this connection to aiohttp for good."""
        self._given_away = True
        self.forget()

    def _wait(self) -> None:
        """Wait for the rest of a request, 30 seconds from its first bytes."""
        if not self._waiting:
            self._waiting = True
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(HEAD_SECONDS, self._look)

    def _look(self) -> None:
        """Close what is silent for too long."""
        self._waiting = False
        idle_until = self._last + IDLE_SECONDS
        now = self._loop.time()
        if self._exchange is not None or self._handler is not None:
            idle_until = now + IDLE_SECONDS
        data = self._gathering.take()
        asked = incoming.read(data) if data else None
        if asked is not None:
            # A slow body is no crime; aiohttp takes it piece by piece.
            self._missing = asked.missing
            self._to_aiohttp(data)
            idle_until = now + IDLE_SECONDS
        elif data or not self._asked or idle_until <= now:
            self._close()
            return
        self._timer = self._loop.call_at(idle_until, self._look)

    def _close(self) -> None:
        """Close; soon at once, for a browser that does not fetch what is left."""
        transport = self.transport
        if transport is not None:
            transport.close()
            self._loop.call_later(LINGER_SECONDS, transport.abort)

    def _keep_early(self, data: bytes) -> None:
        self._early += data
        if len(self._early) > MOST_EARLY and self.transport is not None:
            self._early = b""
            self.transport.abort()

    def _to_aiohttp(self, data: bytes) -> None:
        self._aiohttp().data_received(data)

    def _aiohttp(self) -> QuietHandler:
        handler = self._handler
        if handler is None:
            handler = self._handler = self._make_handler(self)
            if self.transport is not None:
                handler.connection_made(self.transport)
            if self._paused:
                handler.pause_writing()
        return handler
