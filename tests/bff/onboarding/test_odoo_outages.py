"""Servers that go away in the middle, and workers that come at the same time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest
from aiohttp import web

from bff.background import worker as supervised
from bff.config_operating import Worker
from bff.dev.ports import free_port
from bff.onboarding.jobs import wake_forgotten
from bff.onboarding.phases import State
from bff.sites.holding import holding
from tests.bff.onboarding.estate import assert_says_nothing
from tests.bff.onboarding.gates import gate
from tests.bff.waiting import until
from tests.fakes.odoo_services import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.sites.workshop import Workshop
    from tests.bff.onboarding.estate import Estate
    from tests.fakes.odoo import FakeOdoo


class Stoppable:
    """A fake Odoo on an address of its own, that can be stopped and started again."""

    def __init__(self, fake: FakeOdoo, port: int) -> None:
        self.fake, self.port = fake, port
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        self._runner = web.AppRunner(self.fake.app(), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()


@asynccontextmanager
async def stoppable(fake: FakeOdoo, port: int) -> AsyncGenerator[Stoppable]:
    one = Stoppable(fake, port)
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


async def no_jobs(estate: Estate) -> None:
    async with estate.databases.superuser() as superuser:

        async def none() -> bool:
            return not await superuser.fetchval("SELECT count(*) FROM pgqueuer")

        await until(none, seconds=30)


@pytest.mark.parametrize("half", [True, False])
async def test_odoo_that_is_restarted_in_the_middle_of_a_copy(
    estate: Estate, *, half: bool
) -> None:
    """PostgreSQL ends the copy meanwhile, with or without what Odoo does to it."""
    async with stoppable(estate.fake, free_port()) as odoo:
        estate.section["server_url"] = f"http://127.0.0.1:{odoo.port}"
        with gate(estate.fake, "duplicate_database") as held:
            running = asyncio.ensure_future(estate.run())
            await held.reached()
            await odoo.stop()
            template = estate.fake.databases[TEMPLATE]
            estate.fake.databases[estate.name] = template.copied(estate.name, half=half)
        await odoo.start()
        await running

    await estate.assert_ready()


async def test_our_postgresql_that_drops_all_connections_and_comes_back(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    settings = estate.config.model_copy(
        update={"worker": Worker(heartbeat=1, dequeue=0.2)}
    )
    with gate(estate.fake, "res.users/write") as held:
        async with supervised(settings):
            await held.reached()
            async with estate.databases.superuser() as superuser:
                await superuser.execute("ALTER ROLE bff_worker CONNECTION LIMIT 0")
                try:
                    cut = await superuser.fetchval(
                        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                        "WHERE usename = 'bff_worker' AND datname = current_database()"
                    )
                    held.open()
                    await asyncio.sleep(1.5)
                finally:
                    await superuser.execute("ALTER ROLE bff_worker CONNECTION LIMIT -1")
            await estate.reached("ready", seconds=40)
            await no_jobs(estate)

    assert cut >= 2
    assert (await estate.progress()).attempt == 1
    await estate.assert_ready()
    assert_says_nothing(caplog.text, await estate.secrets())


async def test_two_tabs_and_two_replicas_make_one_of_everything(
    estate: Estate,
) -> None:
    async with estate.worker(), estate.worker():
        again = await asyncio.gather(*(estate.begin() for _ in range(4)))
        await estate.reached("ready")
        await no_jobs(estate)

    assert again == [False] * 4
    assert estate.fake.asked("duplicate_database") == 1
    await estate.assert_ready()


async def test_two_workers_with_the_same_job_make_one_of_everything(
    estate: Estate,
) -> None:
    await asyncio.gather(*(estate.run() for _ in range(3)))

    assert estate.fake.asked("duplicate_database") == 1
    await estate.assert_ready()


async def test_a_job_that_is_lost_comes_back(estate: Estate) -> None:
    async with estate.databases.superuser() as superuser:
        await superuser.execute("DELETE FROM pgqueuer")
        await superuser.execute(
            "UPDATE onboarding SET updated_at = now() - '1h'::interval"
        )
    connection = await asyncpg.connect(estate.databases.worker)
    try:
        assert await wake_forgotten(connection) == 1
        assert await wake_forgotten(connection) == 0
    finally:
        await connection.close()

    async with estate.worker():
        await estate.reached("ready")
        await no_jobs(estate)

    await estate.assert_ready()


async def test_nobody_is_woken_who_is_ready_or_has_just_been_seen(
    estate: Estate,
) -> None:
    async with estate.databases.superuser() as superuser:
        await superuser.execute("DELETE FROM pgqueuer")
    connection = await asyncpg.connect(estate.databases.worker)
    try:
        assert await wake_forgotten(connection) == 0
        await estate.run()
        assert await wake_forgotten(connection, quiet=-60) == 0
    finally:
        await connection.close()


async def test_a_database_that_somebody_else_takes_in_hand_is_come_back_to(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    """A task of this tenant took it, while we were silent for longer than a lease."""
    caplog.set_level(logging.INFO)
    kept: list[Workshop] = []

    def keep(workshop: Workshop) -> Workshop:
        kept.append(workshop)
        return workshop

    with gate(estate.fake, "res.users/write") as held:
        async with estate.worker(), estate.runner(keep):
            await held.reached()
            async with estate.databases.superuser() as superuser:
                await superuser.execute("UPDATE odoo_connections SET held_until = NULL")
            async with holding(kept[0].database, estate.tenant_id):
                held.open()
            await estate.reached("ready")
            await no_jobs(estate)

    progress = await estate.progress()
    assert (progress.attempt, progress.phases[1].state) == (1, State.DONE)
    await estate.assert_ready()
