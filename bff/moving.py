"""Move a session to another tenant: under a new id, with the same tokens."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from bff.auditing import caller
from bff.current_session import RENEWED, SESSION, STORE, refreshed
from bff.database import DatabaseUnavailable
from bff.errors_access import AuthUnavailable, TokensTooLarge
from bff.sessions.browser import CHANGES, COOKIES, written
from bff.sessions.cookies import CookieTooLarge
from bff.sessions.revocation import ENDED
from bff.sessions.session import Pair, new_sid
from bff.sessions.standing import settled
from bff.telemetry import SESSION_MARK, TENANT_MARK, mark_of
from bff.tenancy.store import TENANCY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from bff.sessions.session import AccessTicket, Seat

log = logging.getLogger(__name__)


async def moved(
    request: web.Request,
    seat_of: Callable[[AccessTicket], Awaitable[Seat]],
    reason: str,
) -> AccessTicket:
    """Return the session that acts for another tenant; the one of before has ended.

    *seat_of* says which tenant, and in which roles; it is asked again when a membership
    or the tokens change meanwhile. Call this in a task that no leaving browser cancels.

    Raises:
        SessionEnded: when the session is over.
        AuthUnavailable: when its tokens are being renewed and nobody can say how.
        TokensTooLarge: when the cookies would not fit.
        RateLimited: when the person has switched too often.
    """
    app, old = request.app, request[SESSION]
    refresh = request.get(RENEWED) or app[COOKIES].open_refresh(request.cookies)
    if refresh is None or (refresh.sid, refresh.gen) != (old.sid, old.gen):
        pair = await refreshed(request, old)  # half a set of cookies ends here
        old, refresh = pair.access, pair.refresh
    sid = new_sid()
    while True:
        written_as = partial(
            _replaced, request, Pair(old, refresh), sid, seat_of, reason
        )
        access, cookies = await settled(written_as)
        if access is not None:
            break
        if RENEWED in request:
            raise AuthUnavailable(headers={"Retry-After": "1"})
        # Another request renews the tokens just now: move with those it brings.
        successor = await refreshed(request, old)
        old, refresh = successor.access, successor.refresh
    app[ENDED].end(old.sid, replaced=True)
    # Last: an answer that tells of a failure must not carry a session.
    request[CHANGES] = cookies
    request[SESSION] = access
    request[SESSION_MARK] = mark_of(sid)
    if access.tenant_id is not None:
        request[TENANT_MARK] = access.tenant_id
    return access


async def _replaced(
    request: web.Request,
    old: Pair,
    sid: UUID,
    seat_of: Callable[[AccessTicket], Awaitable[Seat]],
    reason: str,
) -> tuple[AccessTicket | None, list[str]]:
    """Put a session of *sid* in place of *old*; None while its tokens are renewed."""
    seat = await seat_of(old.access)
    access = replace(
        old.access, sid=sid, gen=1, tenant_id=seat.tenant_id, roles=seat.roles
    )
    try:
        cookies = written(request, Pair(access, replace(old.refresh, sid=sid, gen=1)))
    except CookieTooLarge as error:
        raise TokensTooLarge from error
    done = await request.app[STORE].replace(
        old.access, access, seat, reason, by=caller(request)
    )
    return (access if done else None), cookies


async def arrival(request: web.Request, ticket: AccessTicket) -> web.Response:
    """Answer with the session that *request* has moved to, as signing in does."""
    try:
        status = await request.app[TENANCY].status(ticket.tenant_id)
    except DatabaseUnavailable:
        # They are in, and their cookies say so; the page asks again for this.
        log.warning("how far a joined tenant is could not be read")
        status = None
    return web.json_response(
        {
            "email": ticket.email,
            "tenant_id": ticket.tenant_id,
            "roles": ticket.roles,
            "tenant_status": status,
        }
    )
