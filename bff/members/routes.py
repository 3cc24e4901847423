"""Invite people into a tenant, take that back, join one."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from bff.asking import administered
from bff.auditing import caller
from bff.body import Body, Email, read_body
from bff.bypass import is_bypass
from bff.current_session import CONFIG, RENEWED, SESSION, refreshed
from bff.database import DatabaseUnavailable
from bff.errors import NotFound, Unavailable
from bff.errors_access import AuthUnavailable, SessionEnded, TokensTooLarge
from bff.errors_workspace import InviteForAnother, InviteNotFound
from bff.moving import arrival, moved
from bff.sessions.session import Seat
from bff.tenancy.invites import INVITES, Guest
from bff.tenancy.membership import ranked, united
from bff.tenancy.store import TENANCY

if TYPE_CHECKING:
    from bff.sessions.session import AccessTicket
    from bff.tenancy.invites import Joined

TOKEN_BYTES = 32
JOINED_ALREADY = (
    "You have joined the workspace, but could not be taken there. Sign in again."
)


Roles = Annotated[
    tuple[Literal["viewer", "ops", "admin"], ...], Field(min_length=1, max_length=3)
]


class Invite(Body):
    """What an invitation is made of."""

    email: Email | None = None
    roles: Roles = ("viewer",)


class Redemption(Body):
    """What /invites/redeem takes."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


async def invite(request: web.Request) -> web.Response:
    """Make a link that brings one person into the tenant; it is shown once."""
    ticket, tenant_id = request[SESSION], await administered(request)
    body = await read_body(request, Invite)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    roles = ranked(body.roles)
    made = await request.app[INVITES].create(
        tenant_id,
        ticket.user_id,
        token,
        email=body.email or "",
        roles=roles,
        by=caller(request),
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
    found = await request.app[INVITES].open_of(await administered(request))
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
    tenant_id = await administered(request)
    try:
        invite_id = UUID(request.match_info["invite_id"])
    except ValueError as error:
        raise NotFound from error
    by = caller(request)
    if not await request.app[INVITES].revoke(tenant_id, invite_id, by=by):
        raise NotFound
    return web.Response(status=204)


async def redeem(request: web.Request) -> web.Response:
    """Join the tenant of an invitation and go on there, in a new session."""
    body = await read_body(request, Redemption)
    # What has begun is finished: an invitation works once.
    ticket = await asyncio.shield(_redeem(request, body.token))
    return await arrival(request, ticket)


async def _redeem(request: web.Request, token: str) -> AccessTicket:
    before = request[SESSION]
    if is_bypass(before):
        raise SessionEnded  # no session to go on in: nothing is spent
    joined = await _joined(request, token)
    # Roles of the claim, where it names this tenant, come with the next renewal; what
    # somebody was before a removal does not come back.
    is_here = joined.stayed and before.tenant_id == joined.tenant_id
    claimed = before.roles if is_here else ()

    async def seat_of(_: AccessTicket) -> Seat:
        memberships = await request.app[TENANCY].memberships(before.user_id)
        for one in memberships:
            if one.tenant_id == joined.tenant_id and not one.removed:
                return Seat(one.tenant_id, united(one.roles, claimed), one.roles)
        raise InviteNotFound  # removed again just now

    try:
        return await moved(request, seat_of, "joined_by_invitation")
    # Whoever tries again hears that the invitation has been used.
    except (AuthUnavailable, SessionEnded, TokensTooLarge) as error:
        raise type(error)(JOINED_ALREADY, headers=error.headers) from error
    except DatabaseUnavailable as error:
        raise Unavailable(JOINED_ALREADY) from error


async def _joined(request: web.Request, token: str) -> Joined:
    store, ticket = request.app[INVITES], request[SESSION]
    try:
        return await store.redeem(token, _guest(ticket), by=caller(request))
    except InviteForAnother:
        if ticket.email_verified or RENEWED in request:
            raise
        # The address may have been proven since these tokens were made.
        request[SESSION] = (await refreshed(request, ticket)).access
        guest = _guest(request[SESSION])
        return await store.redeem(token, guest, by=caller(request))


def _guest(ticket: AccessTicket) -> Guest:
    return Guest(ticket.iss, ticket.sub, ticket.email, ticket.email_verified)
