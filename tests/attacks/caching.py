"""A careless cache in front of the gateway: by address only, whoever asks.

It keeps what it may keep by RFC 9111 but ignores `Vary`, as many do, and keeps
Set-Cookie with the rest, as some do. What is `no-cache` it asks about again.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from bff.dev.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "date"}
CONTROLS = ("cdn-cache-control", "surrogate-control", "cache-control")
HEURISTIC = {200, 203, 204, 301, 308, 404, 405, 410}


@dataclass
class Stored:
    """One answer, kept."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    fresh: bool


@dataclass
class Cache:
    """Serve what is kept, ask for the rest."""

    target: str
    kept: dict[str, Stored] = field(default_factory=dict)
    hits: list[str] = field(default_factory=list)
    url: str = ""
    http: aiohttp.ClientSession = field(init=False)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer from what is kept, or from the gateway."""
        known = self.kept.get(request.raw_path) if request.method == "GET" else None
        if known and known.fresh:
            self.hits.append(request.raw_path)
            return _made(known)
        headers = [
            (name, one)
            for name, one in request.headers.items()
            if name.lower() not in HOP
        ]
        if known and (tag := CIMultiDict(known.headers).get("ETag")):
            headers = [one for one in headers if one[0].lower() != "if-none-match"]
            headers.append(("If-None-Match", tag))
        async with self.http.request(
            request.method,
            f"{self.target}{request.raw_path}",
            headers=headers,
            data=await request.read(),
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            fields = [
                (name, one)
                for name, one in answer.headers.items()
                if name.lower() not in HOP
            ]
            stored = Stored(answer.status, fields, body, fresh=True)
        if known and stored.status == 304:
            self.hits.append(request.raw_path)
            return _made(known)
        self._keep(request, stored)
        return _made(stored)

    def _keep(self, request: web.Request, answer: Stored) -> None:
        named = {name.lower() for name, _ in answer.headers}
        # What is said to caches of this kind counts before the rest (RFC 9213).
        control = next((one for one in CONTROLS if one in named), "")
        values = [one for name, one in answer.headers if name.lower() == control]
        said = {one.strip().lower() for value in values for one in value.split(",")}
        lasts = [one for one in said if one.startswith(("max-age=", "s-maxage="))]
        if request.method != "GET" or said & {"no-store", "private"}:
            return
        if not (answer.status in HEURISTIC or lasts):
            return
        answer.fresh = "no-cache" not in said and "max-age=0" not in said
        self.kept[request.raw_path] = answer


def _made(stored: Stored) -> web.Response:
    answer = web.Response(status=stored.status, body=stored.body)
    answer.headers.popall("Content-Type", None)
    for name, value in stored.headers:
        answer.headers.add(name, value)
    return answer


@asynccontextmanager
async def cache_before(target: str) -> AsyncGenerator[Cache]:
    """Run a cache in front of *target*."""
    cache = Cache(target)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", cache.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, max_field_size=2**16)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(cookie_jar=jar, auto_decompress=False) as http:
        cache.http = http
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        cache.url = f"http://127.0.0.1:{port}"
        try:
            yield cache
        finally:
            await runner.cleanup()
