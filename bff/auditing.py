"""Make audit entries of what a request does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff.access import SESSION
from bff.audit import Entry
from bff.client_address import address_of
from bff.telemetry import REQUEST_ID

if TYPE_CHECKING:
    from aiohttp import web


def entry_of(
    request: web.Request, action: str, subject: str = "", **detail: object
) -> Entry:
    """Return what the signed-in caller of *request* does for their tenant."""
    ticket = request[SESSION]
    return Entry(
        action,
        ticket.tenant_id,
        actor=ticket.user_id,
        actor_email=ticket.email,
        subject=subject,
        detail=detail,
        address=address_of(request),
        request_id=request.get(REQUEST_ID, ""),
    )
