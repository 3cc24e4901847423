"""Have a span for each call to Keycloak, Odoo or the register; pass the trace on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
from opentelemetry.trace import Span, SpanKind

from bff import tracing
from bff.tracing import State

if TYPE_CHECKING:
    from types import SimpleNamespace

    from yarl import URL

FAILED = 400


def traced() -> list[aiohttp.TraceConfig]:
    """Return what a client session needs; nothing where there are no traces."""
    if not tracing.is_on():
        return []
    config: aiohttp.TraceConfig = aiohttp.TraceConfig()
    config.on_request_start.append(_begin)
    config.on_request_end.append(_end)
    config.on_request_exception.append(_broken)
    return [config]


def _peer(url: URL) -> str:
    return State.peers.get(str(url.origin()).lower(), url.host or "")


async def _begin(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    asked: aiohttp.TraceRequestStartParams,
) -> None:
    del session
    tracer = State.tracer
    context.span = None
    if tracer is None:
        return
    peer, url = _peer(asked.url), asked.url
    span = tracer.start_span(
        f"{asked.method} {peer}",
        kind=SpanKind.CLIENT,
        attributes={
            "peer.service": peer,
            "http.request.method": asked.method,
            "server.address": url.host or "",
            "server.port": url.port or 0,
            "url.path": tracing.sayable(url.raw_path),
        },
    )
    context.span = span
    asked.headers.update(tracing.headers_of(span))


async def _end(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    answered: aiohttp.TraceRequestEndParams,
) -> None:
    del session
    span: Span | None = context.span
    if span is None:
        return
    status = answered.response.status
    span.set_attribute("http.response.status_code", status)
    if status >= FAILED:
        tracing.fail(span, str(status))
    span.end()


async def _broken(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    failed: aiohttp.TraceRequestExceptionParams,
) -> None:
    del session
    span: Span | None = context.span
    if span is not None:
        tracing.fail(span, type(failed.exception).__name__)
        span.end()
