"""Behind a real PgBouncer in transaction mode; LISTEN and jobs go direct."""

from __future__ import annotations

import asyncio
import csv
import io
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bff import patience
from bff.database import connect
from bff.listener import LISTENER
from tests import parts
from tests.bff.exports.readers import CSV
from tests.bff.sessions.refreshing import PAST, elsewhere, refreshes, ticket
from tests.bff.waiting import until
from tests.pgbouncer import SERVERS, PgBouncer, pgbouncer
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.world import Browser


@pytest.fixture
async def bouncer(databases: Databases) -> AsyncGenerator[PgBouncer]:
    async with pgbouncer(parts.pgbouncer(), databases) as running:
        yield running


@asynccontextmanager
async def behind(bouncer: PgBouncer, databases: Databases) -> AsyncGenerator[World]:
    url = {"url": bouncer.through(databases.app), "listen_url": databases.app}
    async with World(databases, settings={"database": url}).running() as world:

        async def hears() -> bool:
            return world.app[LISTENER].hears

        await until(hears)
        yield world


async def whoami(*browsers: Browser) -> list[int]:
    return [(await one.get("/whoami")).status for one in browsers]


async def test_people_sign_in_renew_once_on_two_gateways_and_sign_out_everywhere(
    bouncer: PgBouncer, databases: Databases
) -> None:
    async with (
        behind(bouncer, databases) as world,
        world.another_gateway() as other,
        world.signed_in() as browser,
        elsewhere(world, other, browser.cookies) as second,
        world.signed_in("bob@globex.test") as bob,
    ):
        assert await whoami(browser, second, bob) == [200, 200, 200]
        world.clock.ahead += PAST
        answers = await asyncio.gather(
            *(one.get("/whoami") for _ in range(10) for one in (browser, second))
        )
        assert {one.status for one in answers} == {200}
        assert refreshes(world) == 1
        assert (
            ticket(world, browser.cookies).access_token
            == ticket(world, second.cookies).access_token
        )

        stolen = second.cookies
        answer = await browser.post("/auth/logout", json={"everywhere": True})
        assert answer.status == 204

        async def heard() -> bool:
            second.set_cookies(stolen)
            return (await second.get("/whoami")).status == 401

        await until(heard)
        assert await whoami(bob) == [200]


async def test_tenants_take_turns_on_a_connection_and_never_meet(
    bouncer: PgBouncer, databases: Databases
) -> None:
    async with behind(bouncer, databases):
        pass  # there are two tenants now
    seen: dict[int, set[int | None]] = defaultdict(set)

    async def turn(tenant_id: int | None) -> None:
        opened = (
            database.shared_transaction()
            if tenant_id is None
            else database.tenant_transaction(tenant_id)
        )
        async with opened as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await asyncio.sleep(0.01)
            rows = await connection.fetch("SELECT tenant_id FROM tenants")
            own = [] if tenant_id is None else [tenant_id]
            assert [row["tenant_id"] for row in rows] == own
            assert await connection.fetchval("SELECT $1::bigint", 7) == 7
            seen[pid].add(tenant_id)

    url = bouncer.through(databases.app)
    async with connect(url, size=20, pooled=True) as database:
        await asyncio.gather(*(turn(one) for one in (1001, 1002, None) * 40))

    assert len(seen) <= SERVERS
    assert all(len(met) == 3 for met in seen.values())


async def test_exports_are_copied_through_it(
    bouncer: PgBouncer, databases: Databases
) -> None:
    async with behind(bouncer, databases) as world, databases.superuser() as superuser:
        await superuser.execute(
            "WITH made AS (INSERT INTO companies (name) "
            "SELECT 'pooled ' || n FROM generate_series(1, 3000) AS n "
            "RETURNING company_id) "
            "INSERT INTO lead_scores (tenant_id, company_id, score) "
            "SELECT 1001 + company_id % 2, company_id, 50 FROM made"
        )
        async with (
            world.signed_in() as alice,
            world.signed_in("bob@globex.test") as bob,
        ):
            answers = await asyncio.gather(
                *(one.get(f"{CSV}?limit=5000") for one in (alice, bob))
            )
            found = [
                {
                    row["name"]
                    for row in csv.DictReader(io.StringIO(text))
                    if row["name"].startswith("pooled")
                }
                for text in [await one.text() for one in answers]
            ]
        assert [one.status for one in answers] == [200, 200]
        assert [len(one) for one in found] == [1500, 1500]
        assert not found[0] & found[1]


async def test_a_workspace_is_set_up_and_the_changes_are_heard(
    bouncer: PgBouncer, databases: Databases
) -> None:
    async with (
        behind(bouncer, databases) as world,
        world.signed_in("carol@initech.test") as carol,
    ):
        assert (await carol.post("/onboarding/first_login")).status == 202

        async def ready() -> bool:
            answer = await carol.get("/onboarding/status")
            return bool((await answer.json())["status"] == "ready")

        await until(ready, seconds=30)


async def test_the_start_says_where_a_pooler_is_not_expected(
    bouncer: PgBouncer, databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    url = bouncer.through(databases.app)
    told: list[str] = []
    await patience.until_usable({"database.url": url}, told.append)
    assert "set database.listen_url" in caplog.text
    caplog.clear()
    await patience.until_usable({"database.worker_url": url}, told.append, pooled=True)
    assert "database.worker_url: goes through a connection pooler" in caplog.text
    caplog.clear()
    await patience.until_usable({"database.url": url}, told.append, pooled=True)
    await patience.until_usable({"database.url": databases.app}, told.append)
    assert not caplog.text
    assert not told
