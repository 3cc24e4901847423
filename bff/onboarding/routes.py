"""The routes of onboarding: start it, watch it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Annotated, Any

from aiohttp import web
from pydantic import Field

from bff.body import Body, read_body
from bff.client_address import address_of
from bff.current_session import SESSION, find_tenant
from bff.errors import NotFound
from bff.errors_access import SessionEnded, TenantMissing
from bff.errors_graph import TooManyStreams
from bff.onboarding.phases import document
from bff.onboarding.store import ONBOARDING, Founder
from bff.onboarding.watch import WATCH
from bff.sessions.revocation import ENDED, CutTask
from bff.telemetry import REQUEST_ID
from bff.tenancy.store import TENANCY

if TYPE_CHECKING:
    from bff.sessions.session import AccessTicket

log = logging.getLogger(__name__)

# A comment this often lets both ends notice a dead connection.
HEARTBEAT = 15.0
MOST_STREAMS = 100


class FirstLogin(Body):
    """What first_login takes."""

    workspace_name: (
        Annotated[
            str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
        ]
        | None
    ) = None


async def first_login(request: web.Request) -> web.Response:
    """Start the onboarding of the person's tenant, or tell how far it is."""
    body = await read_body(request, FirstLogin)
    ticket = request[SESSION]
    founder = Founder(
        iss=ticket.iss,
        sub=ticket.sub,
        email=ticket.email,
        email_verified=ticket.email_verified,
        address=address_of(request),
        workspace_name=body.workspace_name,
        request_id=request.get(REQUEST_ID, ""),
        is_admin=ticket.tenant_id is not None and "admin" in ticket.roles,
    )
    store = request.app[ONBOARDING]
    started = await asyncio.shield(store.start(founder, ticket.tenant_id))
    if ticket.tenant_id is None:
        await find_tenant(request, ticket)
    return web.json_response(
        document(started.tenant_id, started.progress),
        status=202 if started.fresh else 200,
    )


async def status(request: web.Request) -> web.Response:
    """Tell how far the caller's tenant is."""
    ticket = await with_tenant(request)
    return web.json_response((await _document(request, ticket.tenant_id))[0])


async def tenant(request: web.Request) -> web.Response:
    """Tell how far a tenant is that the caller is a member of."""
    asked = request.match_info["tenant_id"]
    memberships = await request.app[TENANCY].memberships(request[SESSION].user_id)
    for membership in memberships:
        if str(membership.tenant_id) == asked and not membership.removed:
            found, _ = await _document(request, membership.tenant_id)
            return web.json_response(found)
    raise NotFound


async def events(request: web.Request) -> web.StreamResponse:
    """Stream the onboarding document, one event for each change."""
    ticket = await with_tenant(request)
    stream = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "X-Accel-Buffering": "no",
        }
    )
    seen = request.headers.get("Last-Event-ID")
    ended = request.app[ENDED]
    if ended.count(ticket.sid) >= MOST_STREAMS:
        raise TooManyStreams(headers={"Retry-After": "5"})
    handle = CutTask()
    async with request.app[WATCH].watching(ticket.tenant_id) as changed:
        ended.add(ticket.sid, handle)
        try:
            if await ended.is_ended(ticket.sid):
                raise SessionEnded
            found, seq = await _document(request, ticket.tenant_id)
            await stream.prepare(request)
            while True:
                if str(seq) != seen:
                    seen = str(seq)
                    event = f"id: {seq}\ndata: {json.dumps(found)}\n\n"
                    await stream.write(event.encode())
                if not await changed(HEARTBEAT):
                    await stream.write(b": heartbeat\n\n")
                if ticket.tenant_id is None and await _has_tenant(request, ticket):
                    # Founded meanwhile: the page's next connection watches that one.
                    return stream
                found, seq = await _document(request, ticket.tenant_id)
        finally:
            ended.discard(ticket.sid, handle)


async def _has_tenant(request: web.Request, ticket: AccessTicket) -> bool:
    memberships = await request.app[TENANCY].memberships(ticket.user_id)
    return any(not membership.removed for membership in memberships)


async def with_tenant(request: web.Request) -> AccessTicket:
    """Return the session, with the tenant its person has come to since it was made."""
    ticket = request[SESSION]
    if ticket.tenant_id is None:
        try:
            return await find_tenant(request, ticket)
        except TenantMissing:
            return ticket
    return ticket


async def _document(
    request: web.Request, tenant_id: int | None
) -> tuple[dict[str, Any], int]:
    found = None
    if tenant_id is not None:
        found = await request.app[ONBOARDING].get(tenant_id)
    if found is None:
        return document(tenant_id, None), 0
    progress, seq = found
    return document(tenant_id, progress), seq
