"""List a tenant's members, change their roles, remove them, end their sessions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bff.asking import a_number, administered
from bff.auditing import caller
from bff.body import Body, read_body
from bff.current_session import SESSION, STORE
from bff.errors import NotFound
from bff.members.routes import Roles  # noqa: TC001 - pydantic reads it
from bff.sessions.browser import forget
from bff.sessions.revocation import ENDED
from bff.tenancy.members import MEMBERS
from bff.tenancy.membership import ranked
from bff.tenancy.store import TENANCY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from bff.tenancy.members import Member

DEFAULT, MOST = 50, 200


class Change(Body):
    """What a member is to be."""

    roles: Roles


async def members(request: web.Request) -> web.Response:
    """List the members by e-mail, removed ones only when asked for, in pages."""
    tenant_id = await administered(request)
    limit = a_number(request, "limit", DEFAULT, MOST)
    # One more tells whether there is another page.
    found = await request.app[MEMBERS].page(
        tenant_id,
        request[SESSION].iss,
        after=request.query.get("after"),
        limit=limit + 1,
        removed=request.query.get("removed") == "1",
    )
    shown = found[:limit]
    more = shown[-1].sub if len(found) > limit else None
    return web.json_response({"members": list(map(_written, shown)), "next": more})


async def change_member(request: web.Request) -> web.Response:
    """Give a member other roles and end their sessions in this tenant."""
    tenant_id = await administered(request)
    body = await read_body(request, Change)
    changed = await asyncio.shield(
        request.app[MEMBERS].set_roles(
            request[SESSION],
            tenant_id,
            request.match_info["user"],
            ranked(body.roles),
            by=caller(request),
        )
    )
    _cut(request, changed.ended)
    return web.json_response(_written(changed.member))


async def remove_member(request: web.Request) -> web.Response:
    """Remove a member for good and end their sessions in this tenant."""
    tenant_id = await administered(request)
    changed = await asyncio.shield(
        request.app[MEMBERS].remove(
            request[SESSION],
            tenant_id,
            request.match_info["user"],
            by=caller(request),
        )
    )
    _cut(request, changed.ended)
    return web.Response(status=204)


async def end_member_sessions(request: web.Request) -> web.Response:
    """End a member's sessions in this tenant, live streams included."""
    ticket, tenant_id = request[SESSION], await administered(request)
    sub = request.match_info["user"]
    if not await request.app[TENANCY].has_known(tenant_id, ticket.iss, sub):
        raise NotFound
    ended = await asyncio.shield(
        request.app[STORE].end_of_member(
            tenant_id, ticket.iss, sub, "ended_by_admin", by=caller(request)
        )
    )
    _cut(request, ended)
    return web.Response(status=204)


def _cut(request: web.Request, ended: Iterable[UUID]) -> None:
    """Cut here at once what every replica hears of; one's own cookies go too."""
    for sid in ended:
        request.app[ENDED].end(sid)
        if sid == request[SESSION].sid:
            forget(request)


def _written(member: Member) -> dict[str, Any]:
    removed_at = member.removed_at
    return {
        "user": member.sub,
        "email": member.email or None,
        "roles": member.roles,
        "joined_at": member.joined_at.isoformat(timespec="seconds"),
        "removed_at": removed_at and removed_at.isoformat(timespec="seconds"),
    }
