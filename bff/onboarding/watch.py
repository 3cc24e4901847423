"""Wake whoever watches a tenant's onboarding when it changes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from aiohttp import web

from bff.onboarding.store import CHANNEL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from bff.listener import Listener

# While the listener is deaf the row is looked at this often.
POLL = 1.0


class Watch:
    """Turn notifications into wake-ups, by tenant."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._watchers: dict[str, set[asyncio.Event]] = {}
        listener.on(CHANNEL, self._wake)

    @asynccontextmanager
    async def watching(
        self, tenant_id: int | None
    ) -> AsyncGenerator[Callable[[float], Awaitable[bool]]]:
        """Give a function that waits up to so many seconds and tells if it changed."""
        key, event = str(tenant_id), asyncio.Event()
        self._watchers.setdefault(key, set()).add(event)

        async def changed(seconds: float) -> bool:
            hears = self._listener.hears and tenant_id is not None
            limit = seconds if hears else min(seconds, POLL)
            with suppress(TimeoutError):
                # Not wait_for: before 3.12 it may swallow a cancellation.
                async with asyncio.timeout(limit):
                    await event.wait()
            woken = event.is_set()
            event.clear()
            return woken

        try:
            yield changed
        finally:
            self._watchers[key].discard(event)
            if not self._watchers[key]:
                del self._watchers[key]

    def _wake(self, payload: str) -> None:
        for event in self._watchers.get(payload, ()):
            event.set()


WATCH = web.AppKey("watch", Watch)
