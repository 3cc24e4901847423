"""Make audit entries of what a request does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff.audit import actor_of
from bff.current_session import SESSION

if TYPE_CHECKING:
    from aiohttp import web

    from bff.audit import Actor, Entry


def caller(request: web.Request) -> Actor:
    """Return the signed-in caller of *request*."""
    ticket = request[SESSION]
    return actor_of(request, ticket.user_id, ticket.email)


def entry_of(
    request: web.Request, action: str, subject: str = "", **detail: object
) -> Entry:
    """Return what the signed-in caller of *request* does for their tenant."""
    return caller(request).did(action, request[SESSION].tenant_id, subject, **detail)
