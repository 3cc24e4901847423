"""Let pages of `[split_origin]` call us, cookies included (Fetch Standard, CORS).

Exact origins, each answered by its own name, never `*`; without any configured, which
is always so in production, nothing here does anything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiohttp import web

from graph_proxy.headers import crosses, forwardable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler, Middleware

    from bff.config import Config

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
# Chromium keeps a preflight's answer two hours at most; a developer changes settings.
SECONDS = 600
# What scripts may read beside what any may: what the SDKs and session.js look at, and
# what tells a developer what happened.
EXPOSED = (
    "Content-Disposition",
    "Content-Location",
    "Date",
    "ETag",
    "Location",
    "Mcp-Session-Id",
    "Retry-After",
    "X-Auth-Bypass",
    "X-Logout-Url",
    "X-Pagination-Next",
    "X-Pagination-Total",
    "X-Request-ID",
)
# Beside what may cross to the graph server: what SDKs may add, and we drop. Never
# `authorization`: a browser is to keep none, and so cannot send it by mistake.
TAKEN = frozenset({"x-api-key", "x-auth-scheme", "x-requested-with"})
BYPASS = frozenset({"x-tenant-id", "x-user-email", "x-user-roles"})
_NAME = re.compile(r"[a-z0-9-]+")


class Cors:
    """Say which answers a page of another origin may read, and what it may send."""

    def __init__(self, config: Config) -> None:
        self._fields = {
            origin: {
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Allow-Credentials": "true",
                "Access-Control-Expose-Headers": ", ".join(EXPOSED),
            }
            for origin in config.split_origins
        }
        self._lines = {
            origin: "".join(f"\r\n{name}: {value}" for name, value in fields.items())
            for origin, fields in self._fields.items()
        }
        more = set(TAKEN)
        if config.csrf.require_header:
            more.add(config.csrf.require_header.lower())
        if config.lets_bypass:
            more |= BYPASS
        for target in config.proxy.values():
            more |= forwardable(target.forward_headers)
        self._more = frozenset(more)

    def __bool__(self) -> bool:
        """Tell whether there is any such origin."""
        return bool(self._fields)

    def fields(self, origin: str | None) -> Mapping[str, str]:
        """Return the fields of an answer to a page of *origin*."""
        return self._fields.get(origin or "", {})

    def lines(self, origin: str | None) -> str:
        """Return the same as text, each line behind a break."""
        return self._lines.get(origin or "", "")

    def may_be_sent(self, asked: str) -> list[str]:
        """Return those of the *asked* header names, listed, that a page may send."""
        names = [name.strip().lower() for name in asked.split(",")]
        return [name for name in names if _NAME.fullmatch(name) and self._passes(name)]

    def _passes(self, name: str) -> bool:
        return name in self._more or crosses(name, frozenset())


def middlewares(config: Config) -> list[Middleware]:
    """Return what answers preflights, where there may be any.

    A browser asks so without cookies, before a script's request leaves. It is answered
    for whatever address: what the request itself is told, the script may then read.
    """
    cors = Cors(config)

    @web.middleware
    async def preflights(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_preflight(request.method, request.headers) or not cors.fields(
            request.headers.get("Origin")
        ):
            return await handler(request)
        asked = request.headers.get("Access-Control-Request-Headers", "")
        # Who may ask is said as on every answer: `bff.hardening`.
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": METHODS,
                "Access-Control-Allow-Headers": ", ".join(cors.may_be_sent(asked)),
                "Access-Control-Max-Age": str(SECONDS),
                "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
            },
        )

    return [preflights] if cors else []


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a browser asks for leave (Fetch Standard, 3.3.4)."""
    return method == "OPTIONS" and "Access-Control-Request-Method" in headers
