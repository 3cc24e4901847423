"""The network to PostgreSQL is slow, silent or gone; or its connections are all taken.

Killed and frozen servers, with renewals on two replicas: `test_postgres_outage`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bff.dev.demo import PASSWORD
from tests.faults.shim import Weather
from tests.faults.stage import ALICE, goes_on, heals, in_time, refuses, stage
from tests.replicas import open_stream, time_to_break

if TYPE_CHECKING:
    from pathlib import Path

    from tests.databases import Databases

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]
BOB = "bob@globex.test"


async def test_a_slow_postgres_refuses_nothing(
    databases: Databases, tmp_path: Path
) -> None:
    async with stage(databases, tmp_path) as here:
        here.postgres.weather = Weather(latency=0.04, jitter=0.04, loss=0.02)
        async with here.signed_in() as alice:
            await goes_on(alice, "/whoami", "/graph/threads/x", "/auth/sessions")
            assert (await in_time(alice.post("/auth/refresh"))).status == 200
            assert (await in_time(alice.post("/auth/logout"))).status == 204
        here.ran_well()


@pytest.mark.parametrize("fault", ["half-open", "cut off"])
async def test_a_postgres_out_of_reach_signs_nobody_out(
    databases: Databases, tmp_path: Path, fault: str
) -> None:
    async with (
        stage(databases, tmp_path) as here,
        here.signed_in() as alice,
        here.replicas.browser(here.gateway) as bob,
    ):
        stream = await open_stream(alice)
        if fault == "half-open":
            here.postgres.silence()
        else:
            await here.postgres.down()

        await goes_on(alice)
        await refuses(alice.post("/auth/refresh"), 503, "auth_unavailable")
        await refuses(alice.get("/auth/sessions"), 503, "unavailable")
        await refuses(bob.login(BOB, PASSWORD), 503, "unavailable")
        await goes_on(alice)
        assert await stream.content.readany()

        await here.postgres.up()
        await heals(alice, "/auth/refresh", "POST")
        await goes_on(alice, "/whoami", "/graph/threads/x", "/auth/sessions")
        await here.gateway.hears()
        assert (await bob.login(BOB, PASSWORD)).status == 200
        # It hears again of what ends.
        breaking = asyncio.ensure_future(time_to_break(stream))
        assert (await alice.post("/auth/logout")).status == 204
        await asyncio.wait_for(breaking, 5)
        here.ran_well()


async def test_a_pool_that_is_used_up_refuses_soon_and_streams_go_on(
    databases: Databases, tmp_path: Path
) -> None:
    small = {"pool_size": 2, "command_timeout": 2}
    async with (
        stage(databases, tmp_path, sections={"database": small}) as here,
        here.signed_in(ALICE) as alice,
        databases.superuser() as superuser,
    ):
        stream = await open_stream(alice)
        async with superuser.transaction():
            # Whoever asks for sessions waits, and holds a connection meanwhile.
            await superuser.execute("LOCK TABLE auth_session IN ACCESS EXCLUSIVE MODE")
            asked = [
                refuses(alice.get("/auth/sessions"), 503, "unavailable")
                for _ in range(8)
            ]
            await asyncio.gather(*asked, goes_on(alice))
            assert await stream.content.readany()
        await heals(alice, "/auth/sessions")
        await goes_on(alice)
        stream.close()
        here.ran_well()
