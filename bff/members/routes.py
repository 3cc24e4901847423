"""Invite people into a tenant, take that back, join one, end a member's sessions."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple
from uuid import UUID

from aiohttp import web
from pydantic import Field

from bff.access import CONFIG, RENEWED, SESSION, STORE, refreshed
from bff.body import Body, Email, read_body
from bff.database import DatabaseUnavailable
from bff.errors import (
    AuthUnavailable,
    InviteForAnother,
    NotFound,
    SessionEnded,
    TokensTooLarge,
    Unavailable,
)
from bff.moving import moved
from bff.sessions.browser import forget
from bff.sessions.revocation import ENDED
from bff.tenancy.invites import INVITES, Guest
from bff.tenancy.membership import ranked, united
from bff.tenancy.store import TENANCY

if TYPE_CHECKING:
    from bff.sessions.session import AccessTicket
    from bff.tenancy.invites import Joined

log = logging.getLogger(__name__)

TOKEN_BYTES = 32
JOINED_ALREADY = (
    "You have joined the workspace, but could not be taken there. Sign in again."
)


class Invite(Body):
    """What an invitation is made of."""

    email: Email | None = None
    roles: Annotated[
        tuple[Literal["viewer", "ops", "admin"], ...], Field(min_length=1, max_length=3)
    ] = ("viewer",)


class Redemption(Body):
    """What /invites/redeem takes."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


class Arrival(NamedTuple):
    """A session in the tenant that was joined, and how far that tenant is."""

    ticket: AccessTicket
    status: str | None


async def invite(request: web.Request) -> web.Response:
    """Make a link that brings one person into the tenant; it is shown once."""
    ticket, tenant_id = request[SESSION], _own_tenant(request)
    body = await read_body(request, Invite)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    roles = ranked(body.roles)
    made = await request.app[INVITES].create(
        tenant_id, ticket.user_id, token, email=body.email or "", roles=roles
    )
    # In the fragment: no server, log or Referer sees the token of a link.
    link = f"{request.app[CONFIG].canonical_origin}/invite#{token}"
    return web.json_response(
        {
            "invite_id": str(made.invite_id),
            "invite_url": link,
            "expires_at": made.expires_at.isoformat(timespec="seconds"),
            "roles": roles,
            "email": body.email,
        },
        status=201,
    )


async def invites(request: web.Request) -> web.Response:
    """List the invitations that can be redeemed, the newest first; without links."""
    found = await request.app[INVITES].open_of(_own_tenant(request))
    return web.json_response(
        {
            "invites": [
                {
                    "invite_id": str(one.invite_id),
                    "email": one.email or None,
                    "roles": one.roles,
                    "invited_by": one.invited_by or None,
                    "created_at": one.created_at.isoformat(timespec="seconds"),
                    "expires_at": one.expires_at.isoformat(timespec="seconds"),
                }
                for one in found
            ]
        }
    )


async def revoke_invite(request: web.Request) -> web.Response:
    """End an invitation before anybody redeems it."""
    tenant_id = _own_tenant(request)
    try:
        invite_id = UUID(request.match_info["invite_id"])
    except ValueError as error:
        raise NotFound from error
    if not await request.app[INVITES].revoke(tenant_id, invite_id):
        raise NotFound
    return web.Response(status=204)


async def redeem(request: web.Request) -> web.Response:
    """Join the tenant of an invitation and go on there, in a new session."""
    body = await read_body(request, Redemption)
    # What has begun is finished: an invitation works once.
    ticket, status = await asyncio.shield(_redeem(request, body.token))
    return web.json_response(
        {
            "email": ticket.email,
            "tenant_id": ticket.tenant_id,
            "roles": ticket.roles,
            "tenant_status": status,
        }
    )


async def end_member_sessions(request: web.Request) -> web.Response:
    """End a member's sessions in this tenant, live streams included."""
    ticket, tenant_id = request[SESSION], _own_tenant(request)
    sub = request.match_info["user"]
    if not await request.app[TENANCY].has_known(tenant_id, ticket.iss, sub):
        raise NotFound
    ended = await asyncio.shield(
        request.app[STORE].end_of_member(tenant_id, ticket.iss, sub, "ended_by_admin")
    )
    for sid in ended:
        request.app[ENDED].end(sid)
    if ticket.sid in ended:
        forget(request)
    return web.Response(status=204)


async def _redeem(request: web.Request, token: str) -> Arrival:
    joined = await _joined(request, token)
    ticket = request[SESSION]
    # Roles of the claim, where it names this tenant, come with the next renewal; what
    # somebody was before a removal does not come back.
    is_here = joined.stayed and ticket.tenant_id == joined.tenant_id
    roles = united(joined.roles, ticket.roles if is_here else ())
    try:
        arrived = await moved(request, joined.tenant_id, roles, "joined_by_invitation")
    # Whoever tries again hears that the invitation has been used.
    except (AuthUnavailable, SessionEnded, TokensTooLarge) as error:
        raise type(error)(JOINED_ALREADY, headers=error.headers) from error
    except DatabaseUnavailable as error:
        raise Unavailable(JOINED_ALREADY) from error
    return Arrival(arrived, await _status(request, joined.tenant_id))


async def _status(request: web.Request, tenant_id: int) -> str | None:
    try:
        return await request.app[TENANCY].status(tenant_id)
    except DatabaseUnavailable:
        # They are in, and their cookies say so; the page asks again for this.
        log.warning("how far a joined tenant is could not be read")
        return None


async def _joined(request: web.Request, token: str) -> Joined:
    store, ticket = request.app[INVITES], request[SESSION]
    try:
        return await store.redeem(token, _guest(ticket))
    except InviteForAnother:
        if ticket.email_verified or RENEWED in request:
            raise
        # The address may have been proven since these tokens were made.
        request[SESSION] = (await refreshed(request, ticket)).access
        return await store.redeem(token, _guest(request[SESSION]))


def _guest(ticket: AccessTicket) -> Guest:
    return Guest(ticket.iss, ticket.sub, ticket.email, ticket.email_verified)


def _own_tenant(request: web.Request) -> int:
    tenant_id = request[SESSION].tenant_id
    if tenant_id is None or request.match_info["tenant_id"] != str(tenant_id):
        raise NotFound
    return tenant_id
