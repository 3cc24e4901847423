"""Run the phases of onboarding as a PgQueuer job.

The row is the truth. A phase looks first, acts, and records; killed anywhere, the job
is picked up again by another worker, whose higher fencing number makes every write
of the old one change nothing.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job  # noqa: TC002 - PgQueuer looks at the annotation

from bff.onboarding.phases import State
from bff.onboarding.store import JOB, OnboardingStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from bff.config import Worker as Settings
    from bff.onboarding.phases import Progress

log = logging.getLogger(__name__)

NO_ODOO = "Odoo is not configured"
LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a phase came to: done, or skipped with a reason."""

    state: State
    detail: str | None = None


class PhaseFailed(Exception):
    """Fail a phase with a sentence for the person; the cause goes to the log."""


class Step(Protocol):
    """One phase's work; safe to run again."""

    async def __call__(self, tenant_id: int) -> Outcome:
        """Bring *tenant_id* through the phase.

        Raises:
            PhaseFailed: when it cannot, with what to do about it.
        """


async def start_tenant(tenant_id: int) -> Outcome:
    """Confirm what first_login has made: tenant, founder and this row."""
    log.info("onboarding of tenant %d", tenant_id)
    return Outcome(State.DONE)


async def without_odoo(tenant_id: int) -> Outcome:
    """Leave the phase out: there is no Odoo to talk to."""
    del tenant_id
    return Outcome(State.SKIPPED, NO_ODOO)


async def make_ready(tenant_id: int) -> Outcome:
    """Declare the tenant ready; without Odoo there is nothing left to verify."""
    del tenant_id
    return Outcome(State.DONE)


STEPS: dict[str, Step] = {
    "starting": start_tenant,
    "creating_odoo": without_odoo,
    "configuring_oidc": without_odoo,
    "seeding": without_odoo,
    "ready": make_ready,
}


class Runner:
    """Bring one tenant through its phases."""

    def __init__(
        self,
        store: OnboardingStore,
        steps: Mapping[str, Step],
        now: Callable[[], datetime],
        *,
        afterwards: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._steps = steps
        self._now = now
        self._afterwards = afterwards

    async def run(self, tenant_id: int) -> None:
        """Run every phase that is not finished; stop at a failure or a newer worker."""
        claimed = await self._store.claim(tenant_id)
        if claimed is None:
            log.warning("a job names tenant %d, which has no onboarding", tenant_id)
            return
        progress, fence = claimed
        while (name := progress.next()) is not None and progress.status != "error":
            progress = progress.begin(name, self._at())
            if not await self._store.save(tenant_id, progress, fence):
                log.info("another worker took over tenant %d", tenant_id)
                return
            progress = await self._phase(tenant_id, name, progress)
            if not await self._store.save(tenant_id, progress, fence):
                log.info("another worker took over tenant %d", tenant_id)
                return
        if progress.status == "ready" and self._afterwards is not None:
            # The tenant is in use by now, whatever comes of this: the job alone waits.
            await self._afterwards(tenant_id)

    async def _phase(self, tenant_id: int, name: str, progress: Progress) -> Progress:
        try:
            outcome = await self._steps[name](tenant_id)
        except PhaseFailed as error:
            log.warning("tenant %d: %s failed", tenant_id, name, exc_info=error)
            return progress.fail(name, self._at(), str(error))
        except Exception:
            # Whatever it was, a person must not wait for ever on a silent row.
            log.exception("tenant %d: %s broke", tenant_id, name)
            sentence = "Something went wrong on our side. Try again in a moment."
            return progress.fail(name, self._at(), sentence)
        if outcome.state is State.SKIPPED:
            return progress.skip(name, self._at(), outcome.detail or "")
        return progress.finish(name, self._at(), outcome.detail)

    def _at(self) -> str:
        return self._now().isoformat(timespec="milliseconds")


def utc_now() -> datetime:
    """Return the time of day in UTC."""
    return datetime.now(UTC)


@asynccontextmanager
async def queue(url: str, runner: Runner) -> AsyncGenerator[PgQueuer]:
    """Open the queue with its entrypoints on a connection of its own."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        jobs = PgQueuer.from_asyncpg_connection(connection)

        @jobs.entrypoint(JOB)
        async def onboard(job: Job) -> None:
            try:
                await runner.run(int(job.payload or b""))
            except Exception as error:
                # Phases fail inside; this is the row that could not be written. A
                # dropped job would leave it half-way for ever.
                pause = min(LONGEST_PAUSE, 2.0 ** min(job.attempts, 10))
                log.warning(
                    "a job could not be done, again in %g s", pause, exc_info=error
                )
                raise RetryRequested(timedelta(seconds=pause)) from error

        yield jobs
    finally:
        await connection.close(timeout=2)


async def work(url: str, runner: Runner, settings: Settings) -> None:
    """Take jobs until cancelled; a lost connection ends it with an exception."""
    async with queue(url, runner) as jobs:
        try:
            await jobs.run(
                dequeue_timeout=timedelta(seconds=settings.dequeue),
                heartbeat_timeout=timedelta(seconds=settings.heartbeat),
                shutdown_on_listener_failure=True,
            )
        finally:
            jobs.shutdown.set()
