"""Make OpenTelemetry spans, where that is wanted; else nothing, for nothing.

Whether it is, is decided once, at the start (`sent`). Nothing of a person is in a
span: no token, address, query string or statement, and of an error its kind alone.
"""

from __future__ import annotations

import importlib
import re
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bff import telemetry

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from contextlib import AbstractContextManager

    from opentelemetry.context import Context

    from bff.config import Config

SERVER_ERROR = 500
NOTHING: AbstractContextManager[None] = nullcontext()
PROPAGATOR = TraceContextTextMapPropagator()
# Parts of a path that may name a person, an account or a secret place.
_TELLING = re.compile(
    r"[^/]*[@%][^/]*|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[^/]{49,}|(?<=/)\d+(?=/|$)"
)


class NoTraces(Exception):
    """Tell that traces are wanted and cannot be made, and what to do about it."""


class State:
    """What this process does about traces."""

    tracer: trace.Tracer | None = None
    trusts_callers = False
    # What the origins that we call are named.
    peers: Mapping[str, str] = {}


@contextmanager
def sent(config: Config) -> Generator[None]:
    """Send spans for as long as the context is open, if *config* wants any.

    Where to, and all else, the variables ``OTEL_…`` say.

    Raises:
        NoTraces: when OpenTelemetry's SDK is not installed.
    """
    if not config.telemetry.traces:
        yield
        return
    try:
        export = importlib.import_module("bff.tracing_export")
    except ImportError as error:
        raise NoTraces(
            "telemetry.traces is on, and OpenTelemetry is not installed: "
            "pip install 'nexius-bff[otel]', or turn it off"
        ) from error
    provider = export.provider()
    use(provider, config)
    try:
        yield
    finally:
        stop()
        export.flush(provider)


def use(provider: trace.TracerProvider, config: Config) -> None:
    """Make spans with *provider* from now on."""
    State.tracer = provider.get_tracer("bff")
    State.trusts_callers = config.telemetry.trust_traceparent
    State.peers = peers_of(config)


def stop() -> None:
    """Make none any more."""
    State.tracer = None


def is_on() -> bool:
    """Tell whether spans are made."""
    return State.tracer is not None


def peers_of(config: Config) -> dict[str, str]:
    """Return what the servers are called that we ask, by scheme and authority."""
    named = {
        **dict.fromkeys((config.acra.collection_url, config.acra.api_url), "acra"),
        config.odoo.server_url: "odoo",
        config.auth.issuer: "keycloak",
    }
    return {
        "/".join(url.split("/")[:3]).lower(): name for url, name in named.items() if url
    }


def sayable(path: str) -> str:
    """Return a path for a span: whatever may tell of somebody is left out."""
    return telemetry.masked(_TELLING.sub("{}", path))


def caller(fields: Mapping[str, str]) -> tuple[Context | None, list[Link]]:
    """Return the trace to go on with, and the ones to point at.

    A browser may be anybody's: unless callers are trusted, theirs is pointed at only
    (W3C Trace Context, 4.3: a trace may be restarted at a border of trust).
    """
    known = {
        name: value
        for name in ("traceparent", "tracestate")
        if (value := fields.get(name)) is not None
    }
    theirs = PROPAGATOR.extract(known) if known else None
    if theirs is None or State.trusts_callers:
        return theirs, []
    found = trace.get_current_span(theirs).get_span_context()
    return None, [Link(found)] if found.is_valid else []


def headers_of(span: Span) -> dict[str, str]:
    """Return the fields that let a server go on with the trace of *span*."""
    fields: dict[str, str] = {}
    PROPAGATOR.inject(fields, trace.set_span_in_context(span))
    return fields


def trace_id(span: Span) -> str:
    """Return the trace's id as logs have it."""
    return trace.format_trace_id(span.get_span_context().trace_id)


def fail(span: Span, kind: str) -> None:
    """Note that what *span* stands for failed, and how such a failure is called."""
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def asking(
    peer: str, what: str, more: Mapping[str, Any]
) -> AbstractContextManager[Span | None]:
    """Have a span for asking *peer* for *what*; none, for nothing, without traces."""
    tracer = State.tracer
    if tracer is None:
        return NOTHING
    attributes = {"peer.service": peer, **more}
    return _open(tracer, f"{what} {peer}", SpanKind.CLIENT, attributes)


def begin(what: str, peer: str) -> Span | None:
    """Return a span of asking *peer*, to be ended by `end`; None without traces."""
    tracer = State.tracer
    if tracer is None:
        return None
    attributes = {"peer.service": peer, "http.request.method": what}
    return tracer.start_span(
        f"{what} {peer}", kind=SpanKind.CLIENT, attributes=attributes
    )


def end(
    span: Span | None, status: int = 0, *, error: BaseException | None = None
) -> None:
    """End a span of `begin` with the status of the answer, or what went wrong."""
    if span is None:
        return
    if status:
        span.set_attribute("http.response.status_code", status)
    if error is not None:
        fail(span, type(error).__name__)
    elif status >= SERVER_ERROR:
        fail(span, str(status))
    span.end()


@contextmanager
def doing(task: str, tenant: int | None = None) -> Generator[None]:
    """Have log lines name a worker's task and its tenant, and a span for it."""
    marks: dict[str, Any] = {} if tenant is None else {"tenant": tenant}
    tracer = State.tracer
    if tracer is None:
        with telemetry.doing(task, **marks):
            yield
        return
    attributes = {f"nexius.{name}": value for name, value in marks.items()}
    with (
        _open(tracer, task, SpanKind.CONSUMER, attributes) as span,
        telemetry.doing(task, **marks, trace_id=trace_id(span)),
    ):
        yield


@contextmanager
def _open(
    tracer: trace.Tracer, name: str, kind: SpanKind, attributes: Mapping[str, Any]
) -> Generator[Span]:
    with tracer.start_as_current_span(
        name,
        kind=kind,
        attributes=attributes,
        record_exception=False,  # its sentence may hold what nobody may read
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except BaseException as error:
            fail(span, type(error).__name__)
            raise
