"""The routes of a tenant's own Odoo: is it well, where is it, another key, a repair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from bff.asking import administered
from bff.auditing import entry_of
from bff.current_session import CONFIG, SESSION
from bff.errors_access import TenantMissing
from bff.errors_odoo import OdooSuspended
from bff.odoo_asking import (
    NO_ODOO,
    ask_for,
    at,
    check_done,
    odoo_of,
    summary,
    usable,
)
from bff.onboarding.phases import NAMES, document
from bff.onboarding.routes import with_tenant
from bff.onboarding.store import ONBOARDING
from bff.sites.server import sign_in_address
from bff.sites.tasks import TASKS, Kind

if TYPE_CHECKING:
    from bff.sites.store import Connection

# Seconds until a look is repeated; that a caller waits for one, and for a new key.
FRESH, LOOK, ROTATION = 10.0, 8.0, 25.0
AT_WORK = frozenset(NAMES) - {"ready"}
NOT_YET = "Your Odoo is not there yet."
UNDER_WAY = "Your Odoo is still being set up."
NOBODY_LOOKED = "Nobody could look at your Odoo in time. Try again in a moment."


async def verify_odoo(request: web.Request) -> web.Response:
    """Try the tenant's Odoo, and tell what came of it; the last try counts for 10 s."""
    tenant_id = request[SESSION].tenant_id
    if tenant_id is None:  # the route's access has seen to it
        raise TenantMissing
    connection = await odoo_of(request, tenant_id)
    onboarding = await _onboarding(request, tenant_id)
    status, smoke = onboarding["status"], False
    error: str | None = None
    if not request.app[CONFIG].odoo.server_url:
        error = NO_ODOO
    elif connection is None or not connection.made:
        error = onboarding["error"] or NOT_YET
    elif not connection.active:
        error = OdooSuspended.detail
    elif status in AT_WORK:
        # The worker has it in hand, and verifies it at the end.
        error = UNDER_WAY
    else:
        problem = await _problem(request, tenant_id)
        smoke = problem is None
        error = problem or (onboarding["error"] if status == "error" else None)
    return web.json_response(
        {
            "tenant_id": tenant_id,
            "exists": connection is not None and connection.made,
            "smoke": smoke,
            "ready": smoke and status == "ready",
            "error": error,
        }
    )


async def odoo_info(request: web.Request) -> web.Response:
    """Tell who is signed in and where their Odoo is, by what is known of it."""
    ticket = await with_tenant(request)
    connection = await odoo_of(request, ticket.tenant_id)
    onboarding = await _onboarding(request, ticket.tenant_id)
    found = _described(connection)
    is_well = connection is not None and connection.problem is None
    return web.json_response(
        {
            "email": ticket.email,
            "tenant_id": ticket.tenant_id,
            "roles": ticket.roles,
            "odoo": {
                "exists": found["exists"],
                "db_name": found["db_name"],
                "base_url": found["base_url"],
                "login_url": found["login_url"],
                "ready": (
                    onboarding["status"] == "ready"
                    and found["exists"]
                    and not found["suspended"]
                    and is_well
                ),
                "error": found["error"] or onboarding["error"],
            },
        }
    )


async def odoo(request: web.Request) -> web.Response:
    """Tell an admin how their Odoo is, and what became of what they asked of it."""
    tenant_id = await administered(request)
    connection = await odoo_of(request, tenant_id)
    tasks = request.app[TASKS]
    return web.json_response(
        {
            "tenant_id": tenant_id,
            **_described(connection),
            "checked_at": at(connection.checked_at) if connection else None,
            "key_expires_at": at(connection.key_expires_at) if connection else None,
            "tasks": {
                "rotate": summary(await tasks.get(tenant_id, Kind.ROTATE)),
                "repair": summary(await tasks.get(tenant_id, Kind.REPAIR)),
            },
        }
    )


async def rotate_key(request: web.Request) -> web.Response:
    """Have the tenant's key replaced; two at once share one."""
    tenant_id = await administered(request)
    await usable(request, tenant_id)
    entry = entry_of(request, "odoo.rotation_asked")
    asked = await ask_for(request, tenant_id, Kind.ROTATE, entry)
    check_done(await request.app[TASKS].wait(asked.task, ROTATION))
    return web.Response(status=204)


async def repair(request: web.Request) -> web.Response:
    """Have the tenant's way into its Odoo restored; `odoo` tells how it went."""
    tenant_id = await administered(request)
    await usable(request, tenant_id)
    entry = entry_of(request, "odoo.repair_asked")
    asked = await ask_for(request, tenant_id, Kind.REPAIR, entry)
    return web.json_response(
        summary(asked.task),
        status=202,
        headers={"Location": f"/tenants/{tenant_id}/odoo"},
    )


async def _problem(request: web.Request, tenant_id: int) -> str | None:
    """Return what a look at the tenant's Odoo has found, None if all is well."""
    asked = await ask_for(request, tenant_id, Kind.VERIFY, not_within=FRESH)
    task = await request.app[TASKS].wait(asked.task, LOOK)
    return (task.problem or None) if task.is_over else NOBODY_LOOKED


async def _onboarding(request: web.Request, tenant_id: int | None) -> dict[str, Any]:
    found = None
    if tenant_id is not None:
        found = await request.app[ONBOARDING].get(tenant_id)
    return document(tenant_id, found[0] if found else None)


def _described(connection: Connection | None) -> dict[str, Any]:
    """Return what a tenant's people may know of their Odoo."""
    if connection is None or not connection.made:
        return {
            "exists": False,
            "db_name": None,
            "base_url": None,
            "login_url": None,
            "suspended": False,
            "error": None,
        }
    suspended = not connection.active
    return {
        "exists": True,
        "db_name": connection.db_name,
        "base_url": connection.base_url,
        "login_url": sign_in_address(connection),
        "suspended": suspended,
        "error": OdooSuspended.detail if suspended else connection.problem,
    }
