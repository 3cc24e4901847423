"""Let people of several tenants see them, and go on in another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from aiohttp import web
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from bff.auth.signing_in import PROVIDER
from bff.body import Body, read_body
from bff.bypass import is_bypass, person_of
from bff.current_session import SESSION, STORE
from bff.errors import NotFound
from bff.errors_access import AuthUnavailable
from bff.identity.keys import SignatureRefused
from bff.identity.messages import (
    ClaimsRefused,
    Person,
    ProviderUnavailable,
    read_tenant,
)
from bff.moving import arrival, moved
from bff.sessions.moves import BY_HAND
from bff.sessions.standing import settled
from bff.tenancy.store import TENANCY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bff.sessions.session import AccessTicket, Seat


def _a_number(value: object) -> object:
    """Take an integer, or digits in a string, as the claim is taken."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value) if value.bit_length() <= BITS else "0"
    raise PydanticCustomError("tenant_id", "must be a whole number, or its digits")


# More than any tenant's number has; nobody writes out what is longer.
BITS = 64


class Switch(Body):
    """What /auth/tenant takes."""

    tenant_id: Annotated[str, BeforeValidator(_a_number)]


async def tenants(request: web.Request) -> web.Response:
    """List the tenants that the caller may switch to, by name."""
    ticket = request[SESSION]
    found = await request.app[TENANCY].workspaces(await _person(request, ticket))
    return web.json_response(
        {
            "tenants": [
                {
                    "tenant_id": one.tenant_id,
                    "name": one.name,
                    "roles": one.roles,
                    "current": one.tenant_id == ticket.tenant_id,
                }
                for one in found
            ]
        }
    )


async def switch(request: web.Request) -> web.Response:
    """Go on in another of one's own tenants, in a new session that stays there."""
    body = await read_body(request, Switch)
    tenant_id = read_tenant(body.tenant_id)
    if tenant_id is None:
        raise NotFound  # no tenant has such a number

    async def seat_of(ticket: AccessTicket) -> Seat:
        person = await _person(request, ticket)
        seat = await request.app[TENANCY].seat_in(person, tenant_id)
        if seat is None:
            raise NotFound
        return seat

    here = await settled(lambda: _stayed(request, tenant_id, seat_of))
    if here is not None:
        return await arrival(request, here)
    # What has begun is finished: half a move would be a session that nobody has.
    ticket = await asyncio.shield(moved(request, seat_of, BY_HAND))
    return await arrival(request, ticket)


async def _stayed(
    request: web.Request,
    tenant_id: int,
    seat_of: Callable[[AccessTicket], Awaitable[Seat]],
) -> AccessTicket | None:
    """Stay where the session is anyhow, chosen from now on; None: it must move."""
    ticket = request[SESSION]
    if ticket.tenant_id != tenant_id:
        return None
    seat = await seat_of(ticket)
    if set(seat.roles) != set(ticket.roles):
        return None
    return ticket if await request.app[STORE].stay(ticket, seat) else None


async def _person(request: web.Request, ticket: AccessTicket) -> Person:
    """Return whom the session's token speaks of: its claims are in no ticket.

    Raises:
        AuthUnavailable: when it cannot be proven now; the next renewal brings another.
    """
    if is_bypass(ticket):
        return person_of(ticket)
    try:
        return await request.app[PROVIDER].verify_access(ticket.access_token)
    except (SignatureRefused, ClaimsRefused, ProviderUnavailable) as error:
        raise AuthUnavailable(headers={"Retry-After": "10"}) from error
