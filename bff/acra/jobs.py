"""Run the register's jobs in the worker, and queue one at its time of day.

A queue of its own beside the one of onboarding: a run takes long, and nobody's
workspace waits for it. Several replicas queue one run, and one of them makes it;
killed, another goes on where it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar
from zoneinfo import ZoneInfo

import asyncpg
from croniter import croniter
from pgqueuer import PgQueuer
from pgqueuer.core.executors import ScheduleExecutor
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job, Schedule  # noqa: TC002 - PgQueuer looks at them

from bff.acra.runs import RunLost
from bff.acra.waiting import JOB, enqueue
from bff.database import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pgqueuer.core.executors import ScheduleExecutorFactoryParameters

    from bff.acra.reading import Reader
    from bff.config import Config
    from bff.database import Database

log = logging.getLogger(__name__)

T = TypeVar("T")

DAILY = "acra_daily"
# Seconds: until a job looks again whether another run is over; after a lost database;
# until another worker takes up what this one was told to leave.
BUSY_PAUSE, LOST_PAUSE, STOPPED_PAUSE = 30.0, 10.0, 2.0
# What passes by itself: a conflict with another transaction is among the first.
PASSING = (DatabaseUnavailable, RunLost)
# Whatever else happens may last, and each try calls data.gov.sg anew: five of them, a
# minute, two, four and eight apart. The run after that is the schedule's.
MOST_FAILURES, FAILED_PAUSE = 5, 60.0


class Stopped(Exception):
    """Tell that the worker is closing: somebody else goes on."""


@dataclass
class InZone(ScheduleExecutor):
    """Follow a cron expression in a time zone: PgQueuer knows UTC only."""

    zone: ZoneInfo

    def get_next(self) -> datetime:
        """Return when it is time again."""
        now = datetime.now(self.zone)
        moment = croniter(self.parameters.expression, start_time=now).get_next()
        return datetime.fromtimestamp(moment, UTC)


async def queue_one(database: Database, reason: str) -> None:
    """Queue a run, unless one waits or is under way.

    Raises:
        DatabaseUnavailable: when the database goes away.
    """
    async with database.shared_transaction() as connection:
        run = await enqueue(connection, reason)
    what = "queued" if run.fresh else "queued or under way already"
    log.info("run %d of the register is %s", run.run_id, what)


async def work(
    url: str,
    database: Database,
    reader: Reader,
    config: Config,
    closing: asyncio.Event,
) -> None:
    """Take jobs until cancelled; a lost connection ends it with an exception.

    Set *closing* before: it stops a run at once, which cancelling alone waits for.
    """
    settings = config.acra
    connection = await asyncpg.connect(url, timeout=5)
    try:
        jobs = PgQueuer.from_asyncpg_connection(connection)
        # By job: PgQueuer's own count has the times of waiting in it, too.
        failures: Counter[int] = Counter()

        @jobs.entrypoint(JOB)
        async def ingest(job: Job) -> None:
            await _ingest(job, reader, closing, failures)

        if settings.scheduled:
            zone = ZoneInfo(settings.timezone)

            def in_zone(parameters: ScheduleExecutorFactoryParameters) -> InZone:
                return InZone(parameters, zone)

            @jobs.schedule(DAILY, settings.schedule, executor_factory=in_zone)
            async def daily(schedule: Schedule) -> None:
                del schedule
                await queue_one(database, "schedule")

        # The scheduler asks the database each second, whether it has one or not.
        run = jobs.run if settings.scheduled else jobs.qm.run
        try:
            await run(
                dequeue_timeout=timedelta(seconds=config.worker.dequeue),
                heartbeat_timeout=timedelta(seconds=config.worker.heartbeat),
                shutdown_on_listener_failure=True,
            )
        finally:
            jobs.shutdown.set()
    finally:
        await connection.close(timeout=2)


async def _ingest(
    job: Job, reader: Reader, closing: asyncio.Event, failures: Counter[int]
) -> None:
    try:
        done = await _until(closing, reader.run(int(job.payload or b"")))
    except Stopped as error:
        log.info("the run of the register stops here, and goes on elsewhere")
        raise RetryRequested(timedelta(seconds=STOPPED_PAUSE)) from error
    except PASSING as error:
        log.warning("the run of the register broke off, and goes on", exc_info=error)
        raise RetryRequested(timedelta(seconds=LOST_PAUSE)) from error
    except Exception as error:
        failures[job.id] += 1
        if failures[job.id] >= MOST_FAILURES:
            # Its row in `acra_runs` says that it failed.
            log.exception("the run of the register failed, and is given up")
            return
        pause = FAILED_PAUSE * 2.0 ** (failures[job.id] - 1)
        log.exception("the run of the register failed; again in %.0f s", pause)
        raise RetryRequested(timedelta(seconds=pause)) from error
    if not done:
        raise RetryRequested(timedelta(seconds=BUSY_PAUSE))


async def _until(closing: asyncio.Event, doing: Coroutine[None, None, T]) -> T:
    """Return what *doing* gives, or stop it when *closing* is set.

    Raises:
        Stopped: when it was stopped.
    """
    task = asyncio.ensure_future(doing)
    told = asyncio.ensure_future(closing.wait())
    try:
        await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Stopped
    finally:
        for one in (task, told):
            one.cancel()
        await asyncio.gather(task, told, return_exceptions=True)
