"""Have a span for each request that aiohttp serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from bff import tracing
from bff.telemetry import REFUSAL, REQUEST_ID, SESSION_MARK, TENANT_MARK, TRACE_MARK
from bff.tracing import State
from graph_proxy import Forwarded

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

MARKS = (
    ("nexius.request_id", REQUEST_ID),
    ("nexius.session", SESSION_MARK),
    ("nexius.tenant", TENANT_MARK),
    ("error.type", REFUSAL),
)


def middlewares() -> list[Middleware]:
    """Return what stands around everything; nothing where there are no traces."""
    return [_around] if tracing.is_on() else []


@web.middleware
async def _around(request: web.Request, handler: Handler) -> web.StreamResponse:
    tracer = State.tracer
    if tracer is None:
        return await handler(request)
    parent, links = tracing.caller(request.headers)
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "(unknown)"
    span = tracer.start_span(
        f"{request.method} {route}",
        context=parent,
        kind=SpanKind.SERVER,
        links=links,
        attributes={
            "http.request.method": request.method,
            "http.route": route,
            "url.scheme": request.scheme,
        },
    )
    request[TRACE_MARK] = tracing.trace_id(span)
    response: web.StreamResponse | None = None
    try:
        with trace.use_span(
            span, record_exception=False, set_status_on_exception=False
        ):
            response = await handler(request)
    except BaseException as error:
        tracing.fail(span, type(error).__name__)
        raise
    finally:
        _say(request, response, span)
        if isinstance(response, Forwarded):
            response.add_done_callback(span.end)  # it is yet to stream
        else:
            span.end()
    return response


def _say(
    request: web.Request, response: web.StreamResponse | None, span: trace.Span
) -> None:
    for name, key in MARKS:
        if (value := request.get(key)) is not None:
            span.set_attribute(name, value)
    if response is not None:
        span.set_attribute("http.response.status_code", response.status)
        if response.status >= tracing.SERVER_ERROR:
            tracing.fail(span, str(request.get(REFUSAL) or response.status))
