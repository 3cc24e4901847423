"""Say that the user interface cannot be reached, to a person or to a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from bff.access import is_navigation
from bff.errors import UiUnavailable
from bff.pages.routes import load
from bff.telemetry import REFUSAL

if TYPE_CHECKING:
    from bff.errors import GatewayError

PAGE = "unavailable.html"
AGAIN = "5"  # seconds


def away(request: web.Request, error: Exception) -> web.Response:
    """Return the page that says so to whoever opens a page.

    Raises:
        UiUnavailable: for everybody else.
    """
    known: GatewayError = UiUnavailable(headers={"Retry-After": AGAIN})
    if not is_navigation(request):
        raise known from error
    request[REFUSAL] = known.code
    page = load()[PAGE]
    return web.Response(
        status=known.status,
        body=page.body,
        content_type=page.content_type,
        charset="utf-8",
        headers={**known.headers, "Cache-Control": "no-store"},
    )
