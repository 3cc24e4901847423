"""Ask something of a tenant's Odoo for the caller of a request.

The worker does it: the serving role cannot read what opens a database.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bff.audit import record
from bff.current_session import CONFIG, SESSION
from bff.database import DATABASE
from bff.errors import GatewayError
from bff.errors_odoo import (
    OdooConflict,
    OdooFailed,
    OdooMissing,
    OdooPending,
    OdooSuspended,
    OdooUnavailable,
)
from bff.sites.failures import PASSING
from bff.sites.store import SITES
from bff.sites.tasks import ask

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aiohttp import web

    from bff.audit import Entry
    from bff.sites.store import Connection
    from bff.sites.tasks import Asked, Kind, Task

# Seconds after which it may be worth while to ask again.
RETRY_AFTER = "5"
NO_ODOO = "This service has no Odoo."
# Codes of failures that a person must look at.
IN_THE_WAY = frozenset(
    {
        "no_admin",
        "odoo_missing",
        "odoo_moved",
        "odoo_not_ours",
        "odoo_suspended",
    }
)


async def odoo_of(request: web.Request, tenant_id: int | None) -> Connection | None:
    """Return where a tenant's Odoo is, None if it has none, or none is configured."""
    if tenant_id is None or not request.app[CONFIG].odoo.server_url:
        return None
    return await request.app[SITES].get(tenant_id)


async def usable(request: web.Request, tenant_id: int) -> Connection:
    """Return a tenant's Odoo, which is there and open.

    Raises:
        OdooMissing: when there is none, or not yet.
        OdooSuspended: when it is closed for the time being.
    """
    found = await odoo_of(request, tenant_id)
    if found is None or not found.made:
        configured = request.app[CONFIG].odoo.server_url
        raise OdooMissing(None if configured else NO_ODOO)
    if not found.active:
        raise OdooSuspended
    return found


async def ask_for(
    request: web.Request,
    tenant_id: int,
    kind: Kind,
    entry: Entry | None = None,
    *,
    values: Mapping[str, Any] | None = None,
    not_within: float = 0.0,
) -> Asked:
    """Queue a task together with its audit entry, or find the one under way.

    See `bff.sites.tasks.ask`. It is queued even if the caller leaves meanwhile.
    """
    database, by = request.app[DATABASE], request[SESSION].user_id

    async def queue() -> Asked:
        async with database.tenant_transaction(tenant_id) as connection:
            asked = await ask(
                connection,
                tenant_id,
                kind,
                request=values,
                by=by,
                not_within=not_within,
            )
            if entry is not None and asked.fresh:
                await record(connection, entry)
        return asked

    return await asyncio.shield(queue())


def check_done(task: Task) -> None:
    """Return if a task that was waited for has been done.

    Raises:
        OdooPending: when it goes on, or nobody has begun with it.
        OdooUnavailable, OdooConflict, OdooFailed: when it failed.
        GatewayError: when it failed by our own fault.
    """
    if not task.is_over:
        raise OdooPending(headers={"Retry-After": RETRY_AFTER})
    if task.state == "done":
        return
    if task.code in PASSING:
        again = {"Retry-After": RETRY_AFTER}
        raise OdooUnavailable(task.problem, code=task.code, headers=again)
    if task.code in IN_THE_WAY:
        raise OdooConflict(task.problem, code=task.code)
    if task.code == "internal":
        raise GatewayError(task.problem)
    raise OdooFailed(task.problem, code=task.code)


def at(time: datetime | None) -> str | None:
    """Return a time as answers have it, null where there is none."""
    return None if time is None else time.isoformat(timespec="seconds")


def summary(task: Task | None) -> dict[str, Any] | None:
    """Return what people are told of a task; null where it was never asked for."""
    if task is None:
        return None
    return {
        "state": task.state,
        "error": task.problem or None,
        "asked_at": at(task.asked_at),
        "started_at": at(task.started_at),
        "finished_at": at(task.finished_at),
    }
