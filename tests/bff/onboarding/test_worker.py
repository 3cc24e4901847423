"""A worker brings a tenant through its phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bff.errors_access import TenantSuspended
from bff.onboarding.phases import NO_ODOO, State
from bff.onboarding.worker import (
    STEPS,
    SUSPENDED,
    Outcome,
    PhaseFailed,
    Runner,
    Say,
    utc_now,
)
from bff.sites.holding import StillHeld
from tests.bff.onboarding.founding import ANN
from tests.bff.waiting import until

if TYPE_CHECKING:
    from bff.onboarding.store import OnboardingStore
    from tests.bff.onboarding.bench import Bench


async def test_a_tenant_comes_to_ready_and_the_odoo_phases_say_why_they_were_left_out(
    bench: Bench,
) -> None:
    async with bench.worker():
        progress = await bench.reached("ready")

        assert [str(phase.state) for phase in progress.phases] == [
            "done", "skipped", "skipped", "skipped", "done",
        ]  # fmt: skip
        assert {phase.detail for phase in progress.phases[1:4]} == {NO_ODOO}
        assert all(phase.finished_at for phase in progress.phases)

        async def no_jobs() -> bool:
            return await bench.jobs() == 0

        await until(no_jobs)


async def test_a_phase_that_fails_ends_in_error_with_its_sentence_and_can_be_retried(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    async def start(tenant_id: int, say: Say) -> Outcome:
        calls.append("starting")
        return Outcome(State.DONE)

    async def full(tenant_id: int, say: Say) -> Outcome:
        calls.append("creating_odoo")
        if calls.count("creating_odoo") == 1:
            raise PhaseFailed("Odoo is full. Try again later.") from OSError("disk 7")
        return Outcome(State.DONE, "made")

    async with bench.worker(starting=start, creating_odoo=full):
        failed = await bench.reached("error")
        assert failed.error == "Odoo is full. Try again later."
        assert "disk 7" in caplog.text

        await bench.begin()
        ready = await bench.reached("ready")

    assert ready.attempt == 2
    assert ready.error is None
    assert calls == ["starting", "creating_odoo", "creating_odoo"]


async def test_a_phase_that_breaks_says_nothing_of_the_cause_to_the_person(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(tenant_id: int, say: Say) -> Outcome:
        raise ZeroDivisionError("pg://secret")

    async with bench.worker(seeding=broken, ready=broken):
        progress = await bench.reached("error")

    assert progress.error == (
        "Something went wrong on our side. Try again in a moment."
    )
    assert "pg://secret" in caplog.text
    assert all("secret" not in (phase.detail or "") for phase in progress.phases)


async def test_a_failed_seeding_leaves_a_ready_tenant_that_says_so(
    bench: Bench,
) -> None:
    async def broken(tenant_id: int, say: Say) -> Outcome:
        raise PhaseFailed("No leads were found.")

    async with bench.worker(seeding=broken):
        progress = await bench.reached("ready")

    assert progress.error == "No leads were found."
    assert str(progress.phases[3].state) == "failed"


async def test_a_job_for_a_tenant_that_is_gone_is_put_away(bench: Bench) -> None:
    async with bench.databases.superuser() as superuser:
        await superuser.execute("DELETE FROM tenants")

    async with bench.worker():

        async def no_jobs() -> bool:
            return await bench.jobs() == 0

        await until(no_jobs)


async def test_a_suspended_tenant_s_onboarding_stops_and_goes_on_once_it_is_open(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def start(tenant_id: int, say: Say) -> Outcome:
        await bench.suspend()
        return Outcome(State.DONE)

    async with bench.worker(starting=start):
        failed = await bench.reached("error")
        assert failed.error == SUSPENDED
        assert [str(phase.state) for phase in failed.phases[:3]] == [
            "done", "failed", "pending",
        ]  # fmt: skip
        assert "(tenant_suspended)" in caplog.text
        with pytest.raises(TenantSuspended):
            await bench.begin()

        await bench.resume()
        await bench.begin()
        assert (await bench.reached("ready")).attempt == 2


async def test_while_another_has_the_database_in_hand_the_job_waits(
    store: OnboardingStore, worker: OnboardingStore
) -> None:
    tenant_id = (await store.start(ANN, None)).tenant_id
    calls: list[int] = []

    async def held(tenant_id: int, say: Say) -> Outcome:
        calls.append(tenant_id)
        raise StillHeld

    with pytest.raises(StillHeld):
        await Runner(worker, {**STEPS, "ready": held}, utc_now).run(tenant_id)

    assert len(calls) == 1, "the queue tries again, not we"
    found = await store.get(tenant_id)
    assert found is not None
    assert found[0].status != "error"
