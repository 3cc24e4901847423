"""Take who asks from headers, on a developer's machine: `[dev] bypass`.

X-User-Email, X-User-Roles and X-Tenant-ID stand in for the claims of a token, and go
the way of claims: a membership is made, tombstones and suspended tenants count. Nobody
is anybody by default: what a browser sends unasked (pages, images, a stranger's form)
has no such headers, and a script that adds one must first be let by the CORS rules.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from uuid import UUID

from bff.database import DATABASE
from bff.errors import BadRequest
from bff.errors_access import CrossSiteRefused
from bff.identity.messages import ROLES, Person
from bff.origin import Gate, passes
from bff.sessions.browser import CLOCK
from bff.sessions.session import LONGEST_ACCESS, AccessTicket, Seat
from bff.tenancy.store import Tenancy

if TYPE_CHECKING:
    from aiohttp import web

    from bff.config import Config

# No provider's: whoever comes this way is never somebody who can sign in.
ISSUER = "urn:bff:dev-bypass"
EMAIL, USER_ROLES, TENANT = "X-User-Email", "X-User-Roles", "X-Tenant-ID"
# What tunnels and proxies add (RFC 7239; RFC 9110, 7.6.3), beside X-Forwarded-…
PROXIED = {"forwarded", "via", "x-real-ip"}
# 254 characters are what a mail server takes (RFC 5321, 4.5.3.1.3).
_ADDRESS = re.compile(r"(?=.{3,254}\Z)[!-?A-~]+@[!-?A-~]+", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


async def bypassed(request: web.Request, config: Config) -> AccessTicket | None:
    """Return whom the headers of *request* name, None where the sign-in decides.

    Raises:
        CrossSiteRefused: when a page of another site asks, whatever the method, or
            somebody through a proxy, which may have made the Host ours.
        BadRequest: when the headers name nobody who could be.
    """
    if not config.lets_bypass or EMAIL not in request.headers:
        return None
    names = {name.lower() for name in request.headers}
    if names & PROXIED or any(name.startswith("x-forwarded-") for name in names):
        raise CrossSiteRefused
    if not passes(
        request.method,
        request.headers,
        config.trusted_origins,
        Gate.EVERY_REQUEST,
        required_header=config.csrf.require_header,
    ):
        raise CrossSiteRefused
    person = _person(request, config.dev.default_tenant_id)
    # Trusted whatever `tenancy.claim` says of tokens: nobody else says it here.
    seat = await Tenancy(request.app[DATABASE], "trust").resolve(person)
    if person.claimed_tenant not in {None, seat.tenant_id}:
        # A claim falls back to another tenant; what was named for one request does not.
        seat = Seat(None, suspended=seat.suspended)
    now = request.app[CLOCK]()
    return AccessTicket(
        sid=_sid(person, seat.tenant_id),
        gen=0,
        iss=person.iss,
        sub=person.sub,
        email=person.email,
        email_verified=person.email_verified,
        tenant_id=seat.tenant_id,
        roles=seat.roles,
        access_token="",
        access_from=now,
        access_exp=now + LONGEST_ACCESS,
        session_exp=now + LONGEST_ACCESS,
    )


def is_bypass(ticket: AccessTicket) -> bool:
    """Tell whether *ticket* was made of headers: it has no row, token or cookie."""
    return ticket.iss == ISSUER


def person_of(ticket: AccessTicket) -> Person:
    """Return whom a ticket speaks of that was made of headers."""
    return Person(
        iss=ticket.iss,
        sub=ticket.sub,
        email=ticket.email,
        email_verified=ticket.email_verified,
        provider_sid=None,
        claimed_tenant=ticket.tenant_id,
        claimed_roles=ticket.roles,
    )


def _person(request: web.Request, default_tenant: int | None) -> Person:
    email = _only(request, EMAIL)
    if _ADDRESS.fullmatch(email) is None:
        raise BadRequest(f"{EMAIL} must be an e-mail address.")
    tenant = _only(request, TENANT)
    if tenant and _NUMBER.fullmatch(tenant) is None:
        raise BadRequest(f"{TENANT} must be the number of a tenant.")
    roles = [role.strip() for role in _only(request, USER_ROLES).split(",")]
    if unknown := set(roles) - {*ROLES, ""}:
        raise BadRequest(
            f"{USER_ROLES} has {len(unknown)} unknown; there are {', '.join(ROLES)}."
        )
    return Person(
        iss=ISSUER,
        sub=email.lower(),
        email=email,
        email_verified=True,
        provider_sid=None,
        claimed_tenant=int(tenant) if tenant else default_tenant,
        claimed_roles=tuple(role for role in roles if role),
    )


def _only(request: web.Request, name: str) -> str:
    found = request.headers.getall(name, [])
    if len(found) > 1:
        raise BadRequest(f"{name} must be sent once.")
    return found[0].strip() if found else ""


def _sid(person: Person, tenant_id: int | None) -> UUID:
    """Return one id for all that a person does in a tenant: limits go by it."""
    digest = hashlib.sha256(f"{person.user_id} {tenant_id}".encode()).digest()
    return UUID(bytes=digest[:16])
