"""Tenants that were made ready while there was no Odoo get theirs once there is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg
import pytest

from bff.config_operating import Worker
from bff.database import connect
from bff.onboarding.jobs import wake_forgotten, work
from bff.onboarding.phases import State
from bff.onboarding.store import JOB, JOB_WITH_ODOO, OnboardingStore
from bff.onboarding.worker import STEPS, Outcome, Runner, Say, utc_now
from bff.sites.safe import Replaced
from tests.bff.onboarding.founding import ANN, OPEN
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.database import Database
    from bff.onboarding.store import Started
    from tests.bff.onboarding.estate import Estate
    from tests.databases import Databases

ADMIN = replace(ANN, is_admin=True)


@pytest.fixture
def later(app: Database) -> OnboardingStore:
    return OnboardingStore(app, OPEN, with_odoo=True)


async def left_out(store: OnboardingStore, worker: OnboardingStore) -> int:
    """Found a tenant, and let a worker without Odoo make it ready."""
    tenant_id = (await store.start(ANN, None)).tenant_id
    await Runner(worker, STEPS, utc_now).run(tenant_id)
    found = await store.get(tenant_id)
    assert found is not None
    assert found[0].status == "ready"
    return tenant_id


async def jobs(databases: Databases) -> list[str]:
    async with databases.superuser() as superuser:
        rows = await superuser.fetch("SELECT entrypoint FROM pgqueuer ORDER BY id")
    return [row["entrypoint"] for row in rows]


def begins_anew(started: Started | None) -> None:
    assert started is not None
    assert started.fresh
    assert started.progress.attempt == 2
    assert {phase.state for phase in started.progress.phases} == {State.PENDING}


async def test_an_admin_s_first_login_sets_it_up_again(
    store: OnboardingStore,
    later: OnboardingStore,
    worker: OnboardingStore,
    databases: Databases,
) -> None:
    tenant_id = await left_out(store, worker)
    assert not (await store.start(ADMIN, tenant_id)).fresh
    assert not (await later.start(ANN, tenant_id)).fresh  # not an admin

    begins_anew(await later.start(ADMIN, tenant_id))

    assert not (await later.start(ADMIN, tenant_id)).fresh
    assert await jobs(databases) == [JOB, JOB_WITH_ODOO]


async def test_so_does_an_operator(
    store: OnboardingStore, later: OnboardingStore, worker: OnboardingStore
) -> None:
    tenant_id = await left_out(store, worker)
    before = await store.retry(tenant_id)
    assert before is not None
    assert not before.fresh

    begins_anew(await later.retry(tenant_id))


async def test_an_admin_by_claim_becomes_its_founder_where_there_is_no_admin(
    store: OnboardingStore,
    later: OnboardingStore,
    worker: OnboardingStore,
    databases: Databases,
) -> None:
    tenant_id = await left_out(store, worker)
    async with databases.superuser() as superuser:
        await superuser.execute("UPDATE tenant_users SET roles = '{viewer}'")

    begins_anew(await later.start(ADMIN, tenant_id))

    owner = await worker.owner(tenant_id)
    assert owner is not None
    assert owner.sub == "ann"


async def test_what_another_worker_has_left_half_way_begins_anew(
    store: OnboardingStore, worker: OnboardingStore, databases: Databases
) -> None:
    tenant_id = (await store.start(ANN, None)).tenant_id

    async def replaced(tenant_id: int, say: Say) -> Outcome:
        raise Replaced

    with pytest.raises(Replaced):
        await Runner(worker, {**STEPS, "ready": replaced}, utc_now).run(tenant_id)
    async with connect(databases.worker, size=2) as database:
        claimed = await OnboardingStore(database, OPEN, with_odoo=True).claim(tenant_id)

    assert claimed is not None
    assert {phase.state for phase in claimed[0].phases} == {State.PENDING}
    assert claimed[0].attempt == 1


@asynccontextmanager
async def at_work(databases: Databases) -> AsyncGenerator[None]:
    """Take jobs as a worker without Odoo."""
    async with connect(databases.worker, size=3) as pool:
        runner = Runner(OnboardingStore(pool, OPEN), STEPS, utc_now)
        quick = Worker(heartbeat=1.0, dequeue=0.2)
        task = asyncio.ensure_future(work(databases.worker, runner, quick))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_worker_without_odoo_cannot_take_the_job(
    store: OnboardingStore, later: OnboardingStore, databases: Databases
) -> None:
    mine = (await later.start(ANN, None)).tenant_id
    other = (await store.start(replace(ANN, sub="ben"), None)).tenant_id

    async def ready() -> bool:
        found = await store.get(other)
        return found is not None and found[0].status == "ready"

    async with at_work(databases):
        await until(ready)

    found = await store.get(mine)
    assert found is not None
    assert found[0].phases[0].state is State.PENDING
    assert await jobs(databases) == [JOB_WITH_ODOO]


async def test_it_wakes_nobody_whose_odoo_has_been_begun(
    later: OnboardingStore, databases: Databases
) -> None:
    tenant_id = (await later.start(ANN, None)).tenant_id
    async with databases.superuser() as superuser:
        await superuser.execute("DELETE FROM pgqueuer")
        await superuser.execute(
            "INSERT INTO odoo_connections (tenant_id, server_url, db_name, base_url) "
            "VALUES ($1, '', '', '')",
            tenant_id,
        )
    connection = await asyncpg.connect(databases.worker)
    try:
        assert await wake_forgotten(connection, -60) == 0
        assert await wake_forgotten(connection, -60, with_odoo=True) == 1
        # Nor is there a second job by the other name.
        await connection.execute("DELETE FROM odoo_connections")
        assert await wake_forgotten(connection, -60) == 0
    finally:
        await connection.close()
    assert await jobs(databases) == [JOB_WITH_ODOO]


async def test_it_gets_its_odoo(estate: Estate) -> None:
    async with connect(estate.databases.worker, size=2) as database:
        worker = OnboardingStore(database, OPEN)
        await Runner(worker, STEPS, utc_now).run(estate.tenant_id)
        assert (await estate.progress()).status == "ready"
        later = OnboardingStore(database, OPEN, with_odoo=True)
        begins_anew(await later.retry(estate.tenant_id))

    await estate.run()

    await estate.assert_ready()
