"""Turn the provider's tokens into a session of ours, whichever way they came."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from bff.audit import actor_of
from bff.current_session import CONFIG, STORE
from bff.errors_access import AuthUnavailable, TokensTooLarge
from bff.identity.keys import SignatureRefused
from bff.identity.messages import (
    ClaimsRefused,
    Person,
    ProviderUnavailable,
    Tokens,
)
from bff.identity.provider import Provider
from bff.sessions.browser import CHANGES, CLOCK, COOKIES, written
from bff.sessions.cookies import CookieTooLarge
from bff.sessions.revocation import ENDED
from bff.sessions.session import Pair, new_pair, new_sid
from bff.sessions.standing import settled
from bff.telemetry import METRICS, SESSION_MARK, mark_of
from bff.tenancy.store import TENANCY

if TYPE_CHECKING:
    from bff.audit import Actor

log = logging.getLogger(__name__)

PROVIDER = web.AppKey("provider", Provider)


async def start_session(request: web.Request, tokens: Tokens, way: str) -> Pair:
    """Make a new session of *tokens*, end the old one, and set the cookies.

    Raises:
        AuthUnavailable: when what came cannot be proven.
        TokensTooLarge: when the cookies would not fit.
    """
    person = await proven(request, tokens)
    # From here on nothing may be lost because the browser left.
    return await asyncio.shield(_make(request, person, tokens, way))


async def proven(request: web.Request, tokens: Tokens) -> Person:
    """Return whom *tokens* speak of, once proven.

    Raises:
        AuthUnavailable: when they do not hold, a fault of the set-up and not the
            person; or when the provider's keys cannot be had.
    """
    try:
        return await request.app[PROVIDER].verify_access(tokens.access_token)
    except (SignatureRefused, ClaimsRefused) as error:
        log.error("the provider's own token was refused: %s", error)  # noqa: TRY400 - the kind is enough
        raise AuthUnavailable(headers={"Retry-After": "10"}) from error
    except ProviderUnavailable as error:
        raise AuthUnavailable(headers={"Retry-After": "10"}) from error


async def _make(request: web.Request, person: Person, tokens: Tokens, way: str) -> Pair:
    app = request.app
    by = actor_of(request, person.user_id, person.email)
    pair, cookies = await settled(lambda: _begun(request, person, tokens, way, by))
    old = app[COOKIES].open_access(request.cookies)
    if old is not None:
        # Whoever signs in over somebody else's session is no business of their tenant.
        ends = by if old.user_id == person.user_id else actor_of(request)
        # Replaced, not just ended: other tabs' refusals must not clear these cookies.
        await app[STORE].end(
            old.user_id, old.sid, "signed_in_again", replaced=True, by=ends
        )
        app[ENDED].end(old.sid, replaced=True)
    # Last: an answer that tells of a failure must not carry a session.
    request[CHANGES] = cookies
    request[SESSION_MARK] = mark_of(pair.access.sid)
    app[METRICS].sign_ins.labels(way, "ok").inc()
    return pair


async def _begun(
    request: web.Request, person: Person, tokens: Tokens, way: str, by: Actor
) -> tuple[Pair, list[str]]:
    """Write the row of a new session and return what its browser gets."""
    app = request.app
    now = app[CLOCK]()
    seat = await app[TENANCY].resolve(person)
    pair = new_pair(
        sid=new_sid(),
        gen=1,
        person=person,
        tokens=tokens,
        tenant_id=seat.tenant_id,
        roles=seat.roles,
        session_exp=now + app[CONFIG].session.lifetime,
        now=now,
        sso=way == "sso",
    )
    try:
        cookies = written(request, pair)
    except CookieTooLarge as error:
        raise TokensTooLarge from error
    device = request.headers.get("User-Agent", "")
    await app[STORE].create(pair, person, seat, way=way, device=device, by=by)
    return pair, cookies
