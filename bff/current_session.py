"""Find the session of a request, renew it near its end, and find its tenant.

What is renewed here is renewed before the first byte of an answer, and kept by its
cookies.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from bff.audit import actor_of
from bff.bypass import bypassed, is_bypass
from bff.config import Config
from bff.errors_access import (
    AuthUnavailable,
    NotSignedIn,
    SessionEnded,
    TenantMissing,
    TenantSuspended,
    TokensTooLarge,
)
from bff.identity.messages import Person
from bff.sessions.browser import CLOCK, COOKIES, forget, keep
from bff.sessions.cookies import CookieTooLarge
from bff.sessions.refresh import (
    WHILE_ALIVE,
    Refresher,
    RefreshLate,
    RefreshRefused,
    RefreshReplaced,
    RefreshStale,
    RefreshUnavailable,
)
from bff.sessions.revocation import ENDED
from bff.sessions.session import AccessTicket, Pair, RefreshTicket, with_tenant
from bff.sessions.standing import settled
from bff.sessions.store import SessionStore
from bff.telemetry import METRICS, SESSION_MARK, TENANT_MARK, about, mark_of
from bff.tenancy.store import TENANCY

if TYPE_CHECKING:
    from bff.sessions.session import Seat

CONFIG = web.AppKey("config", Config)
REFRESHER = web.AppKey("refresher", Refresher)
STORE = web.AppKey("session_store", SessionStore)
SESSION = web.RequestKey("session", AccessTicket)
# What a renewal within this request brought: the request's own cookie is spent then.
RENEWED = web.RequestKey("renewed", RefreshTicket)


async def current(request: web.Request) -> AccessTicket:
    """Return the live session of *request*, renewed when near its end.

    Raises:
        NotSignedIn: without session cookies, or with ones that do not open.
        SessionEnded: when the session is over; its cookies are cleared, unless
            another session took its place.
        AuthUnavailable: when it must be renewed and cannot be right now.
    """
    if (named := await bypassed(request, request.app[CONFIG])) is not None:
        _attach(request, named)
        return named
    cookies, now = request.app[COOKIES], request.app[CLOCK]()
    ticket = cookies.open_access(request.cookies)
    if ticket is None:
        forget(request)
        raise NotSignedIn
    await check_lives(request, ticket)
    if ticket.should_refresh(now):
        # Nobody waits long for what is not needed yet.
        soon = request.app[CLOCK]() + WHILE_ALIVE
        patience = None if ticket.is_expired(soon) else WHILE_ALIVE
        try:
            ticket = (await refreshed(request, ticket, patience)).access
        except AuthUnavailable:
            # While the old token lives the request simply goes on with it.
            if ticket.is_expired(request.app[CLOCK]()):
                raise
    _attach(request, ticket)
    return ticket


async def check_lives(request: web.Request, ticket: AccessTicket) -> None:
    """Refuse a session that is over.

    Where another took its place in the browser, the cookies stay: this answer may come
    after the one that set the new session's, under the same names.

    Raises:
        SessionEnded: when it is over.
    """
    ended = request.app[ENDED]
    over = ticket.is_over(request.app[CLOCK]())
    if await ended.is_ended(ticket.sid) or over:
        if not ended.was_replaced(ticket.sid):
            forget(request)
        raise SessionEnded


async def refreshed(
    request: web.Request, ticket: AccessTicket, patience: float | None = None
) -> Pair:
    """Return the next generation of the session, kept by the answer's cookies.

    *patience* is in seconds; without it, as long as a renewal may take.

    Raises:
        SessionEnded: when there is none; the cookies are cleared, unless another
            session took this one's place or they are merely old.
        AuthUnavailable: when nobody can say; the cookies stay.
        TokensTooLarge: when the new tokens do not fit into cookies.
    """
    if is_bypass(ticket):
        raise SessionEnded  # there is none to be renewed; a real one beside it stays
    outcomes = request.app[METRICS].refreshes
    refresh = request.app[COOKIES].open_refresh(request.cookies)
    if refresh is None or refresh.sid != ticket.sid or refresh.gen != ticket.gen:
        # Parts of two sessions, or half a set: nothing to be renewed with.
        forget(request)
        raise SessionEnded
    try:
        pair = await request.app[REFRESHER].next(ticket, refresh, patience=patience)
    except RefreshRefused as error:
        outcomes.labels("refused").inc()
        forget(request)
        raise SessionEnded from error
    except RefreshReplaced as error:
        outcomes.labels("replaced").inc()
        raise SessionEnded from error
    except RefreshStale as error:
        outcomes.labels("stale").inc()
        raise SessionEnded from error
    except RefreshLate as error:
        outcomes.labels("late").inc()
        raise AuthUnavailable(headers={"Retry-After": "5"}) from error
    except RefreshUnavailable as error:
        outcomes.labels("unavailable").inc()
        raise AuthUnavailable(headers={"Retry-After": "5"}) from error
    outcomes.labels("ok").inc()
    ended = request.app[ENDED]
    if pair.access.sid != ticket.sid:
        # In another tenant by now, under another id; that may have ended as well.
        ended.end(ticket.sid, replaced=True)
        if await ended.is_ended(pair.access.sid):
            raise SessionEnded
    _keep(request, pair)
    request[RENEWED] = pair.refresh
    return pair


async def find_tenant(request: web.Request, ticket: AccessTicket) -> AccessTicket:
    """Return *ticket* with the tenant its person has come to since it was made.

    Raises:
        TenantMissing: when there is none still.
        TenantSuspended: when there is, and it is suspended.
        SessionEnded: when *ticket* is older than what its session has come to.
        AuthUnavailable: when nobody can say what that is.
        TokensTooLarge: when the cookies would no longer fit.
    """
    if is_bypass(ticket):
        ticket = await current(request)
        if ticket.tenant_id is None:
            raise TenantMissing
        return ticket
    person = Person(
        iss=ticket.iss,
        sub=ticket.sub,
        email=ticket.email,
        email_verified=False,
        provider_sid=None,
        claimed_tenant=None,
        claimed_roles=(),
    )
    refresh = request.get(RENEWED) or request.app[COOKIES].open_refresh(request.cookies)
    if refresh is None or (refresh.sid, refresh.gen) != (ticket.sid, ticket.gen):
        raise TenantMissing
    seat = await asyncio.shield(settled(lambda: _seated(request, ticket, person)))
    if seat is None and RENEWED not in request:
        # The session has gone on without this ticket: so does the request.
        ticket = (await refreshed(request, ticket)).access
        _attach(request, ticket)
        if ticket.tenant_id is not None:
            return ticket
    if seat is None or seat.tenant_id is None:
        raise TenantSuspended if seat and seat.suspended else TenantMissing
    pair = with_tenant(Pair(ticket, refresh), seat.tenant_id, seat.roles, ticket.gen)
    _keep(request, pair)
    _attach(request, pair.access)
    return pair.access


async def _seated(
    request: web.Request, ticket: AccessTicket, person: Person
) -> Seat | None:
    """Find a tenant for a session that has none, and note it; None: it has one."""
    by = actor_of(request, ticket.user_id, ticket.email)
    seat = await request.app[TENANCY].resolve(person)
    if seat.tenant_id is None or await request.app[STORE].set_tenant(
        ticket, seat, by=by
    ):
        return seat
    return None


def _keep(request: web.Request, pair: Pair) -> None:
    try:
        keep(request, pair)
    except CookieTooLarge as error:
        raise TokensTooLarge from error


def _attach(request: web.Request, ticket: AccessTicket) -> None:
    request[SESSION] = ticket
    mark = request[SESSION_MARK] = mark_of(ticket.sid)
    marks = about.get()
    if marks is not None:
        marks["session"] = mark
    if ticket.tenant_id is not None:
        request[TENANT_MARK] = ticket.tenant_id
        if marks is not None:
            marks["tenant"] = ticket.tenant_id
