"""Make the one client session for control-plane calls (provider, Odoo, ACRA)."""

from __future__ import annotations

import aiohttp
from aiohttp import web

from bff import tracing_calls


def client_session() -> aiohttp.ClientSession:
    """Return a session without aiohttp's habits that would mix or follow.

    No cookie jar (it would be shared by all users), no proxy from the environment,
    headers up to 32 KiB (Keycloak's cookies are large). Callers give their timeouts.
    """
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=10, sock_connect=5),
        trust_env=False,
        trace_configs=tracing_calls.traced(),
        max_line_size=32768,
        max_field_size=32768,
        # Below every server's own keep-alive, so that a POST meets no closed door.
        connector=aiohttp.TCPConnector(limit=100, keepalive_timeout=4),
    )


OUTBOUND = web.AppKey("outbound", aiohttp.ClientSession)
