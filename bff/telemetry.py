"""Number requests, write log lines without secrets, count what happens.

A line is JSON (or text for a terminal). Whatever looks like a token or a cookie is
masked as the last step, control characters are escaped, and query strings are never
logged: a sign-in's code would stand in one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import re
import secrets
import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)

from bff.answer_counts import AnswerCounts
from bff.gauges import Build, Pools, Standing, Upstreams

if TYPE_CHECKING:
    from collections.abc import Generator
    from uuid import UUID

    from bff.config_operating import Telemetry

REQUEST_ID = web.RequestKey("request_id", str)
SESSION_MARK = web.RequestKey("session_mark", str)
TENANT_MARK = web.RequestKey("tenant_mark", int)
# The trace that the request belongs to, where there are traces.
TRACE_MARK = web.RequestKey("trace_mark", str)
# The code of the error that the answer tells of.
REFUSAL = web.RequestKey("refusal", str)

request_id: ContextVar[str] = ContextVar("request_id", default="")
# What every line that is logged meanwhile is about: session, tenant, task, trace.
about: ContextVar[dict[str, object] | None] = ContextVar("about", default=None)

SECRETS = re.compile(
    r"eyJ[\w-]{8,}(?:\.[\w-]*){1,4}"  # a JWT or JWE
    r"|(?i:bearer)\s+[\w.~+/=-]+"
    r"|(?:__Host-)?nx_(?:access|refresh|signin|device)[\w.-]*=[^;\s]+"
    r"|(?i:password|client_secret|refresh_token|code_verifier|otp|totp)[\"']?[=:]\s*[^\s,&}]+"
    r"|postgres(?:ql)?://[^@\s]+@"
    r"|(?<=/auth/sessions/)[^\s\"?]+"  # a session's id, where a path names it
)


# A terminal obeys these, C1 too; a line break would let one line pass for two.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


# Seconds of a phase: without Odoo none takes any, a first copy of a database minutes.
PHASE_BOUNDS = (0.05, 0.25, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)


class Metrics:
    """Count in a registry of this application's own.

    Every process has all of them, whatever it does: what it never does stays empty.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # The names of labels, by metric, for the reference page and for tests.
        self.labels: dict[str, tuple[str, ...]] = {}
        self.answers = AnswerCounts()
        self.upstreams, self.pools = Upstreams(), Pools()
        self.standing = Standing()
        for one in (self.answers, self.upstreams, self.pools, self.standing, Build()):
            self.registry.register(one)
            self.labels.update(one.LABELS)
        ProcessCollector(registry=self.registry)
        self.streams = self._gauge("bff_live_streams", "Proxied answers in progress.")
        self.draining = self._gauge(
            "bff_draining", "1 from the signal to stop until the process ends."
        )
        self.listening = self._gauge(
            "bff_listener_up", "1 while PostgreSQL tells us of ended sessions."
        )
        self.sign_ins = self._counter(
            "bff_sign_ins_total", "By way and outcome.", "way", "outcome"
        )
        self.registrations = self._counter(
            "bff_registrations_total",
            "Accounts asked for at the provider, by outcome.",
            "outcome",
        )
        self.refreshes = self._counter("bff_refreshes_total", "By outcome.", "outcome")
        self.sessions_ended = self._counter(
            "bff_sessions_ended_total",
            "Sessions that this process ended, by reason.",
            "reason",
        )
        self.phases = Histogram(
            "bff_onboarding_phase_seconds",
            "Time that a phase of onboarding took, by what came of it.",
            ["phase", "outcome"],
            buckets=PHASE_BOUNDS,
            registry=self.registry,
        )
        self.labels["bff_onboarding_phase_seconds"] = ("phase", "outcome")
        self.acra_runs = self._counter(
            "bff_acra_runs_total",
            "Runs of the register that the worker made, by outcome.",
            "outcome",
        )
        self.acra_records = self._counter(
            "bff_acra_records_total",
            "Records of the register that the worker read, by what became of them.",
            "outcome",
        )

    def count_ended(self, reason: str, number: int) -> None:
        """Count sessions that this process has ended."""
        self.sessions_ended.labels(reason).inc(number)

    def time_phase(self, phase: str, outcome: str, seconds: float) -> None:
        """Count a phase of onboarding that is over, or was tried."""
        self.phases.labels(phase, outcome).observe(seconds)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        self.labels[name] = ()
        return Gauge(name, meaning, registry=self.registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self.labels[name] = labels
        return Counter(name, meaning, labels, registry=self.registry)


METRICS = web.AppKey("metrics", Metrics)


# An id names a request and proves nothing: it is not worth a system call each.
_numbers = random.Random(secrets.token_bytes(32))  # noqa: S311 - see above


@contextmanager
def doing(task: str, **marks: object) -> Generator[None]:
    """Have every line that is logged in this context name *task* and *marks*."""
    token = about.set({**(about.get() or {}), "task": task, **marks})
    try:
        yield
    finally:
        about.reset(token)


def new_request_id() -> str:
    """Return an id for one request; a browser's own is never taken over."""
    return f"{_numbers.getrandbits(128):032x}"


def mark_of(sid: UUID) -> str:
    """Return what stands for a session in logs: a hash, never the id."""
    return hashlib.sha256(sid.bytes).hexdigest()[:12]


def masked(text: str) -> str:
    """Return *text* with everything that looks like a secret masked."""
    return SECRETS.sub("[masked]", text)


class JsonFormatter(logging.Formatter):
    """Write one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for *record*."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        if identity := request_id.get():
            line["request_id"] = identity
        line |= about.get() or {}
        fields = getattr(record, "fields", {})
        line |= {
            key: masked(value) if isinstance(value, str) else value
            for key, value in fields.items()
        }
        if record.exc_info:
            line["error"] = masked(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=True, default=str)


class TextFormatter(logging.Formatter):
    """Write a line for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for *record*."""
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        said = record.getMessage()
        fields = getattr(record, "fields", None)
        if fields:
            said += " " + " ".join(f"{key}={value}" for key, value in fields.items())
        said = masked(said).translate(CONTROLS)
        if record.exc_info:
            lines = masked(self.formatException(record.exc_info)).split("\n")
            said += "".join(f"\n{line.translate(CONTROLS)}" for line in lines)
        return f"{at} {record.levelname[0]} {record.name}: {said}"


def configure_logging(settings: Telemetry) -> None:
    """Send all log lines to standard error in the configured form."""
    handler = logging.StreamHandler(sys.stderr)
    json_lines = settings.log_format == "json"
    handler.setFormatter(JsonFormatter() if json_lines else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    # Their chatter is not about our users.
    for name in ("pgqueuer", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
