"""A tenant being onboarded, and workers to do it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bff.config_operating import Worker
from bff.database import connect
from bff.onboarding.jobs import work
from bff.onboarding.store import OnboardingStore
from bff.onboarding.worker import STEPS, Runner, utc_now
from bff.tenancy import operating
from tests.bff.onboarding.founding import ANN, OPEN
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.database import Database
    from bff.onboarding.phases import Progress
    from bff.onboarding.worker import Step
    from tests.databases import Databases

FAST = Worker(heartbeat=1.0, dequeue=0.2)


class Bench:
    """A tenant being onboarded, and workers to do it."""

    def __init__(self, databases: Databases, store: OnboardingStore) -> None:
        self.databases = databases
        self.store = store
        self.tenant_id = 0

    async def begin(self) -> None:
        self.tenant_id = (await self.store.start(ANN, self.tenant_id or None)).tenant_id

    async def progress(self) -> Progress:
        found = await self.store.get(self.tenant_id)
        assert found is not None
        return found[0]

    async def reached(self, status: str, seconds: float = 10.0) -> Progress:
        async def look() -> Progress | None:
            progress = await self.progress()
            return progress if progress.status == status else None

        return await until(look, seconds=seconds)

    async def suspend(self) -> None:
        """Suspend the tenant, as an operator does."""
        async with connect(self.databases.worker, size=1) as pool:
            await suspend(pool, self.tenant_id)

    async def resume(self) -> None:
        """Let the tenant be in use again."""
        async with (
            connect(self.databases.worker, size=1) as pool,
            pool.tenant_transaction(self.tenant_id) as connection,
        ):
            await operating.resume(connection, self.tenant_id)

    async def jobs(self) -> int:
        async with self.databases.superuser() as superuser:
            return int(await superuser.fetchval("SELECT count(*) FROM pgqueuer"))

    async def cut_workers(self, name: str = "%") -> int:
        """End the worker's connections, as a failing server would."""
        async with self.databases.superuser() as superuser:
            return int(
                await superuser.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE usename = 'bff_worker' AND datname = current_database() "
                    "AND application_name LIKE $1",
                    name,
                )
            )

    @asynccontextmanager
    async def worker(self, **steps: Step) -> AsyncGenerator[asyncio.Task[None]]:
        async with connect(self.databases.worker, size=3, name="bff-worker") as pool:
            runner = Runner(OnboardingStore(pool, OPEN), {**STEPS, **steps}, utc_now)
            task = asyncio.ensure_future(work(self.databases.worker, runner, FAST))
            try:
                yield task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def suspend(database: Database, tenant_id: int) -> None:
    """Suspend a tenant; *database* is the worker's."""
    async with database.tenant_transaction(tenant_id) as connection:
        await operating.suspend(connection, tenant_id)
