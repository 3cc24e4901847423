"""Read of a request what the routes of a tenant have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff.bypass import is_bypass
from bff.current_session import SESSION, STORE
from bff.errors import BadRequest, NotFound
from bff.errors_access import SessionEnded

if TYPE_CHECKING:
    from aiohttp import web


def own_tenant(request: web.Request) -> int:
    """Return the tenant in the path, which is the caller's own.

    Raises:
        NotFound: for another, whether there is one or not.
    """
    tenant_id = request[SESSION].tenant_id
    if tenant_id is None or request.match_info["tenant_id"] != str(tenant_id):
        raise NotFound
    return tenant_id


async def administered(request: web.Request) -> int:
    """Return the tenant in the path, for which the caller's session acts this moment.

    Raises:
        NotFound: for another tenant, whether there is one or not.
        SessionEnded: when the session is over, or acts for another by now.
    """
    own_tenant(request)
    return await acting(request)


async def acting(request: web.Request) -> int:
    """Return the caller's tenant, for which their session acts this moment.

    A ticket may be older than what has become of its session, and unheard of here:
    whoever acts on people is asked for in the database each time.

    Raises:
        NotFound: without a tenant.
        SessionEnded: when the session is over, or acts for another by now.
    """
    ticket = request[SESSION]
    if ticket.tenant_id is None:  # the route's access has seen to it
        raise NotFound
    if not is_bypass(ticket) and not await request.app[STORE].acts(ticket):
        raise SessionEnded
    return ticket.tenant_id


def a_number(request: web.Request, name: str, default: int, most: int) -> int:
    """Return the query's number *name*, from 1 to *most*.

    Raises:
        BadRequest: when it is something else.
    """
    text = request.query.get(name, str(default))
    short = len(text) <= len(str(most)) and text.isascii() and text.isdigit()
    if not (short and 1 <= int(text) <= most):
        raise BadRequest(f"{name} must be a number from 1 to {most}.")
    return int(text)
