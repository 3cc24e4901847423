"""Say that we live, whether we take traffic, and what the product can do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bff.auth.signing_in import PROVIDER
from bff.current_session import CONFIG, current
from bff.database import DATABASE, DatabaseUnavailable
from bff.graph import LIVE
from bff.identity.messages import ProviderUnavailable
from bff.lifecycle import LIFECYCLE, STOPPING, Lifecycle
from bff.listener import LISTENER
from bff.middlewares import mark_started, outermost
from bff.outbound import OUTBOUND
from bff.sessions.browser import CLOCK
from bff.telemetry import METRICS, Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable

INFO_AGE = 30.0
LIMIT = 2.0


@dataclass(slots=True)
class GraphCheck:
    """The last answer of the graph server's `/ok`, and when it came."""

    ok: bool = False
    at: float = float("-inf")
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


GRAPH_CHECK = web.AppKey("graph_check", GraphCheck)


async def healthz(request: web.Request) -> web.Response:
    """Answer that the process is alive; asks nobody."""
    del request
    return web.json_response({"ok": True})


async def readyz(request: web.Request) -> web.Response:
    """Tell whether traffic is wanted, and how the things we depend on are.

    A dependency that is down is reported and does not make us unready: it would take
    every replica out at once, and none of them could say why.
    """
    app = request.app
    database, provider, graph = await asyncio.gather(
        _said(_database(app)), _said(_provider(app)), _said(_graph(app))
    )
    reason = app[LIFECYCLE].reason or (STOPPING if app[LIVE].draining else None)
    answer = {
        "ready": reason is None,
        "reason": reason,
        "database": database,
        "listener": "ok" if app[LISTENER].hears else "not listening",
        "identity_provider": provider,
        "graph": graph,
    }
    return web.json_response(answer, status=200 if reason is None else 503)


def make_early_app(lifecycle: Lifecycle) -> web.Application:
    """Return what the admin listener answers until the whole application can."""
    app = web.Application(middlewares=[outermost(None)])
    app[LIFECYCLE], app[METRICS] = lifecycle, Metrics()
    app.on_response_prepare.append(mark_started)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", not_ready)
    app.router.add_get("/metrics", metrics)
    return app


async def not_ready(request: web.Request) -> web.Response:
    """Tell what is waited for; nothing else can be asked yet."""
    answer = {"ready": False, "reason": request.app[LIFECYCLE].reason}
    return web.json_response(answer, status=503)


async def metrics(request: web.Request) -> web.Response:
    """Answer with what Prometheus scrapes."""
    body = generate_latest(request.app[METRICS].registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def info(request: web.Request) -> web.Response:
    """Tell what a UI asks before anybody has signed in; holds no configuration."""
    if request.app[CONFIG].info.require_session:
        await current(request)
    check = request.app[GRAPH_CHECK]
    async with check.asking:  # the others wait for the answer, not for a guess
        now = request.app[CLOCK]()
        if now - check.at > INFO_AGE:
            check.ok = await _said(_graph(request.app)) == "ok"
            check.at = now
    return web.json_response(
        {
            "ok": True,
            "checkpoint_enabled": check.ok,
            "version": version("nexius-bff"),
        }
    )


async def _said(question: Awaitable[str]) -> str:
    try:
        return await asyncio.wait_for(question, LIMIT)
    except TimeoutError:
        return "no answer in time"


async def _database(app: web.Application) -> str:
    try:
        async with app[DATABASE].shared_transaction() as connection:
            await connection.execute("SELECT 1")
    except DatabaseUnavailable:
        return "unreachable"
    return "ok"


async def _provider(app: web.Application) -> str:
    try:
        await app[PROVIDER].discovery()
    except ProviderUnavailable as error:
        return str(error)
    return "ok"


async def _graph(app: web.Application) -> str:
    target = app[CONFIG].proxy.get("graph")
    if target is None or not target.upstreams:
        return "not configured"
    url = f"{target.upstreams[0]}/ok"
    try:
        async with app[OUTBOUND].get(url, allow_redirects=False) as answer:
            return "ok" if answer.ok else f"answers {answer.status}"
    except (aiohttp.ClientError, OSError):
        return "unreachable"
