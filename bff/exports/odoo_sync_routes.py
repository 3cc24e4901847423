"""Ask for a tenant's companies to be sent to its Odoo, and see how far that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from aiohttp import web
from pydantic import Field

from bff.asking import acting
from bff.auditing import entry_of
from bff.body import Body, read_body
from bff.current_session import SESSION
from bff.errors_access import TenantMissing
from bff.exports.odoo_sync import read
from bff.odoo_asking import ask_for, at, usable
from bff.sites.tasks import TASKS, Kind

if TYPE_CHECKING:
    from bff.sites.tasks import Task

MOST = 10_000


class Sync(Body):
    """What a sync is to send: the best *limit* companies, of *min_score* or better."""

    min_score: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = None
    limit: Annotated[int, Field(strict=True, ge=1, le=MOST)] = 100


async def start(request: web.Request) -> web.Response:
    """Queue a sync (202), or tell of the one that is under way (200)."""
    tenant_id = await acting(request)
    body = await read_body(request, Sync)
    await usable(request, tenant_id)
    asked = await ask_for(
        request,
        tenant_id,
        Kind.SYNC,
        entry_of(request, "odoo.sync_asked", **body.model_dump()),
        values=body.model_dump(),
    )
    return web.json_response(
        _written(asked.task),
        status=202 if asked.fresh else 200,
        headers={"Location": "/export/odoo/sync"},
    )


async def progress(request: web.Request) -> web.Response:
    """Tell how far the last sync is, or what came of it."""
    tenant_id = request[SESSION].tenant_id
    if tenant_id is None:  # the route's access has seen to it
        raise TenantMissing
    return web.json_response(
        _written(await request.app[TASKS].get(tenant_id, Kind.SYNC))
    )


def _written(task: Task | None) -> dict[str, Any]:
    done = read(task.result if task else {})
    wanted = task.request if task else {}
    return {
        "state": task.state if task else "none",
        "exported": done.created + done.updated,
        "created": done.created,
        "updated": done.updated,
        "skipped": done.skipped,
        "refused": done.refused,
        "count": done.count,
        "min_score": wanted.get("min_score"),
        "limit": wanted.get("limit"),
        "errors": list(done.errors),
        "error": (task.problem or None) if task else None,
        "started_at": at(task.started_at) if task else None,
        "finished_at": at(task.finished_at) if task else None,
    }
