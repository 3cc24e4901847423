"""Let people see where they are signed in, and end it there."""

from __future__ import annotations

import asyncio
from uuid import UUID

from aiohttp import web

from bff.auditing import caller
from bff.current_session import SESSION, STORE
from bff.errors import NotFound
from bff.sessions.browser import forget
from bff.sessions.revocation import ENDED


async def own_sessions(request: web.Request) -> web.Response:
    """List the caller's own live sessions, the newest first."""
    ticket = request[SESSION]
    rows = await request.app[STORE].live_of(ticket.user_id)
    return web.json_response(
        [
            {
                "id": str(row.sid),
                "current": row.sid == ticket.sid,
                "device": row.device,
                "tenant_id": row.tenant_id,
                "created_at": row.created_at.isoformat(timespec="seconds"),
                "expires_at": row.expires_at.isoformat(timespec="seconds"),
            }
            for row in rows
        ]
    )


async def end_own_session(request: web.Request) -> web.Response:
    """End one of the caller's own sessions on every replica."""
    ticket = request[SESSION]
    try:
        sid = UUID(request.match_info["session_id"])
    except ValueError as error:
        raise NotFound from error
    ending = request.app[STORE].end(
        ticket.user_id, sid, "ended_by_owner", by=caller(request)
    )
    if not await asyncio.shield(ending):
        raise NotFound
    request.app[ENDED].end(sid)
    if sid == ticket.sid:
        forget(request)
    return web.Response(status=204)
