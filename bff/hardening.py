"""Give every answer the headers that make browsers careful."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from aiohttp import web

from bff.cors import Cors
from bff.telemetry import REQUEST_ID
from graph_proxy import Forwarded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from bff.config import Config

# Pages load from our origin only; answers that are no pages may do nothing at all.
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
VARY = "Cookie, Origin, Sec-Fetch-Site"
YEAR = 31536000
# Ours, whatever a handler or an upstream says.
FIXED = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
# Set on an answer that is the same for everybody, cookies or none: it may be kept.
SAME_FOR_ALL = web.ResponseKey("same_for_all", bool)
_VARY_LINE = f"Vary: {VARY}\r\n"
_TELLING = frozenset({"content-type", "content-security-policy"})
_LONG_FIELD = 256
HSTS = f"max-age={YEAR}; includeSubDomains"


def response_headers(
    config: Config,
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return the `on_response_prepare` signal for *config*."""
    fixed, cors = _fixed(config), Cors(config)

    async def harden(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers.popall("Server", None)
        headers["X-Request-ID"] = request.get(REQUEST_ID, "")
        headers.update(fixed)
        headers.update(cors.fields(request.headers.get("Origin")))
        if "Content-Security-Policy" not in headers:
            page = response.content_type == "text/html"
            headers["Content-Security-Policy"] = PAGE_POLICY if page else DATA_POLICY
        said = headers.getall("Cache-Control", ())
        if said and SAME_FOR_ALL in response and "Set-Cookie" not in headers:
            if cors:
                # Whose scripts may read it is not the same for all.
                headers["Vary"] = ", ".join((*headers.popall("Vary", ()), "Origin"))
            return
        if not said or isinstance(response, Forwarded) or "Set-Cookie" in headers:
            headers["Cache-Control"] = _unkept(", ".join(said))
            for name in [name for name in headers if _is_for_caches(name.lower())]:
                headers.popall(name, None)
        headers["Vary"] = _vary(headers.popall("Vary", ()))

    return harden


class Hardener:
    """Do the same to the head of an answer that no aiohttp response stands for."""

    def __init__(self, config: Config) -> None:
        fixed = _fixed(config)
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
        self._replaced = {name.lower() for name in fixed} | {"server", "x-request-id"}
        # A server says much the same in answer after answer.
        self._known = lru_cache(maxsize=2048)(self._judge)

    def lines(self, fields: Iterable[tuple[str, str]], identity: str) -> str:
        """Return *fields*, hardened, as field lines; *identity* is the request's."""
        lines, vary = [self._fixed, f"X-Request-ID: {identity}\r\n"], []
        caching = ""
        content_type: str | None = None
        policy: str | None = None
        for name, value in fields:
            is_short = len(name) + len(value) < _LONG_FIELD
            judge = self._known if is_short else self._judge
            key, line = judge(name, value)
            if line:
                lines.append(line)
            if key == "vary":
                vary.append(value)
            elif key == "cache-control":
                caching += value
            elif key == "content-type" and content_type is None:
                content_type = value
            elif key == "content-security-policy":
                policy = value
        if policy is None:
            kind = (content_type or "").partition(";")[0].strip().lower()
            policy = PAGE_POLICY if kind == "text/html" else DATA_POLICY
            lines.append(f"Content-Security-Policy: {policy}\r\n")
        lines.append(f"Cache-Control: {_unkept(caching)}\r\n")
        lines.append(f"Vary: {_vary(vary)}\r\n" if vary else _VARY_LINE)
        return "".join(lines)

    def _judge(self, name: str, value: str) -> tuple[str, str]:
        """Return its kind, where that matters, and its line, if it passes."""
        key = name.lower()
        if key in {"vary", "cache-control"}:
            return key, ""
        if key in self._replaced or _is_for_caches(key):
            return "", ""
        return key if key in _TELLING else "", f"{name}: {value}\r\n"


def _fixed(config: Config) -> dict[str, str]:
    fixed = dict(FIXED)
    if config.canonical_origin.startswith("https://"):
        fixed["Strict-Transport-Security"] = HSTS
    if config.lets_bypass:
        # Nobody may take such a gateway for one that asks people to sign in.
        fixed["X-Auth-Bypass"] = "1"
    return fixed


def _unkept(said: str) -> str:
    """Say that nobody may keep the answer (RFC 9111 section 5.2.2.5).

    An upstream knows that its answer may be cached, but not that a cache in front,
    which overlooks Vary, would hand it to somebody else, new cookies included.
    """
    return "no-store, no-transform" if "no-transform" in said.lower() else "no-store"


def _is_for_caches(key: str) -> bool:
    """Tell whether a field speaks to some caches, past Cache-Control (RFC 9213)."""
    return key.endswith("-cache-control") or key == "surrogate-control"


def _vary(values: Sequence[str]) -> str:
    # A star means: everything counts. It would forbid any reuse, which no-store does.
    named = [value for value in values if value.strip() not in {"", "*"}]
    return ", ".join((*named, VARY))
