"""Move a session to another tenant: under a new id, with the same tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bff.access import RENEWED, SESSION, STORE, refreshed
from bff.errors import AuthUnavailable, TokensTooLarge
from bff.sessions.browser import CHANGES, COOKIES, written
from bff.sessions.cookies import CookieTooLarge
from bff.sessions.revocation import ENDED
from bff.sessions.session import Pair, new_sid
from bff.telemetry import SESSION_MARK, TENANT_MARK, mark_of

if TYPE_CHECKING:
    from aiohttp import web

    from bff.sessions.session import AccessTicket


async def moved(
    request: web.Request, tenant_id: int, roles: tuple[str, ...], reason: str
) -> AccessTicket:
    """Return the session that acts for *tenant_id*; the one of before has ended.

    Call it in a task that no leaving browser cancels.

    Raises:
        SessionEnded: when the session is over.
        AuthUnavailable: when its tokens are being renewed and nobody can say how.
        TokensTooLarge: when the cookies would not fit.
    """
    app, old = request.app, request[SESSION]
    refresh = request.get(RENEWED) or app[COOKIES].open_refresh(request.cookies)
    if refresh is None or (refresh.sid, refresh.gen) != (old.sid, old.gen):
        pair = await refreshed(request, old)  # half a set of cookies ends here
        old, refresh = pair.access, pair.refresh
    sid = new_sid()
    while True:
        access = replace(old, sid=sid, gen=1, tenant_id=tenant_id, roles=roles)
        pair = Pair(access, replace(refresh, sid=sid, gen=1))
        try:
            cookies = written(request, pair)
        except CookieTooLarge as error:
            raise TokensTooLarge from error
        if await app[STORE].replace(old, access, reason):
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
    request[TENANT_MARK] = tenant_id
    return access
