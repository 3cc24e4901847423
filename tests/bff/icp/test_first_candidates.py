"""A new tenant's first candidates are found by a job that nobody waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff import background, config
from bff.database import connect
from bff.icp.first_candidates import JOB, ask
from bff.onboarding.store import OnboardingStore
from tests.bff.onboarding.founding import ANN, OPEN
from tests.bff.waiting import until

if TYPE_CHECKING:
    from tests.databases import Databases


async def test_a_tenant_waits_once(databases: Databases) -> None:
    async with connect(databases.worker, size=1) as worker:
        for _ in range(2):
            await ask(worker, 7)

    async with databases.superuser() as superuser:
        rows = await superuser.fetch("SELECT entrypoint, payload FROM pgqueuer")
    assert [tuple(row) for row in rows] == [(JOB, b"7")]


async def test_they_keep_no_onboarding_under_way(databases: Databases) -> None:
    settings = config.Config.model_validate(
        {
            "database": {"url": databases.app, "worker_url": databases.worker},
            "worker": {"heartbeat": 1, "dequeue": 0.2},
        }
    )
    async with (
        connect(databases.app, size=2) as app,
        databases.superuser() as holder,
        databases.superuser() as superuser,
    ):
        await OnboardingStore(app, OPEN).start(ANN, None)

        async def left() -> list[str]:
            rows = await superuser.fetch("SELECT entrypoint FROM pgqueuer")
            return [row["entrypoint"] for row in rows]

        async def only_candidates() -> bool:
            return await left() == [JOB]

        async def all_done() -> bool:
            return not await left()

        async with holder.transaction():
            await holder.execute("LOCK TABLE icp_candidate_companies")
            async with background.worker(settings):
                await until(only_candidates, seconds=20)

        async with background.worker(settings):
            await until(all_done, seconds=20)
        assert await superuser.fetchval("SELECT computed_at FROM icp_rules")
