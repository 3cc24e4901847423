"""Read of a request what the routes of a tenant have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff.access import SESSION
from bff.errors import BadRequest, NotFound

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
