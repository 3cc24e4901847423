"""Send spans with OpenTelemetry's SDK, as its standard variables say.

Imported only where traces are wanted: the SDK is optional.
"""

from __future__ import annotations

import threading

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

NAME = "nexius-bff"
# Seconds for the last spans: a collector that is away holds up nobody who ends.
LAST = 3.0


def provider() -> TracerProvider:
    """Return what sends spans in the background, and the rest of them at the end."""
    # The environment's own name for the service wins.
    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: NAME}))
    made = TracerProvider(resource=found, shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


def flush(provider: TracerProvider) -> None:
    """Send what is left, for a few seconds at most."""
    last = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
    last.start()
    last.join(LAST)
