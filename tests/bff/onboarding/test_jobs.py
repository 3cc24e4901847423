"""The queue of the worker: it notices what is broken, and ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest

from bff.onboarding.jobs import queue
from bff.onboarding.phases import State
from bff.onboarding.worker import STEPS, Outcome, Runner, Say, utc_now

if TYPE_CHECKING:
    from bff.onboarding.store import OnboardingStore
    from tests.bff.onboarding.bench import Bench


async def test_a_statement_of_the_queue_does_not_wait_for_ever(
    bench: Bench, worker: OnboardingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.onboarding.jobs.COMMAND_TIMEOUT", 0.2)
    runner = Runner(worker, STEPS, utc_now)
    async with asyncio.timeout(20), queue(bench.databases.worker, runner) as jobs:
        with pytest.raises(TimeoutError):
            await jobs.connection.fetch("SELECT pg_sleep(60)")


async def test_a_look_into_the_queue_that_fails_breaks_off_what_is_under_way(
    bench: Bench, worker: OnboardingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = asyncio.Event()

    async def for_ever(tenant_id: int, say: Say) -> Outcome:
        entered.set()
        await asyncio.sleep(3600)
        return Outcome(State.DONE)

    async def broken(*_: object) -> None:
        raise asyncpg.DataError

    runner = Runner(worker, {**STEPS, "creating_odoo": for_ever}, utc_now)
    async with queue(bench.databases.worker, runner) as jobs:
        running = asyncio.ensure_future(
            jobs.run(dequeue_timeout=timedelta(seconds=0.2))
        )
        await asyncio.wait_for(entered.wait(), 20)
        monkeypatch.setattr("pgqueuer.queries.Queries.dequeue", broken)
        await asyncio.wait({running}, timeout=20)
        assert running.done()
        assert isinstance(running.exception(), asyncpg.DataError)
    assert await bench.jobs() == 1  # put back
