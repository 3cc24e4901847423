"""Run the phases of onboarding, one after another.

The row is the truth. A phase looks first, acts, and records; killed anywhere, another
worker goes on (`bff.onboarding.jobs`), whose higher fencing number makes every write
of the old one change nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from bff import tracing
from bff.database import DatabaseUnavailable
from bff.onboarding.phases import NO_ODOO, State
from bff.sites.failures import failure_of, passes
from bff.sites.holding import StillHeld
from bff.sites.safe import Replaced

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from bff.onboarding.phases import Progress
    from bff.onboarding.store import OnboardingStore

log = logging.getLogger(__name__)

AGAIN = "We try again: {0} of {1}."
SUSPENDED = "Your workspace is suspended. Try again once it is open."
# How often a phase is tried where time alone may help, and the first pause, seconds;
# each is twice the one before.
TRIES, FIRST_PAUSE = 5, 1.0
# Somebody else has the tenant's database in hand: the queue waits for as long as that.
IN_HAND = (Replaced, StillHeld)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a phase came to: done, or skipped with a reason."""

    state: State
    detail: str | None = None


class PhaseFailed(Exception):
    """Fail a phase with a sentence for the person; the cause goes to the log."""

    def __init__(self, sentence: str, code: str = "phase_failed") -> None:
        super().__init__(sentence)
        self.code = code


class Suspended(PhaseFailed):
    """Tell that the tenant is suspended: nothing more is made for it until resumed."""

    def __init__(self) -> None:
        super().__init__(SUSPENDED, "tenant_suspended")


class TakenOver(Exception):
    """Tell that another worker has this onboarding: nothing more may be written."""


class Say(Protocol):
    """Shows the person what a phase is at."""

    async def __call__(self, detail: str) -> None:
        """Show it.

        Raises:
            TakenOver: when another worker has the onboarding.
        """


class Step(Protocol):
    """One phase's work; safe to run again."""

    async def __call__(self, tenant_id: int, say: Say) -> Outcome:
        """Bring *tenant_id* through the phase.

        Raises:
            PhaseFailed: when it cannot, with what to do about it.
            Replaced: when somebody else works on the tenant's database by now.
            Exception: whatever else; `bff.sites.failures` words it for people.
        """


async def start_tenant(tenant_id: int, say: Say) -> Outcome:
    """Confirm what first_login has made: tenant, founder and this row."""
    del say
    log.info("onboarding of tenant %d", tenant_id)
    return Outcome(State.DONE)


async def without_odoo(tenant_id: int, say: Say) -> Outcome:
    """Leave the phase out: there is no Odoo to talk to."""
    del tenant_id, say
    return Outcome(State.SKIPPED, NO_ODOO)


async def make_ready(tenant_id: int, say: Say) -> Outcome:
    """Declare the tenant ready; without Odoo there is nothing left to verify."""
    del tenant_id, say
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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_phase: Callable[[str, str, float], None] = lambda _name, _came, _took: None,
    ) -> None:
        self._on_phase = on_phase  # a phase, what it came to, and its seconds
        self._store = store
        self._steps = steps
        self._now = now
        self._afterwards = afterwards
        self._sleep = sleep

    async def run(self, tenant_id: int) -> None:
        """Run every phase that is not finished; stop at a failure or a newer worker.

        Raises:
            Replaced, StillHeld: when a task has the tenant's database in hand; come
                again.
            DatabaseUnavailable: when the row cannot be written; come again.
        """
        with tracing.doing("onboarding", tenant_id):
            await self._run(tenant_id)

    async def _run(self, tenant_id: int) -> None:
        claimed = await self._store.claim(tenant_id)
        if claimed is None:
            log.warning("a job names tenant %d, which has no onboarding", tenant_id)
            return
        progress, fence = claimed
        try:
            while (name := progress.next()) is not None and progress.status != "error":
                progress = progress.begin(name, self._at())
                await self._save(tenant_id, progress, fence)
                began = time.monotonic()
                progress = await self._phase(tenant_id, name, progress, fence)
                came = next(one.state for one in progress.phases if one.name == name)
                self._on_phase(name, str(came), time.monotonic() - began)
                await self._save(tenant_id, progress, fence)
        except TakenOver:
            log.info("another worker took over tenant %d", tenant_id)
            return
        if progress.status == "ready" and self._afterwards is not None:
            # The tenant is in use by now, whatever comes of this: the job alone waits.
            await self._afterwards(tenant_id)

    async def _save(self, tenant_id: int, progress: Progress, fence: int) -> None:
        if not await self._store.save(tenant_id, progress, fence):
            raise TakenOver

    async def _phase(
        self, tenant_id: int, name: str, progress: Progress, fence: int
    ) -> Progress:
        try:
            outcome = await self._tried(tenant_id, name, progress, fence)
        except PhaseFailed as error:
            log.warning(
                "tenant %d: %s failed (%s)", tenant_id, name, error.code, exc_info=error
            )
            return progress.fail(name, self._at(), str(error), error.code)
        except IN_HAND:
            # Another onboarding has the database, or a task, for a moment.
            await self._save(tenant_id, progress, fence)
            raise
        except (DatabaseUnavailable, TakenOver):
            raise  # nothing can be written of it, or not by us
        except Exception as error:
            # Whatever it was, a person must not wait for ever on a silent row.
            code, sentence = failure_of(error)
            log.exception("tenant %d: %s broke (%s)", tenant_id, name, code)
            return progress.fail(name, self._at(), sentence, code)
        if outcome.state is State.SKIPPED:
            return progress.skip(name, self._at(), outcome.detail or "")
        return progress.finish(name, self._at(), outcome.detail)

    async def _tried(
        self, tenant_id: int, name: str, progress: Progress, fence: int
    ) -> Outcome:
        """Try a phase until it is done, or until another try would be no better."""

        async def say(detail: str) -> None:
            await self._save(tenant_id, progress.tell(name, detail), fence)

        pause = FIRST_PAUSE
        for count in range(1, TRIES):
            try:
                return await self._step(tenant_id, name, say)
            except (*IN_HAND, PhaseFailed, DatabaseUnavailable, TakenOver):
                raise
            except Exception as error:
                if not passes(error):
                    raise
                log.warning(
                    "tenant %d: %s waits %g s", tenant_id, name, pause, exc_info=error
                )
                await say(f"{failure_of(error)[1]} {AGAIN.format(count, TRIES - 1)}")
            await self._sleep(pause)
            pause *= 2
        return await self._step(tenant_id, name, say)

    async def _step(self, tenant_id: int, name: str, say: Say) -> Outcome:
        if not await self._store.is_active(tenant_id):
            raise Suspended
        return await self._steps[name](tenant_id, say)

    def _at(self) -> str:
        return self._now().isoformat(timespec="milliseconds")


def utc_now() -> datetime:
    """Return the time of day in UTC."""
    return datetime.now(UTC)
