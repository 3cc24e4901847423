"""Ask the worker for something in a tenant's Odoo, and hear what came of it.

A row for each tenant and kind of task: the last one asked for. Asking adds the job in
the same transaction; the worker announces each change, so that a route can wait.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import asyncpg
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

    from bff.database import Database
    from bff.listener import Listener

# By another name, so that syncs, which take minutes, keep nothing short waiting.
JOB, SYNC_JOB = "odoo_task", "odoo_sync"
CHANNEL = "odoo_task"
OPEN = ("queued", "running")
# While the listener is deaf the row is looked at this often, seconds; and so often in
# case that it has just gone deaf.
POLL, LOOK = 0.5, 3.0
READ = """
SELECT tenant_id, kind, run, state, request, result, code, problem,
  asked_at, started_at, finished_at
FROM odoo_tasks WHERE tenant_id = $1 AND kind = $2
"""
OPEN_FOR = """
SELECT tenant_id, kind, run FROM odoo_tasks WHERE state IN ('queued', 'running')
  AND kind = ANY($2) AND asked_at < now() - make_interval(secs => $1)
"""
# `WHERE`: what is under way goes on, and what has just ended need not be done again.
ASK = """
INSERT INTO odoo_tasks AS one (tenant_id, kind, request, asked_by)
VALUES ($1, $2, $3, $4) ON CONFLICT (tenant_id, kind) DO UPDATE SET
  run = one.run + 1, state = 'queued', request = excluded.request, result = '{}',
  code = '', problem = '', asked_by = excluded.asked_by, asked_at = now(),
  started_at = NULL, finished_at = NULL
WHERE one.state NOT IN ('queued', 'running')
  AND one.finished_at <= now() - make_interval(secs => $5)
RETURNING true
"""


class Kind(StrEnum):
    """What can be asked for."""

    VERIFY = "verify"
    ROTATE = "rotate"
    REPAIR = "repair"
    SYNC = "sync"
    SUSPEND = "suspend"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Task:
    """The last task of a kind; *code* and *problem* tell of a failure."""

    tenant_id: int
    kind: Kind
    run: int
    state: str
    request: dict[str, Any]
    result: dict[str, Any]
    code: str
    problem: str
    asked_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_over(self) -> bool:
        """Tell whether the worker is done with it, well or not."""
        return self.state not in OPEN


@dataclass(frozen=True, slots=True)
class Asked:
    """A task, and whether this call has queued it."""

    task: Task
    fresh: bool


async def ask(
    connection: PoolConnectionProxy,
    tenant_id: int,
    kind: Kind,
    *,
    request: Mapping[str, Any] | None = None,
    by: str = "",
    not_within: float = 0.0,
) -> Asked:
    """Queue a task, or return the one that is under way already.

    With *not_within* one that ended well or not so few seconds ago is returned, too.
    *connection* is in a transaction of this tenant; the task begins when that commits.
    Two at once queue one.
    """
    fresh = await connection.fetchval(
        ASK,
        tenant_id,
        str(kind),
        json.dumps(dict(request or {})),
        by,
        not_within,
    )
    task = await look(connection, tenant_id, kind)
    if not task.is_over:
        # Also for one that waits already: a queue may have been emptied by hand.
        await _enqueue(connection, tenant_id, kind, task.run)
    return Asked(task, bool(fresh))


async def look(connection: PoolConnectionProxy, tenant_id: int, kind: Kind) -> Task:
    """Return the last task of a kind, which is known to be there."""
    (row,) = await connection.fetch(READ, tenant_id, str(kind))
    return read(row)


async def revive(database: Database, quiet: float) -> int:
    """Give each task that is not over its job, and return how many had none.

    Those of the last *quiet* seconds are left in peace, and kinds that only another
    release knows. *database* is the worker's.

    Raises:
        DatabaseUnavailable: when the database goes away.
    """
    async with database.shared_transaction() as connection:
        rows = await connection.fetch(OPEN_FOR, quiet, list(map(str, Kind)))
        return sum(
            [
                await _enqueue(
                    connection, row["tenant_id"], Kind(row["kind"]), row["run"]
                )
                for row in rows
            ]
        )


class Tasks:
    """Look at tasks, and wait for them; for the serving role."""

    def __init__(self, database: Database, listener: Listener) -> None:
        self._database = database
        self._listener = listener
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._draining = False
        listener.on(CHANNEL, self._wake)

    async def get(self, tenant_id: int, kind: Kind) -> Task | None:
        """Return the last task of a kind, None if there was none."""
        async with self._database.tenant_transaction(tenant_id) as connection:
            row = await connection.fetchrow(READ, tenant_id, str(kind))
        return read(row) if row else None

    async def wait(
        self,
        task: Task,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> Task:
        """Return the task once it is over, or as it is after so many seconds.

        Or as it is once we shut down: a caller asks the next replica.
        """
        key, event = f"{task.tenant_id}:{task.kind}", asyncio.Event()
        self._watchers.setdefault(key, set()).add(event)
        until = clock() + seconds
        try:
            while True:
                found = await self.get(task.tenant_id, task.kind)
                if found is None or found.run != task.run or found.is_over:
                    # One that was asked for after ours began after ours ended.
                    return found or task
                left = until - clock()
                if left <= 0 or self._draining:
                    return found
                often = LOOK if self._listener.hears else POLL
                with suppress(TimeoutError):
                    # Not wait_for: before 3.12 it may swallow a cancellation.
                    async with asyncio.timeout(min(left, often)):
                        await event.wait()
                event.clear()
        finally:
            self._watchers[key].discard(event)
            if not self._watchers[key]:
                del self._watchers[key]

    def drain(self) -> None:
        """Let nobody wait any more."""
        self._draining = True
        for key in self._watchers:
            self._wake(key)

    def _wake(self, payload: str) -> None:
        for event in self._watchers.get(payload, ()):
            event.set()


def read(row: Record) -> Task:
    """Return the row as a task."""
    values = dict(row)
    values["kind"] = Kind(values["kind"])
    for name in ("request", "result"):
        values[name] = json.loads(values[name])
    return Task(**values)


async def _enqueue(
    connection: PoolConnectionProxy, tenant_id: int, kind: Kind, run: int
) -> bool:
    """Add the task's job; False if it is there already."""
    payload = {"tenant_id": tenant_id, "kind": str(kind), "run": run}
    # The proxy does all that a connection does; PgQueuer's types do not know it.
    driver = AsyncpgDriver(cast("asyncpg.Connection", connection))
    (made,) = await Queries(driver).enqueue(
        SYNC_JOB if kind is Kind.SYNC else JOB,
        json.dumps(payload).encode(),
        dedupe_key=f"{JOB}:{tenant_id}:{kind}:{run}",
        on_conflict="skip",
    )
    return made is not None


TASKS = web.AppKey("tasks", Tasks)
