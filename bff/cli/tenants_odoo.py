"""Have a tenant's Odoo suspended or resumed by the worker, and tell what came of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from bff.cli.common import fail
from bff.sites.tasks import READ, Kind, ask, read

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    from bff.database import Database
    from bff.sites.tasks import Task

# Seconds between two looks at the task.
STEP = 0.2
OPPOSITE = {Kind.SUSPEND: Kind.RESUME, Kind.RESUME: Kind.SUSPEND}
# Also one that has begun: whoever takes up what a killed worker left would undo what is
# asked for now. One that is at work ends first: a tenant is in one hand at a time.
SUPERSEDE = """
UPDATE odoo_tasks SET state = 'failed', code = 'superseded',
  problem = 'The opposite was asked for since.', finished_at = now()
WHERE tenant_id = $1 AND kind = $2 AND state IN ('queued', 'running')
"""


@dataclass(frozen=True, slots=True)
class AskedOdoo:
    """What was asked for, None where there is no database to do it in.

    *unmade* tells of one that is being made.
    """

    task: Task | None
    unmade: bool = False


async def ask_odoo(
    connection: PoolConnectionProxy, tenant_id: int, kind: Kind
) -> AskedOdoo:
    """Ask for it in the tenant's transaction, which also takes the opposite back."""
    made = await connection.fetchval(
        "SELECT made FROM odoo_connections WHERE tenant_id = $1", tenant_id
    )
    await connection.execute(SUPERSEDE, tenant_id, str(OPPOSITE[kind]))
    if not made:
        return AskedOdoo(None, unmade=made is not None)
    return AskedOdoo((await ask(connection, tenant_id, kind)).task)


async def told(database: Database, asked: AskedOdoo, seconds: float) -> None:
    """Wait until it is done in Odoo and say so; exit 1 when it is not."""
    if asked.task is None:
        said = "it has no Odoo of its own"
        if asked.unmade:
            said = (
                "its Odoo is being made, or has failed to be; run this again once "
                "`bff tenants show` says that it is there"
            )
        typer.echo(said)
        return
    task = await _waited(database, asked.task, seconds)
    kind = task.kind
    if task.state == "done":
        people = task.result.get("people", 0)
        typer.echo(f"Odoo: {kind} is done; people: {people}")
    elif task.state == "failed":
        fail(
            f"Odoo: {kind} has failed: {task.problem} ({task.code}); the worker's log "
            "has more, and the same command tries again"
        )
    elif task.state == "queued":
        fail(
            f"Odoo: no worker has taken {kind} up yet. It is queued, and done as soon "
            "as one runs (`bff worker`, or `bff serve`)"
        )
    else:
        fail(f"Odoo: a worker is at it still; `bff tenants show {task.tenant_id}`")


async def _waited(database: Database, task: Task, seconds: float) -> Task:
    until = time.monotonic() + seconds
    while True:
        async with database.tenant_transaction(task.tenant_id) as connection:
            (row,) = await connection.fetch(READ, task.tenant_id, str(task.kind))
        found = read(row)
        if found.is_over or found.run != task.run or time.monotonic() >= until:
            return found
        await asyncio.sleep(STEP)
