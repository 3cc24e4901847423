"""Onboarding goes on, whatever breaks on the way."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bff import config
from bff.background import worker as supervised
from bff.config_operating import Worker
from bff.database import connect
from bff.onboarding.jobs import work
from bff.onboarding.phases import State
from bff.onboarding.store import OnboardingStore
from bff.onboarding.worker import STEPS, Outcome, Runner, Say, utc_now
from tests.bff.onboarding.founding import ANN, OPEN

if TYPE_CHECKING:
    from tests.bff.onboarding.bench import Bench


async def test_a_worker_that_lost_the_race_writes_nothing_more(bench: Bench) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()
    later: list[int] = []

    async def slow(tenant_id: int, say: Say) -> Outcome:
        entered.set()
        await go_on.wait()
        return Outcome(State.DONE, "by the slow one")

    async def seed(tenant_id: int, say: Say) -> Outcome:
        later.append(tenant_id)
        return Outcome(State.DONE)

    async with connect(bench.databases.worker, size=2) as pool:
        store = OnboardingStore(pool, OPEN)
        first = Runner(
            store, {**STEPS, "creating_odoo": slow, "seeding": seed}, utc_now
        )
        paused = asyncio.ensure_future(first.run(bench.tenant_id))
        await entered.wait()
        await Runner(store, STEPS, utc_now).run(bench.tenant_id)
        finished = await bench.progress()
        assert finished.status == "ready"

        go_on.set()
        await paused

    assert await bench.progress() == finished
    assert later == []


async def test_a_job_whose_row_could_not_be_written_is_not_dropped(
    bench: Bench,
) -> None:
    cut: list[int] = []

    async def cutting(tenant_id: int, say: Say) -> Outcome:
        if not cut:
            cut.append(await bench.cut_workers("bff-worker"))
            await asyncio.sleep(0.05)
            async with bench.databases.superuser() as superuser:
                await superuser.execute("ALTER ROLE bff_worker CONNECTION LIMIT 0")
            asyncio.get_running_loop().call_later(0.3, heal.set)
        return Outcome(State.DONE)

    heal = asyncio.Event()
    async with bench.worker(creating_odoo=cutting):
        try:
            await heal.wait()
        finally:
            async with bench.databases.superuser() as superuser:
                await superuser.execute("ALTER ROLE bff_worker CONNECTION LIMIT -1")
        await bench.reached("ready")
    assert cut[0] >= 1


async def test_a_lost_connection_ends_the_worker_and_the_next_finishes_the_job(
    bench: Bench,
) -> None:
    hold = asyncio.Event()

    async def slow(tenant_id: int, say: Say) -> Outcome:
        await hold.wait()
        return Outcome(State.DONE)

    async with bench.worker(creating_odoo=slow) as lost:
        await bench.reached("creating_odoo")
        await bench.cut_workers()
        async with bench.worker():
            await bench.reached("ready", seconds=20)
        hold.set()
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the driver says
            await asyncio.wait_for(asyncio.shield(lost), 10)
    assert (await bench.progress()).status == "ready"


CHILD = """
import asyncio, os
from bff.config import Onboarding, Worker
from bff.database import connect
from bff.onboarding.jobs import work
from bff.onboarding.store import OnboardingStore
from bff.onboarding.worker import STEPS, Runner, utc_now

async def for_ever(tenant_id, say):
    await asyncio.sleep(3600)

async def main():
    url = os.environ["WORKER_URL"]
    async with connect(url, size=2) as pool:
        store = OnboardingStore(pool, Onboarding())
        runner = Runner(store, {**STEPS, "creating_odoo": for_ever}, utc_now)
        await work(url, runner, Worker())

asyncio.run(main())
"""


async def test_a_killed_worker_s_tenant_is_ready_within_twenty_seconds(
    bench: Bench,
) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CHILD,
        env={**os.environ, "WORKER_URL": bench.databases.worker},
        cwd=Path(__file__).parents[3],
    )
    try:
        await bench.reached("creating_odoo", seconds=20)
    finally:
        child.kill()
        await child.wait()
    began = asyncio.get_running_loop().time()

    async with connect(bench.databases.worker, size=2) as pool:
        runner = Runner(OnboardingStore(pool, OPEN), STEPS, utc_now)
        another = asyncio.ensure_future(work(bench.databases.worker, runner, Worker()))
        try:
            await bench.reached("ready", seconds=20)
        finally:
            another.cancel()
            with suppress(asyncio.CancelledError):
                await another

    assert asyncio.get_running_loop().time() - began < 20


async def test_the_supervisor_starts_the_worker_again_after_its_connection_died(
    bench: Bench,
) -> None:
    values: dict[str, Any] = {
        "environment": "dev",
        "database": {"url": bench.databases.app, "worker_url": bench.databases.worker},
        "auth": {"issuer": "http://localhost/realms/x", "client_secret": "x"},
        "worker": {"heartbeat": 1, "dequeue": 0.2},
    }
    async with supervised(config.build(values)):
        await bench.reached("ready")
        assert await bench.cut_workers() >= 1
        second = await bench.store.start(replace(ANN, sub="ben"), None)
        bench.tenant_id = second.tenant_id
        await bench.reached("ready", seconds=15)


async def test_the_supervisor_ends_even_when_the_worker_breaks_while_it_is_stopped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = False

    async def breaking(*_: object, **__: object) -> None:
        nonlocal broken
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if broken:
                raise
            broken = True
            raise OSError("closed already") from None

    monkeypatch.setattr("bff.background.work", breaking)
    values: dict[str, Any] = {
        "environment": "dev",
        "database": {"url": bench.databases.app, "worker_url": bench.databases.worker},
        "auth": {"issuer": "http://localhost/realms/x", "client_secret": "x"},
    }
    async with asyncio.timeout(5) as limit:
        async with supervised(config.build(values)):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    assert broken
    assert not limit.expired()


async def test_a_worker_that_is_told_to_stop_leaves_its_job_to_the_next_one(
    bench: Bench,
) -> None:
    broken_off: list[int] = []
    entered = asyncio.Event()

    async def for_ever(tenant_id: int, say: Say) -> Outcome:
        entered.set()
        try:
            await asyncio.sleep(3600)
        finally:
            broken_off.append(tenant_id)
        return Outcome(State.DONE)

    async with bench.worker(creating_odoo=for_ever) as stopped:
        await asyncio.wait_for(entered.wait(), 20)
        stopped.cancel()
        await asyncio.wait({stopped}, timeout=10)
        assert stopped.cancelled()
        assert broken_off == [bench.tenant_id]
    assert await bench.jobs() == 1

    async with bench.worker():
        await bench.reached("ready")
