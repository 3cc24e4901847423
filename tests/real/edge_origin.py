"""A graph server for many streams, which go on where a client says it was.

`python -m tests.real.edge_origin` serves in a process of its own: it prints its address
and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

SECONDS = 0.5  # between a thread's events, unless its client says otherwise


@dataclass
class Origin:
    """What it was asked, and which streams are open."""

    url: str = ""
    posted: dict[str, int] = field(default_factory=dict)  # by thread
    heads: list[dict[str, str]] = field(default_factory=list)
    open_streams: int = 0
    _began: dict[str, float] = field(default_factory=dict)

    def app(self) -> web.Application:
        """Return what is to be served."""
        app = web.Application(client_max_size=2**28)
        app.router.add_get("/threads/{id}", self._small)
        app.router.add_get("/threads/{id}/stream", self._stream)
        app.router.add_get("/threads/{id}/stream/events", self._tunnel)
        app.router.add_post("/threads/{id}/state", self._post)
        app.router.add_get("/store/items", self._tell)
        return app

    async def _small(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.json_response({"thread_id": request.match_info["id"]})

    async def _tell(self, _: web.Request) -> web.Response:
        return web.json_response(self.posted)

    def _note(self, request: web.Request) -> None:
        self.heads.append(
            {name.lower(): said for name, said in request.headers.items()}
        )
        del self.heads[:-100]

    async def _post(self, request: web.Request) -> web.Response:
        self._note(request)
        thread, size = request.match_info["id"], 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
        self.posted[thread] = self.posted.get(thread, 0) + 1
        return web.json_response({"bytes": size})

    async def _tunnel(self, request: web.Request) -> web.WebSocketResponse:
        self._note(request)
        tunnel = web.WebSocketResponse()
        await tunnel.prepare(request)
        async for message in tunnel:
            if message.type is WSMsgType.TEXT:
                await tunnel.send_str(message.data)
        return tunnel

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send event n, n times the pace after the thread's first was asked for."""
        self._note(request)
        pace = float(request.query.get("pace", SECONDS))
        count = int(request.query["count"])
        last = int(request.headers.get("Last-Event-ID", -1))
        began = self._began.setdefault(request.match_info["id"], time.monotonic())
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        self.open_streams += 1
        try:
            for number in range(last + 1, count):
                due = began + number * pace - time.monotonic()
                await asyncio.sleep(max(0.0, due))
                await stream.write(f"id: {number}\r\ndata: {number}\r\n\r\n".encode())
        finally:
            self.open_streams -= 1
        return stream


@asynccontextmanager
async def serving() -> AsyncGenerator[Origin]:
    """Serve it on loopback."""
    origin = Origin()
    runner = web.AppRunner(
        origin.app(), handler_cancellation=True, shutdown_timeout=0.1, access_log=None
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
    origin.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield origin
    finally:
        await runner.cleanup()


async def _main() -> None:
    async with serving() as origin:
        sys.stdout.write(f"{origin.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
