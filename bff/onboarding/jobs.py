"""Take onboarding jobs from the queue, and see that none is lost.

PgQueuer gives a job to another worker when the heartbeats of the first stop coming. It
puts a job away by its number alone: a worker that was paused and replaced takes the
job of whoever replaced it along. Nothing is lost by that unless that one dies as well;
then the row, which is not finished, gets its job again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job  # noqa: TC002 - PgQueuer looks at the annotation
from pgqueuer.queries import Queries

from bff.database import NO_CONNECTION
from bff.onboarding.store import JOB, JOB_WITH_ODOO, OUTCOMES, key_of
from bff.sites.holding import StillHeld
from bff.sites.safe import Replaced
from bff.sites.stopping import run_until_told, unless_stopped

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from pgqueuer.queries import EntrypointExecutionParameter
    from pgqueuer.types import QueueEntrypoint, QueueManagerId

    from bff.config_operating import Worker as Settings
    from bff.onboarding.worker import Runner

log = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0
# Seconds for one statement of the queue: a connection may be cut without a word.
COMMAND_TIMEOUT = 10.0
# Seconds until a tenant is looked at again whose database somebody else has in hand.
IN_HAND = 2.0
# Tenants in hand at once, of all workers together: they share one Odoo, which spends
# most of their time hashing passwords. With more of them its calls time out.
AT_ONCE = 4
# Of those that a gateway without Odoo has queued, where there is one: few, for a while.
AT_ONCE_OF_OTHERS = 2
# Seconds between two looks for tenants whose job was lost, and how long a row is left
# in peace: a worker may just be about to put its job away.
LOOK, QUIET = 20.0, 15.0
# Who has no Odoo leaves alone what somebody who has one has begun.
UNFINISHED = """
SELECT tenant_id, attempt FROM onboarding
WHERE status <> ALL($1) AND updated_at < now() - make_interval(secs => $2)
  AND ($3 OR NOT EXISTS (SELECT FROM odoo_connections AS one
    WHERE one.tenant_id = onboarding.tenant_id))
"""


class Careful(Queries):
    """Tell *jobs* to stop when a look into the queue fails.

    PgQueuer ends then, but first waits for what is under way, and takes nothing more.
    """

    jobs: PgQueuer

    async def dequeue(
        self,
        batch_size: int,
        entrypoints: dict[QueueEntrypoint, EntrypointExecutionParameter],
        queue_manager_id: QueueManagerId,
        global_concurrency_limit: int | None,
        heartbeat_timeout: timedelta,
    ) -> list[Job]:
        """Take jobs from the queue."""
        try:
            return await super().dequeue(
                batch_size,
                entrypoints,
                queue_manager_id,
                global_concurrency_limit,
                heartbeat_timeout,
            )
        except BaseException:
            self.jobs.shutdown.set()
            raise


@asynccontextmanager
async def queue(
    url: str,
    runner: Runner,
    *more: Callable[[PgQueuer], None],
    with_odoo: bool = False,
) -> AsyncGenerator[PgQueuer]:
    """Open the queue with its entrypoints on a connection of its own.

    *more* add entrypoints to it; *with_odoo* tells that *runner* gives tenants an Odoo.
    """
    connection = await _connected(url)
    try:
        queries = Careful(AsyncpgDriver(connection))
        jobs = queries.jobs = PgQueuer(queries.driver, queries=queries)

        async def onboard(job: Job) -> None:
            try:
                await unless_stopped(jobs, runner.run(int(job.payload or b"")))
            except RetryRequested:
                raise
            except (Replaced, StillHeld) as error:
                raise RetryRequested(timedelta(seconds=IN_HAND)) from error
            except Exception as error:
                # Phases fail inside; this is the row that could not be written. A
                # dropped job would leave it half-way for ever.
                pause = min(LONGEST_PAUSE, 2.0 ** min(job.attempts, 10))
                log.warning(
                    "a job could not be done, again in %g s", pause, exc_info=error
                )
                raise RetryRequested(timedelta(seconds=pause)) from error

        if with_odoo:
            jobs.entrypoint(JOB_WITH_ODOO, concurrency_limit=AT_ONCE)(onboard)
        limit = AT_ONCE_OF_OTHERS if with_odoo else AT_ONCE
        jobs.entrypoint(JOB, concurrency_limit=limit)(onboard)
        for add in more:
            add(jobs)
        yield jobs
    finally:
        await connection.close(timeout=2)


async def work(
    url: str,
    runner: Runner,
    settings: Settings,
    *more: Callable[[PgQueuer], None],
    with_odoo: bool = False,
) -> None:
    """Take jobs until cancelled; a lost connection ends it with an exception.

    Jobs under way are then broken off, and left to the next worker.
    """
    async with queue(url, runner, *more, with_odoo=with_odoo) as jobs:
        looking = asyncio.ensure_future(_look_after(url, with_odoo=with_odoo))
        try:
            run = jobs.run(
                dequeue_timeout=timedelta(seconds=settings.dequeue),
                heartbeat_timeout=timedelta(seconds=settings.heartbeat),
                shutdown_on_listener_failure=True,
            )
            await run_until_told(jobs, run)
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking


async def _connected(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url, timeout=5, command_timeout=COMMAND_TIMEOUT)


async def _look_after(url: str, *, with_odoo: bool) -> None:
    """Give tenants their job again that was lost, for as long as the worker runs."""
    while True:
        await asyncio.sleep(LOOK)
        try:
            connection = await _connected(url)
            try:
                if count := await wake_forgotten(connection, with_odoo=with_odoo):
                    log.warning("%d tenants had lost their job", count)
            finally:
                await connection.close(timeout=2)
        except NO_CONNECTION as error:
            log.warning("nobody looks for lost jobs: %s", type(error).__name__)


async def wake_forgotten(
    connection: asyncpg.Connection, quiet: float = QUIET, *, with_odoo: bool = False
) -> int:
    """Give each unfinished tenant its job, and return how many had none.

    Those that have one keep it: keys of jobs are unique.
    """
    rows = await connection.fetch(UNFINISHED, list(OUTCOMES), quiet, with_odoo)
    queries, woken = Queries(AsyncpgDriver(connection)), 0
    for row in rows:
        made = await queries.enqueue(
            JOB_WITH_ODOO if with_odoo else JOB,
            str(row["tenant_id"]).encode(),
            dedupe_key=key_of(row["tenant_id"], row["attempt"]),
            on_conflict="skip",
        )
        woken += any(one is not None for one in made)
    return woken
