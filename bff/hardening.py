"""Give every answer the headers that make browsers careful."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff.telemetry import REQUEST_ID

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from bff.config import Config

# Pages load from our origin only; answers that are no pages may do nothing at all.
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
VARY = "Cookie, Origin, Sec-Fetch-Site"
YEAR = 31536000


def response_headers(
    config: Config,
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return the `on_response_prepare` signal for *config*."""
    secure = config.canonical_origin.startswith("https://")

    async def harden(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers.popall("Server", None)
        headers["X-Request-ID"] = request.get(REQUEST_ID, "")
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["X-Frame-Options"] = "DENY"
        if "Content-Security-Policy" not in headers:
            page = response.content_type == "text/html"
            headers["Content-Security-Policy"] = PAGE_POLICY if page else DATA_POLICY
        if "Cache-Control" not in headers:
            headers["Cache-Control"] = "no-store"
        vary = headers.get("Vary")
        headers["Vary"] = f"{vary}, {VARY}" if vary and vary != "*" else VARY
        if secure:
            headers["Strict-Transport-Security"] = f"max-age={YEAR}; includeSubDomains"

    return harden
