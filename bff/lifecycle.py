"""Know where a process stands between its start and its end, and what it still does."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Generator

STARTING, STOPPING = "starting", "shutting down"


@dataclass(slots=True)
class Lifecycle:
    """Hold why no traffic is wanted, if so, and count requests that want an answer."""

    reason: str | None = None
    # Every answer now asks its connection to end: clients move on.
    leaving: bool = False
    under_way: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def answering(self) -> Generator[None]:
        """Count a request, from its head to the last byte of its answer."""
        self.under_way += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.under_way -= 1
            if not self.under_way:
                self.idle.set()

    async def answered(self) -> None:
        """Wait until every request that has come is answered."""
        while self.under_way:
            await self.idle.wait()

    async def end_connection(
        self, request: web.Request, response: web.StreamResponse
    ) -> None:
        """Say with *response* that this connection ends, if the process does."""
        del request
        if self.leaving and response.status != HTTPStatus.SWITCHING_PROTOCOLS:
            response.headers["Connection"] = "close"
            response.force_close()


LIFECYCLE = web.AppKey("lifecycle", Lifecycle)
