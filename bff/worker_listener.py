"""Tell operators how `bff worker` is: alive, and its metrics."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from bff import health, sockets
from bff.middlewares import mark_started, outermost
from bff.telemetry import METRICS
from bff.wire import GatewayRunner

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.config import Config
    from bff.telemetry import Metrics


@asynccontextmanager
async def watched(config: Config, metrics: Metrics) -> AsyncGenerator[None]:
    """Serve `/healthz` and `/metrics` at `worker.admin_listen`, if that is anywhere.

    Raises:
        CannotListen: when the address is taken or not ours.
    """
    if not config.worker.admin_listen:
        yield
        return
    taken = sockets.take(config.worker.admin_listen, "worker.admin_listen")
    app = web.Application(middlewares=[outermost(None)])
    app[METRICS] = metrics
    app.on_response_prepare.append(mark_started)
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/metrics", health.metrics)
    runner = GatewayRunner(app, config.server)
    try:
        await runner.setup()
        await sockets.serve_on(runner, taken)
        yield
    finally:
        sockets.close(taken)
        await runner.cleanup()
