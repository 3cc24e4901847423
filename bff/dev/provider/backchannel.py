"""Telling clients that a session has ended: one try each, no second."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Coroutine

_LOG = logging.getLogger(__name__)
_TIMEOUT = aiohttp.ClientTimeout(total=5)


class BackChannel:
    """The connection to the clients, opened when first needed."""

    def __init__(self) -> None:
        self._http: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def deliver(self, url: str, logout_token: str) -> None:
        """Post one logout token; failure is noted and forgotten."""
        if self._http is None:
            jar = aiohttp.DummyCookieJar()
            self._http = aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=jar)
        form = {"logout_token": logout_token}
        try:
            async with self._http.post(url, data=form, allow_redirects=False) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            _LOG.warning("Back-channel logout to %s failed: %r", url, error)
        else:
            if not answer.ok:
                _LOG.warning("Back-channel logout to %s: %s", url, answer.status)

    async def see_through(self, work: Coroutine[None, None, None]) -> None:
        """Wait for this work, which goes on even if the caller leaves."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def close(self) -> None:
        """Drop what is still under way and close the connection."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()
            self._http = None
