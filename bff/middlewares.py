"""Stand around every handler: request id, host check, errors as problem+json."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from aiohttp import web

from bff.config_server import hosts
from bff.errors import GatewayError, UnknownHost
from bff.problems import problem, translate
from bff.telemetry import (
    METRICS,
    REFUSAL,
    REQUEST_ID,
    TRACE_MARK,
    about,
    new_request_id,
    request_id,
)

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from bff.config import Config

log = logging.getLogger(__name__)

STARTED = web.RequestKey("started", bool)


async def mark_started(request: web.Request, response: web.StreamResponse) -> None:
    """Note that an answer has begun; an `on_response_prepare` signal."""
    del response
    request[STARTED] = True


def outermost(config: Config | None) -> Middleware:
    """Return the middleware around everything; without *config* any Host will do."""
    known_hosts = hosts(config) if config else None

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        identity = request[REQUEST_ID] = new_request_id()
        token = request_id.set(identity)
        # Who asks is added once it is known (`bff.current_session`).
        trace_id = request.get(TRACE_MARK)
        marks = about.set({} if trace_id is None else {"trace_id": trace_id})
        began = time.perf_counter()
        response: web.StreamResponse | None = None
        try:
            if known_hosts is not None and request.host.lower() not in known_hosts:
                raise UnknownHost  # noqa: TRY301 - answered like every other error
            response = await handler(request)
        except Exception as error:
            if request.get(STARTED) or isinstance(error, ConnectionError):
                # After the first byte no status can be sent: the connection breaks.
                raise
            response = _answer(request, error, identity)
        finally:
            _count(request, response, time.perf_counter() - began)
            request_id.reset(token)
            about.reset(marks)
        return response

    return around


def _answer(
    request: web.Request, error: Exception, identity: str
) -> web.StreamResponse:
    known = translate(error)
    if known is None:
        if isinstance(error, web.HTTPException):
            raise error  # a redirect: aiohttp answers with it
        log.error("a handler failed", exc_info=error)
        known = GatewayError()
    elif known.__cause__ is None and error.__cause__ is not None:
        log.debug("answered %s", known.code, exc_info=error)
    request[REFUSAL] = known.code
    return problem(known, identity)


def _count(
    request: web.Request, response: web.StreamResponse | None, seconds: float
) -> None:
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "(unknown)"
    metrics = request.app[METRICS]
    status = f"{response.status // 100}xx" if response is not None else "broken"
    metrics.answers.count(route, status, seconds)
