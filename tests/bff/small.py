"""A gateway of a few handlers: everything around them, nothing below."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from bff import config
from bff.dev.ports import free_port
from bff.hardening import response_headers
from bff.middlewares import mark_started, outermost
from bff.telemetry import METRICS, Metrics
from bff.wire import GatewayRunner

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from bff.config import Config

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Small:
    """A running application and a client without habits."""

    def __init__(
        self, url: str, app: web.Application, http: aiohttp.ClientSession
    ) -> None:
        self.url = url
        self.app = app
        self._http = http

    async def ask(
        self, method: str, path: str, **kwargs: Any
    ) -> aiohttp.ClientResponse:
        kwargs.setdefault("allow_redirects", False)
        return await self._http.request(method, self.url + path, **kwargs)

    def counted(self, route: str, status: str) -> float:
        labels = {"route": route, "status": status}
        registry = self.app[METRICS].registry
        return registry.get_sample_value("bff_requests_total", labels) or 0.0


@asynccontextmanager
async def small(
    handlers: Mapping[str, Handler],
    origin: str | None = None,
    split_origin: Sequence[str] = (),
    **server: Any,
) -> AsyncGenerator[Small]:
    """Serve handlers by ``METHOD /path`` under *origin*, by default loopback's own."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings: Config = config.Config.model_validate(
        {
            "environment": "dev",
            "server": {"public_origins": [origin or url], "max_body": 4096, **server},
            "split_origin": {"origins": split_origin},
        }
    )
    app = web.Application(
        middlewares=[outermost(settings)], client_max_size=settings.server.max_body
    )
    app[METRICS] = Metrics()
    for route, handler in handlers.items():
        method, _, path = route.partition(" ")
        app.router.add_route(method, path, handler)
    app.on_response_prepare.append(mark_started)
    app.on_response_prepare.append(response_headers(settings))
    runner = GatewayRunner(app, settings.server)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        async with aiohttp.ClientSession() as http:
            yield Small(url, app, http)
    finally:
        await runner.cleanup()
