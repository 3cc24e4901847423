"""A relay in front of a provider, which can hold, break and fail renewals of tokens."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from bff.dev.ports import free_port
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    Act = Callable[[web.Request], Awaitable[web.StreamResponse | None]]

HOP_BY_HOP = frozenset({"connection", "content-length", "transfer-encoding", "host"})


@dataclass
class Relay:
    """Hands everything on; what it does to renewals can be set at any time."""

    target: str
    port: int = field(default_factory=free_port)
    # Called before a renewal reaches the provider, and before its answer goes back;
    # what they return is sent instead.
    before: Act | None = None
    after: Act | None = None
    asked: int = 0
    accepted: int = 0
    _http: aiohttp.ClientSession = field(init=False)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The address that stands for the provider's."""
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Relay]:
        """Relay for as long as the context is open."""
        async with aiohttp.ClientSession(
            auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as self._http:
            await self.up()
            try:
                yield self
            finally:
                await self.down()

    async def up(self) -> None:
        """Take connections."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._relay)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self._runner = runner

    async def down(self) -> None:
        """Close every connection and refuse new ones."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def has_accepted(self, count: int) -> None:
        """Wait until the provider has accepted so many renewals."""

        async def look() -> bool:
            return self.accepted >= count

        await until(look)

    async def _relay(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        renewal = b"grant_type=refresh_token" in body
        if renewal:
            self.asked += 1
            if self.before and (instead := await self.before(request)) is not None:
                return instead
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in HOP_BY_HOP
        }
        async with self._http.request(
            request.method,
            self.target + request.path_qs,
            headers=headers,
            data=body,
            allow_redirects=False,
        ) as answer:
            raw = await answer.read()
        if renewal:
            self.accepted += answer.ok
            if self.after and (instead := await self.after(request)) is not None:
                return instead
        kept = [
            (name, value)
            for name, value in answer.headers.items()
            if name.lower() not in HOP_BY_HOP
        ]
        response = web.Response(status=answer.status, body=raw)
        response.headers.extend(kept)
        return response


class Hold:
    """Hold what comes until told to go, or to drop it."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.go = asyncio.Event()
        self.dropping = False

    def drop(self) -> None:
        """Let nothing of it go any further."""
        self.dropping = True
        self.go.set()

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        self.came.set()
        await self.go.wait()
        return await reset(request) if self.dropping else None


async def reset(request: web.Request) -> web.StreamResponse:
    """Break the connection instead of answering."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


async def half(request: web.Request) -> web.StreamResponse:
    """Break the connection in the middle of an answer."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = 1000
    await response.prepare(request)
    await response.write(b'{"access_token":"')
    return await reset(request)


def failing(status: int) -> Act:
    """Answer with *status* instead."""

    async def answer(request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(status=status, text="<html>upstream connect error")

    return answer
