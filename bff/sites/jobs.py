"""Do the tasks that tenants ask of their Odoo, in the worker.

One that breaks off is taken up again by another worker; one that fails keeps a code
and a sentence in its row.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job  # noqa: TC002 - PgQueuer looks at the annotation

from bff import tracing
from bff.database import DatabaseUnavailable
from bff.sites.failures import failure_of
from bff.sites.holding import PATIENCE, STEP, NoOdoo, StillHeld, holding
from bff.sites.safe import Replaced
from bff.sites.stopping import unless_stopped
from bff.sites.tasks import CHANNEL, JOB, READ, SYNC_JOB, Kind, Task, read

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from asyncpg.pool import PoolConnectionProxy
    from pgqueuer import PgQueuer

    from bff.database import Database
    from bff.sites.holding import Hold

log = logging.getLogger(__name__)

# Seconds until a job looks again that another worker stood in the way of; while it is
# the database that is away, each time twice as long.
PAUSE, LONGEST_PAUSE = 2.0, 60.0
# Tasks at once, of all workers together: they share one Odoo. Syncs take minutes each.
AT_ONCE, SYNCS_AT_ONCE = 10, 3
# Seconds for which a long task lets go of the tenant: whoever waits looks more often.
TURN = 5 * STEP
# Written by whoever holds the tenant, and by nobody whom another has replaced; the lock
# keeps others from taking it over just then. Without a fence: there is nothing to hold.
KEEP = """
UPDATE odoo_tasks SET state = $4, result = $5, code = $6, problem = $7,
  finished_at = CASE WHEN $4 <> 'running' THEN clock_timestamp() END
WHERE tenant_id = $1 AND kind = $2 AND run = $3 AND ($8::bigint IS NULL OR EXISTS (
  SELECT FROM odoo_connections WHERE tenant_id = $1 AND fence = $8 FOR SHARE))
RETURNING true
"""


@dataclass(frozen=True, kw_only=True)
class More:
    """What is kept of a task that has more to do, once others had their turn.

    The handler is called again after so many seconds, and finds it in the task.
    """

    result: Mapping[str, Any]
    pause: float = TURN


class UnknownKind(Exception):
    """Tell that a job is of a kind that only another release knows, while both run."""


class Handler(Protocol):
    """Does one kind of task; may be killed anywhere and run again."""

    async def __call__(self, task: Task, hold: Hold) -> Mapping[str, Any] | More:
        """Do it, or a part, and return what is to be kept of it; never a secret.

        Raises:
            Exception: whatever it is; `bff.sites.failures` words it for people.
        """


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """Find the handler of a task, hold the tenant meanwhile, keep what came of it."""

    database: Database
    handlers: Mapping[Kind, Handler]
    # Seconds for which another worker that has the tenant in hand is waited for.
    patience: float = PATIENCE
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def register(self, jobs: PgQueuer) -> None:
        """Let *jobs* take them."""

        # Syncs of a release before come by the name of the others.
        @jobs.entrypoint(SYNC_JOB, concurrency_limit=SYNCS_AT_ONCE)
        @jobs.entrypoint(JOB, concurrency_limit=AT_ONCE)
        async def do(job: Job) -> None:
            try:
                await unless_stopped(jobs, self.run(job.payload or b""))
            except (StillHeld, Replaced) as error:
                log.info("a task waits: another worker is at it")
                raise RetryRequested(timedelta(seconds=PAUSE)) from error
            except UnknownKind as error:
                log.warning("a task is left to another release: %s", error)
                raise RetryRequested(timedelta(seconds=LONGEST_PAUSE)) from error
            except DatabaseUnavailable as error:
                pause = min(LONGEST_PAUSE, PAUSE * 2.0 ** min(job.attempts, 10))
                log.warning("a task waits %g s: %s", pause, error)
                raise RetryRequested(timedelta(seconds=pause)) from error

    async def run(self, payload: bytes) -> None:
        """Do the task that *payload* names, unless it is over or another is due.

        Raises:
            StillHeld, Replaced: when another worker has the tenant in hand.
            UnknownKind: when another release must do it.
            DatabaseUnavailable: when the database goes away.
        """
        try:
            named = json.loads(payload)
            tenant_id, run = int(named["tenant_id"]), int(named["run"])
            name = str(named["kind"])
        except (ValueError, KeyError, TypeError, RecursionError):
            # Nobody's: no row waits for it.
            log.exception("a job names no task, and is left out")
            return
        try:
            kind = Kind(name)
        except ValueError as error:
            raise UnknownKind(name[:63]) from error
        with tracing.doing(str(kind), tenant_id):
            await self._run(tenant_id, kind, run)

    async def _run(self, tenant_id: int, kind: Kind, run: int) -> None:
        try:
            while (pause := await self._part(tenant_id, kind, run)) is not None:
                await self.sleep(pause)
        except NoOdoo as error:
            log.warning("%s was asked of a tenant without Odoo, %d", kind, tenant_id)
            task = await self._begin(tenant_id, kind, run)
            if task is not None:
                await self._fail(task, error, None)

    async def _part(self, tenant_id: int, kind: Kind, run: int) -> float | None:
        """Do what is done in one go; return after how many seconds there is more."""
        patience = self.patience
        async with holding(self.database, tenant_id, patience=patience) as hold:
            task = await self._begin(tenant_id, kind, run)
            if task is None:
                return None
            try:
                result = await self.handlers[kind](task, hold)
                if isinstance(result, More):
                    await self._keep(replace(task, result=dict(result.result)), hold)
                    return result.pause
                await self._keep(replace(task, state="done", result=dict(result)), hold)
            except (DatabaseUnavailable, Replaced):
                raise
            except Exception as error:
                # Also of a result that no row can hold: nobody may wait for ever.
                log.warning("%s of tenant %d failed", kind, tenant_id, exc_info=True)
                await self._fail(task, error, hold)
            return None

    async def _fail(self, task: Task, error: Exception, hold: Hold | None) -> None:
        code, sentence = failure_of(error)
        failed = replace(task, state="failed", code=code, problem=sentence)
        await self._keep(failed, hold)

    async def _begin(self, tenant_id: int, kind: Kind, run: int) -> Task | None:
        async with self.database.tenant_transaction(tenant_id) as connection:
            begun = await connection.fetchval(
                "UPDATE odoo_tasks SET state = 'running', "
                "started_at = coalesce(started_at, now()) "
                "WHERE tenant_id = $1 AND kind = $2 AND run = $3 "
                "AND state IN ('queued', 'running') RETURNING true",
                tenant_id,
                str(kind),
                run,
            )
            if not begun:
                return None
            await _announce(connection, tenant_id, kind)
            (row,) = await connection.fetch(READ, tenant_id, str(kind))
        return read(row)

    async def _keep(self, task: Task, hold: Hold | None) -> None:
        """Write what has become of a task.

        Raises:
            Replaced: when another worker took over; nothing was written.
            DatabaseUnavailable: when the database goes away.
        """
        async with self.database.tenant_transaction(task.tenant_id) as connection:
            done = await connection.fetchval(
                KEEP,
                task.tenant_id,
                str(task.kind),
                task.run,
                task.state,
                json.dumps(task.result),
                task.code,
                task.problem,
                hold.fence if hold else None,
            )
            if not done:
                raise Replaced
            await _announce(connection, task.tenant_id, task.kind)


async def _announce(
    connection: PoolConnectionProxy, tenant_id: int, kind: Kind
) -> None:
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, f"{tenant_id}:{kind}")
