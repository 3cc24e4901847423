"""Write one line a request: what, how long, for which session and tenant.

Every request passes here, so a JSON line is put together by hand and lines leave for
standard error a few times a second, not one by one; through `logging` they were a third
of what a small request costs. What a browser has a say in, the path, is encoded and
masked like everything else that is logged.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import re
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractAccessLogger
from aiohttp.log import access_logger
from yarl import URL

from bff.telemetry import (
    REFUSAL,
    REQUEST_ID,
    SESSION_MARK,
    TENANT_MARK,
    TRACE_MARK,
    configure_logging,
    masked,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from bff.config_operating import Telemetry

FLUSH_SECONDS = 0.2
MOST_GATHERED = 256
# A pipe that several processes share takes so many bytes in one piece (PIPE_BUF).
ATOMIC = 4096
LONGEST_PATH = 1000
# Longer ones are not kept.
_LONG_LINE = 256
# Without one of these nothing in a path can look like a secret.
_SUSPICIOUS = re.compile(r"eyJ|[=:\s]|/sessions/")
_quoted = json.encoder.encode_basestring_ascii


class Lines:
    """Gather finished lines and hand them to *write* soon."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._lines: list[str] = []
        self._due: asyncio.TimerHandle | None = None
        self._second = 0
        self._prefix = ""

    def add(self, fields: dict[str, object], now: float) -> None:
        """Take a line of *fields*, at *now* in seconds since the epoch."""
        said = [
            f', "{name}": {_quoted(value) if isinstance(value, str) else value}'
            for name, value in fields.items()
        ]
        self.add_said("".join(said), now)

    def add_said(self, said: str, now: float) -> None:
        """Take a line whose fields are JSON already, each behind a comma."""
        second = int(now)
        if second != self._second:
            self._second = second
            moment = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._prefix = f'{{"time": "{moment}.'
        self._lines.append(
            f'{self._prefix}{int((now - second) * 1e6):06}+00:00", "level": "info", '
            f'"logger": "aiohttp.access", "message": "request"{said}}}\n'
        )
        if len(self._lines) >= MOST_GATHERED:
            self.flush()
        elif self._due is None:
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what has been gathered."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        lines, self._lines = self._lines, []
        size, begin = 0, 0
        for at, line in enumerate(lines):
            size += len(line)
            if size > ATOMIC:
                self._put(lines[begin:at])
                size, begin = len(line), at
        self._put(lines[begin:])

    def _put(self, lines: list[str]) -> None:
        # A full disk under the log must not stop what is logged about.
        with suppress(OSError, ValueError):
            if lines:
                self._write("".join(lines))


class _Output:
    """Where the lines of this process go; nowhere of their own until it is set up."""

    lines: Lines | None = None
    refusals_only = False


def configure(settings: Telemetry) -> None:
    """Send all log lines to standard error; requests by hand where they are JSON.

    What was refused is logged even where other requests are not.
    """
    configure_logging(settings)
    _Output.lines = None
    _Output.refusals_only = not settings.access_log
    if settings.log_format == "json" and access_logger.isEnabledFor(logging.INFO):
        _Output.lines = Lines(sys.stderr.write)
        atexit.register(_Output.lines.flush)


def flush() -> None:
    """Write what has been gathered: afterwards there may be no time for it."""
    if _Output.lines is not None:
        _Output.lines.flush()


def is_on() -> bool:
    """Tell whether requests are logged that are not refused."""
    return not _Output.refusals_only and access_logger.isEnabledFor(logging.INFO)


def log_answer(fields: dict[str, object]) -> None:
    """Log a request; values are numbers or texts, "path" is the browser's."""
    fields["path"] = _sayable(str(fields["path"]))
    if _Output.lines is not None:
        _Output.lines.add(fields, time.time())
    else:
        access_logger.info("request", extra={"fields": fields})


def log_proxied(
    method: str,
    path: str,
    status: int,
    *,
    size: int,
    seconds: float,
    request_id: str,
    session: str,
    tenant: int,
    code: str | None = None,
    trace_id: str = "",
) -> None:
    """Log a request that was passed on, where it is to be; a *code* always is.

    *path* is the browser's as it was written, the rest is ours.
    """
    lines = _Output.lines
    if lines is None or code is not None or _Output.refusals_only:
        fields: dict[str, object] = {
            "method": method,
            "path": _decoded(path),
            "status": status,
            "bytes": size,
            "seconds": round(seconds, 4),
            "request_id": request_id,
            "session": session,
            "tenant": tenant,
            **({"trace_id": trace_id} if trace_id else {}),
        }
        if code is not None:
            log_answer({**fields, "code": code})
        elif is_on():
            log_answer(fields)
        return
    said = _path_said(path) if len(path) <= _LONG_LINE else _say_path(path)
    traced = f', "trace_id": "{trace_id}"' if trace_id else ""
    lines.add_said(
        f', "method": "{method}", "path": {said}, "status": {status}, '
        f'"bytes": {size}, "seconds": {seconds:.4f}, "request_id": "{request_id}", '
        f'"session": "{session}", "tenant": {tenant}{traced}',
        time.time(),
    )


def _decoded(path: str) -> str:
    """Return a path as aiohttp has it: what is encoded must not pass unmasked."""
    return URL.build(path=path, encoded=True).path if "%" in path else path


def _sayable(path: str) -> str:
    if len(path) > LONGEST_PATH or _SUSPICIOUS.search(path):
        return masked(path)[:LONGEST_PATH]
    return path


def _say_path(path: str) -> str:
    return _quoted(_sayable(_decoded(path)))


_path_said = lru_cache(maxsize=1024)(_say_path)


class AccessLogger(AbstractAccessLogger):
    """Log the answers that aiohttp sends."""

    @property
    def enabled(self) -> bool:
        """Tell aiohttp to measure at all."""
        return access_logger.isEnabledFor(logging.INFO)

    def log(
        self, request: web.BaseRequest, response: web.StreamResponse, time: float
    ) -> None:
        """Log *request*, answered by *response* after *time* seconds."""
        refusal = request.get(REFUSAL)
        if refusal is None and not is_on():
            return
        fields: dict[str, object] = {
            "method": request.method,
            "path": request.path,
            "status": response.status,
            "bytes": response.body_length,
            "seconds": round(time, 4),
        }
        for name, key in (
            ("code", REFUSAL),
            ("request_id", REQUEST_ID),
            ("session", SESSION_MARK),
            ("tenant", TENANT_MARK),
            ("trace_id", TRACE_MARK),
        ):
            if (value := request.get(key)) is not None:
                fields[name] = value
        log_answer(fields)
