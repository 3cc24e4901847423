"""Show a tenant's audit log to its admins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bff.asking import a_number, administered
from bff.audit import NEWEST, page
from bff.database import DATABASE
from bff.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT, MOST = 50, 200
ACTION = re.compile(r"[a-z_.]{0,64}")


async def audit(request: web.Request) -> web.Response:
    """List what was done in the tenant, the newest first, in pages."""
    tenant_id = await administered(request)
    limit = a_number(request, "limit", DEFAULT, MOST)
    before = a_number(request, "before", NEWEST, NEWEST)
    action = request.query.get("action", "")
    if not ACTION.fullmatch(action):
        raise BadRequest("action is how an action's name begins, such as member.")
    async with request.app[DATABASE].tenant_transaction(tenant_id) as connection:
        # One more tells whether there is another page.
        found = await page(
            connection, tenant_id, before=before, action=action, limit=limit + 1
        )
    shown = found[:limit]
    more = shown[-1]["audit_id"] if len(found) > limit else None
    return web.json_response({"entries": list(map(_written, shown)), "next": more})


def _written(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "audit_id": row["audit_id"],
        "at": row["at"].isoformat(timespec="milliseconds"),
        "action": row["action"],
        # The person's `sub`, as in the list of members; null for the system itself.
        "actor": row["actor"].partition(" ")[2] or None,
        "actor_email": row["actor_email"] or None,
        "subject": row["subject"] or None,
        "detail": row["detail"],
        "address": row["address"] or None,
        "request_id": row["request_id"] or None,
    }
