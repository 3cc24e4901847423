"""Find a new tenant's first candidates, as a job of its own: few at a time.

A rule may take a minute of the database; whoever sets workspaces up waits for none.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from pgqueuer.db import AsyncpgDriver
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job  # noqa: TC002 - PgQueuer looks at the annotation
from pgqueuer.queries import Queries

from bff import tracing
from bff.database import DatabaseUnavailable
from bff.icp.candidates import recompute_all
from bff.sites.stopping import unless_stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg
    from pgqueuer import PgQueuer

    from bff.database import Database

log = logging.getLogger(__name__)

JOB = "first_candidates"
# Tenants at once, of all workers together, and the connections that they need.
AT_ONCE, POOL_SIZE = 1, 2
# Seconds until the database is tried again.
PAUSE = 10.0


async def ask(database: Database, tenant_id: int) -> None:
    """Queue the job, unless it waits already; *database* is the worker's.

    Raises:
        DatabaseUnavailable: when the database goes away.
    """
    async with database.shared_transaction() as connection:
        # The proxy does all that a connection does; PgQueuer's types do not know it.
        driver = AsyncpgDriver(cast("asyncpg.Connection", connection))
        await Queries(driver).enqueue(
            JOB,
            str(tenant_id).encode(),
            dedupe_key=f"{JOB}:{tenant_id}",
            on_conflict="skip",
        )


def taking(database: Database) -> Callable[[PgQueuer], None]:
    """Return what lets a queue take these jobs, on connections of *database*."""

    def register(jobs: PgQueuer) -> None:
        @jobs.entrypoint(JOB, concurrency_limit=AT_ONCE)
        async def compute(job: Job) -> None:
            try:
                await unless_stopped(jobs, _compute(database, int(job.payload or b"")))
            except DatabaseUnavailable as error:
                log.warning("first candidates wait %g s: %s", PAUSE, error)
                raise RetryRequested(timedelta(seconds=PAUSE)) from error

    return register


async def _compute(database: Database, tenant_id: int) -> None:
    # What is left is told there, and comes with the register.
    with tracing.doing(JOB, tenant_id):
        await recompute_all(database, tenant_id)
