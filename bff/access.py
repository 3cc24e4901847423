"""Say who may use a route, and stand in front of it.

The order is origin, session, tenant, role. A refused navigation goes to the sign-in
page, a refused fetch gets 401.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from bff.current_session import CONFIG, current, find_tenant
from bff.errors_access import CrossSiteRefused, NotSignedIn, RoleMissing, SessionEnded
from bff.origin import Gate, passes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bff.config import Config

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Access:
    """What a route asks of its caller."""

    session: bool = False
    tenant: bool = False
    roles: frozenset[str] = frozenset()
    gate: Gate = Gate.UNSAFE_METHODS
    # A page: a stranger's browser is sent to sign in instead of refused.
    page: bool = False
    # Cookies belong to one host: navigations by another of our names move there.
    canonical: bool = False


ANYONE = Access()
SIGNED_IN = Access(session=True)
TENANT = Access(session=True, tenant=True)
GRAPH = Access(session=True, tenant=True, gate=Gate.EVERY_REQUEST)
PAGE = Access(session=True, page=True, canonical=True)
OPEN_PAGE = Access(canonical=True)
PROBE = Access(gate=Gate.OPEN)


def role(*roles: str) -> Access:
    """Return the access of those who have one of *roles* in their tenant."""
    return Access(session=True, tenant=True, roles=frozenset(roles))


def guarded(handler: Handler, access: Access) -> Handler:
    """Return *handler* behind *access*."""

    @wraps(handler)
    async def guard(request: web.Request) -> web.StreamResponse:
        config = request.app[CONFIG]
        if access.canonical and (elsewhere := _canonical_url(request, config)):
            return web.Response(status=307, headers={"Location": elsewhere})
        if not passes(
            request.method,
            request.headers,
            config.trusted_origins,
            access.gate,
            required_header=config.csrf.require_header,
        ):
            raise CrossSiteRefused
        if access.session:
            try:
                ticket = await current(request)
            except (NotSignedIn, SessionEnded):
                if access.page and is_navigation(request):
                    return _to_sign_in(request)
                raise
            if access.tenant and ticket.tenant_id is None:
                ticket = await find_tenant(request, ticket)
            if access.roles and not access.roles.intersection(ticket.roles):
                raise RoleMissing
        return await handler(request)

    return guard


def is_navigation(request: web.Request) -> bool:
    """Tell whether a browser is opening a page, rather than a script fetching."""
    mode = request.headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return request.method == "GET" and mode == "navigate"
    return request.method == "GET" and "text/html" in request.headers.get("Accept", "")


def _canonical_url(request: web.Request, config: Config) -> str | None:
    home = config.canonical_origin
    if request.host.lower() == home.partition("://")[2] or not is_navigation(request):
        return None
    return home + request.path_qs


def _to_sign_in(request: web.Request) -> web.Response:
    target = f"/login?return_to={quote(request.path_qs, safe='/')}"
    return web.Response(status=303, headers={"Location": target})
