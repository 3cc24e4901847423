"""How the gateway is run and watched: the worker, logs, traces, the audit's length."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bff.config_base import Section


class Worker(Section):
    """The job queue."""

    embedded: bool = Field(default=True, description="Run one inside `bff serve`.")
    heartbeat: float = Field(10.0, gt=0, le=10, description="Seconds.")
    dequeue: float = Field(5.0, gt=0, le=5, description="Seconds.")
    admin_listen: str = Field(
        "",
        description="Address at which `bff worker` alone has `/healthz` and "
        "`/metrics`; empty: nowhere. Several on one machine need one each.",
    )


class Audit(Section):
    """What was done in a tenant, and by whom."""

    keep_days: int = Field(
        400, ge=1, le=36_500, description="Days until the worker deletes an entry."
    )


class Info(Section):
    """GET /info."""

    require_session: bool = False


class Telemetry(Section):
    """Logs and traces."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "json"
    access_log: bool = Field(default=True, description="A line for each request.")
    traces: bool = Field(
        default=False,
        description="Send OpenTelemetry traces, where the standard `OTEL_…` variables "
        "say; needs `pip install nexius-bff[otel]`.",
    )
    trust_traceparent: bool = Field(
        default=False,
        description="Continue callers' traces. Without it each request begins one of "
        "its own that links to theirs.",
    )
