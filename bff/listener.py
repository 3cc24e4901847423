"""Hear what PostgreSQL announces (LISTEN), on one connection a process.

A NOTIFY to itself is the heartbeat: a half-open connection looks healthy, and only an
echo proves that it is not. Callers learn whether the listener hears, and are called
on every new connection so that they can read what was said while it was deaf.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import asyncpg
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

log = logging.getLogger(__name__)

HEARTBEAT = 5.0
PULSE = "bff_pulse"
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Listener:
    """Dispatch notifications to callbacks, by channel."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._callbacks: dict[str, list[Callable[[str], None]]] = {}
        self._catch_up: list[Callable[[asyncpg.Connection], Awaitable[None]]] = []
        self._beats = 0
        self.hears = False

    def on(self, channel: str, callback: Callable[[str], None]) -> None:
        """Call *callback* with the payload of each notification on *channel*."""
        self._callbacks.setdefault(channel, []).append(callback)

    def on_connect(
        self, catch_up: Callable[[asyncpg.Connection], Awaitable[None]]
    ) -> None:
        """Await *catch_up* on each new connection, after it has begun to listen."""
        self._catch_up.append(catch_up)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Listen in the background for as long as the context is open."""
        task = asyncio.ensure_future(self._forever())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _forever(self) -> None:
        pause = FIRST_PAUSE
        while True:
            began = self._beats
            try:
                await self._listen()
            except FAILURES as error:
                log.warning("listening to the database broke: %s", type(error).__name__)
            except Exception:
                # Deaf for ever would be worse than whatever it was.
                log.exception("listening to the database failed and starts again")
            heard = self._beats > began
            pause = FIRST_PAUSE if heard else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(self._url, timeout=5, command_timeout=5)
        try:
            lost = asyncio.Event()
            # Known at once where the system tells; the heartbeat is for where not.
            connection.add_termination_listener(lambda _: lost.set())
            echo = asyncio.Event()
            pulse = f"{id(self)}-{self._beats}"

            def hear(*heard: object) -> None:
                channel, payload = str(heard[2]), str(heard[3])
                if channel != PULSE:
                    self._dispatch(channel, payload)
                elif payload == pulse:
                    echo.set()

            for channel in (PULSE, *self._callbacks):
                await connection.add_listener(channel, hear)
            for catch_up in self._catch_up:
                await catch_up(connection)
            self.hears = True
            while True:
                self._beats += 1
                pulse = f"{id(self)}-{self._beats}"
                echo.clear()
                await connection.execute("SELECT pg_notify($1, $2)", PULSE, pulse)
                # Not wait_for: before 3.12 it swallows a cancellation that meets the
                # echo, and the process would not stop.
                async with asyncio.timeout(HEARTBEAT):
                    await echo.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT):
                        await lost.wait()
                    raise ConnectionResetError("the listening connection was lost")
        finally:
            self.hears = False
            connection.terminate()

    def _dispatch(self, channel: str, payload: str) -> None:
        for callback in self._callbacks.get(channel, ()):
            callback(payload)


LISTENER = web.AppKey("listener", Listener)
