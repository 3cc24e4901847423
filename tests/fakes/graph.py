"""A small graph server: tells what reached it, and streams on command."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@dataclass
class FakeGraph:
    """What arrived, and the streams that are open."""

    url: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)
    open_streams: int = 0
    healthy: bool = True
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/ok", self._ok)
        app.router.add_get("/info", self._echo)
        app.router.add_get("/threads/{id}/stream", self._endless)
        app.router.add_post("/threads/{id}/runs/stream", self._tokens)
        app.router.add_get("/threads/slow/state", self._slow)
        app.router.add_route("*", "/threads{tail:.*}", self._echo)
        return app

    def _note(self, request: web.Request, body: str = "") -> dict[str, Any]:
        seen = {
            "method": request.method,
            "path": request.path_qs,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": body,
        }
        self.seen.append(seen)
        return seen

    async def _ok(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True}, status=200 if self.healthy else 503)

    async def _echo(self, request: web.Request) -> web.Response:
        return web.json_response(self._note(request, await request.text()))

    async def _slow(self, request: web.Request) -> web.Response:
        self._note(request)
        self.asked.set()
        await asyncio.sleep(60)
        return web.json_response({})

    async def _tokens(self, request: web.Request) -> web.StreamResponse:
        self._note(request, await request.text())
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        for number in range(5):
            await stream.write(f"event: messages\r\ndata: {number}\r\n\r\n".encode())
            await asyncio.sleep(0.05)
        return stream

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        self.open_streams += 1
        try:
            while True:
                await stream.write(b": heartbeat\r\n\r\n")
                await asyncio.sleep(0.05)
        finally:
            self.open_streams -= 1


@asynccontextmanager
async def graph_server() -> AsyncGenerator[FakeGraph]:
    """Serve a fake graph server on loopback."""
    fake = FakeGraph()
    runner = web.AppRunner(fake.app(), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    fake.url = f"http://127.0.0.1:{port}"
    try:
        yield fake
    finally:
        await runner.cleanup()
