"""Have a tenant's Odoo suspended or resumed by the worker, and tell what came of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from bff.cli.common import fail
from bff.sites import operating
from bff.sites.tasks import ask, look

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    from bff.database import Database
    from bff.sites.tasks import Kind, Task

# Seconds between two looks at the task.
STEP = 0.2


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
    made = await operating.is_made(connection, tenant_id)
    await operating.supersede(connection, tenant_id, kind)
    if not made:
        return AskedOdoo(None, unmade=made is not None)
    return AskedOdoo((await ask(connection, tenant_id, kind)).task)


async def told(database: Database, asked: AskedOdoo, seconds: float) -> None:
    """Wait until it is done in Odoo and say so; exit 1 when it is not."""
    if asked.task is None:
        said = "it has no Odoo of its own"
        if asked.unmade:
            said = (
                "its Odoo is not made yet: while the tenant is suspended it is made no "
                "further and nobody gets in; afterwards `bff tenants retry` goes on"
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
            found = await look(connection, task.tenant_id, task.kind)
        if found.is_over or found.run != task.run or time.monotonic() >= until:
            return found
        await asyncio.sleep(STEP)
