"""Pages as HTTP answers."""

from __future__ import annotations

from aiohttp import web

# No form-action: browsers would apply it to the redirect back to the client too.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def page(text: str, *, status: int = 200) -> web.Response:
    """Answer with a page."""
    return web.Response(
        text=text, status=status, content_type="text/html", headers=_HEADERS
    )


def redirect(location: str) -> web.Response:
    """Answer with a redirect that nobody keeps."""
    headers = {
        "Location": location,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }
    return web.Response(status=302, headers=headers)
