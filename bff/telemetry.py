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
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge

from bff.answer_counts import AnswerCounts

if TYPE_CHECKING:
    from uuid import UUID

    from bff.config import Telemetry

REQUEST_ID = web.RequestKey("request_id", str)
SESSION_MARK = web.RequestKey("session_mark", str)
TENANT_MARK = web.RequestKey("tenant_mark", int)
# The code of the error that the answer tells of.
REFUSAL = web.RequestKey("refusal", str)

request_id: ContextVar[str] = ContextVar("request_id", default="")

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


class Metrics:
    """Count in a registry of this application's own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.answers = AnswerCounts()
        self.registry.register(self.answers)
        self.streams = Gauge(
            "bff_live_streams", "Proxied answers in progress.", registry=self.registry
        )
        self.sign_ins = Counter(
            "bff_sign_ins_total",
            "By way and outcome.",
            ["way", "outcome"],
            registry=self.registry,
        )
        self.registrations = Counter(
            "bff_registrations_total",
            "Accounts asked for at the provider, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.refreshes = Counter(
            "bff_refreshes_total", "By outcome.", ["outcome"], registry=self.registry
        )
        self.acra_runs = Counter(
            "bff_acra_runs_total",
            "Runs of the register that the worker made, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.acra_records = Counter(
            "bff_acra_records_total",
            "Records of the register that the worker read, by what became of them.",
            ["outcome"],
            registry=self.registry,
        )


METRICS = web.AppKey("metrics", Metrics)


# An id names a request and proves nothing: it is not worth a system call each.
_numbers = random.Random(secrets.token_bytes(32))  # noqa: S311 - see above


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
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        if identity := request_id.get():
            line["request_id"] = identity
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
