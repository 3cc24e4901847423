"""An answer on its direct way with spans: the request's own and the graph server's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import SpanKind

from bff import tracing
from bff.graph import PEER
from bff.graph_passing import Passing
from bff.tracing import State

if TYPE_CHECKING:
    from bff.front import Front
    from bff.graph_passage import Errand, Passage
    from bff.graph_passing import Shared
    from graph_proxy import UpstreamBroken

_CALLERS = ("traceparent", "tracestate")
_NOT_OURS = tuple(f"{name}:".encode() for name in _CALLERS)
_LINE_END = b"\r\n"


class TracedPassing(Passing):
    """Made in the place of a `Passing` where there are traces."""

    __slots__ = ("_asking", "_span", "_trace")
    _asking: trace.Span | None
    _span: trace.Span | None

    def __init__(
        self,
        shared: Shared,
        front: Front,
        errand: Errand,
        passage: Passage,
        raw: bytes,
    ) -> None:
        super().__init__(shared, front, errand, passage, raw)
        tracer = State.tracer or trace.NoOpTracer()
        fields = passage.block.fields
        theirs = {
            name: fields[name].decode("latin-1") for name in _CALLERS if name in fields
        }
        parent, links = tracing.caller(theirs)
        route = errand.lane.route
        self._span = span = tracer.start_span(
            f"{errand.method} {route}",
            context=parent,
            kind=SpanKind.SERVER,
            links=links,
            attributes={
                "http.request.method": errand.method,
                "http.route": route,
                "nexius.request_id": self._identity,
                "nexius.session": passage.who.mark,
                "nexius.tenant": passage.who.tenant,
            },
        )
        self._asking = asking = tracer.start_span(
            f"{errand.method} {PEER}",
            context=trace.set_span_in_context(span),
            kind=SpanKind.CLIENT,
            attributes={"peer.service": PEER, "http.request.method": errand.method},
        )
        self._trace = tracing.trace_id(span)
        kept = [
            line
            for line in self._lines.split(_LINE_END)
            if not line.lower().startswith(_NOT_OURS)
        ]
        ours = tracing.headers_of(asking).items()
        kept[-1:] = [*(f"{name}: {value}".encode() for name, value in ours), b""]
        self._lines = _LINE_END.join(kept)

    def on_over(self, error: UpstreamBroken | None) -> None:
        """Count it out, and end both spans."""
        try:
            super().on_over(error)
        finally:
            self._end(error)

    def on_unavailable(self) -> None:
        """Let aiohttp say so, in spans of its own: unended, these are never sent."""
        self._asking = self._span = None
        super().on_unavailable()

    def _end(self, error: Exception | None) -> None:
        for span in (self._asking, self._span):
            tracing.end(span, self._status, error=error)

    def _log(self, trace_id: str = "") -> None:
        super()._log(trace_id or self._trace)
