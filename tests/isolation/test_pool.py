"""Pooled connections go from tenant to tenant, and nothing of the last one stays.

Whatever goes wrong in the middle: the next who gets the connection sees their own rows,
and what was begun is undone.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from bff.database import Database, DatabaseUnavailable, connect
from tests.isolation.tenants import MARKS, Tenant, leaked, login, settle
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.databases import Databases
    from tests.world import Browser

    Connection = asyncpg.pool.PoolConnectionProxy

A, B = MARKS
PATHS = (
    "/export/latest_scores.json?limit=1000",
    "/export/latest_scores.csv?limit=1000",
    "/icp/rules",
    "/onboarding/status",
    "/tenants/{}/invites",
    "/tenants/{}/members",
    "/tenants/{}/audit",
    "/tenants/{}",
)


async def bad_value(connection: Connection) -> None:
    await connection.fetchval("SELECT $1::integer", "no number")


async def too_large_a_value(connection: Connection) -> None:
    await connection.fetchval("SELECT 1 WHERE $1::bigint > 0", 2**63)


async def failing_statement(connection: Connection) -> None:
    await connection.execute("SELECT 1/0")


async def broken_rule_of_a_table(connection: Connection) -> None:
    await connection.execute("INSERT INTO lead_scores VALUES ($1, -1)", A)


async def row_for_another(connection: Connection) -> None:
    await connection.execute("INSERT INTO lead_features VALUES ($1, 1)", B)


async def limit_of_the_server(connection: Connection) -> None:
    await connection.execute("SET LOCAL statement_timeout = '30ms'")
    await connection.execute("SELECT pg_sleep(60)")


async def limit_of_ours(connection: Connection) -> None:
    await connection.execute("SELECT pg_sleep(60)", timeout=0.05)


async def mistake_of_the_caller(connection: Connection) -> None:
    raise ZeroDivisionError


async def setting_for_the_whole_connection(connection: Connection) -> None:
    """As no code of ours does: even that must not stay."""
    await connection.execute(
        "SELECT set_config('request.tenant_id', $1, false)", str(A)
    )
    await connection.execute("SELECT 1/0")


async def half_a_cursor(connection: Connection) -> None:
    async for _ in connection.cursor("SELECT generate_series(1, 100000)"):
        raise ZeroDivisionError


async def savepoint(connection: Connection) -> None:
    await connection.execute("SAVEPOINT one")
    await connection.execute("SELECT set_config('request.tenant_id', '9', true)")
    await connection.execute("SELECT 1/0")


async def lost_connection(connection: Connection) -> None:
    await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


BREAKS = (
    bad_value,
    too_large_a_value,
    failing_statement,
    broken_rule_of_a_table,
    row_for_another,
    limit_of_the_server,
    limit_of_ours,
    mistake_of_the_caller,
    setting_for_the_whole_connection,
    half_a_cursor,
    savepoint,
    lost_connection,
)
GOES_WRONG = (asyncpg.PostgresError, asyncpg.DataError, DatabaseUnavailable)


async def spoil(
    database: Database, broken: Callable[[Connection], Awaitable[None]]
) -> None:
    """Write as A, then break."""
    async with database.tenant_transaction(A) as connection:
        await connection.execute("UPDATE tenants SET name = 'half done'")
        await broken(connection)


async def all_is_as_it_should_be(databases: Databases, database: Database) -> None:
    """See that every tenant, and nobody, sees what is theirs, and nothing is half."""
    query = "SELECT name FROM tenants UNION ALL SELECT langsmith_trace_url FROM "
    query += "enrichment_runs"
    async with database.shared_transaction() as connection:
        assert not await connection.fetchval(
            "SELECT current_setting('request.tenant_id', true)"
        )
        assert await connection.fetch(query) == []
    for tenant_id in (B, A):
        async with database.tenant_transaction(tenant_id) as connection:
            rows = await connection.fetch(query)
            assert [row["name"] for row in rows] == [MARKS[tenant_id]] * 2
    async with database.user_transaction("i nobody") as connection:
        assert await connection.fetch(query) == []
    async with databases.superuser() as superuser:
        assert not await superuser.fetchval(
            "SELECT count(*) FROM tenants WHERE name = 'half done'"
        )


@pytest.mark.parametrize("broken", BREAKS, ids=lambda each: each.__name__)
async def test_what_breaks_in_the_middle_leaves_nothing_to_the_next(
    databases: Databases, broken: Callable[[Connection], Awaitable[None]]
) -> None:
    await two_tenants(databases)
    # One connection: the next who comes gets the very same.
    async with connect(databases.app, size=1) as database:
        for _ in range(2):
            with pytest.raises((*GOES_WRONG, ZeroDivisionError)):
                await spoil(database, broken)
            await all_is_as_it_should_be(databases, database)


@pytest.mark.parametrize("asleep", [True, False], ids=["in a statement", "between two"])
async def test_who_is_cancelled_in_the_middle_leaves_nothing_to_the_next(
    databases: Databases, *, asleep: bool
) -> None:
    await two_tenants(databases)
    async with connect(databases.app, size=1) as database:
        begun = asyncio.Event()

        async def waits(connection: Connection) -> None:
            begun.set()
            if asleep:
                await connection.execute("SELECT pg_sleep(60)")
            await asyncio.sleep(60)

        for _ in range(2):
            begun.clear()
            task = asyncio.ensure_future(spoil(database, waits))
            await begun.wait()
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await all_is_as_it_should_be(databases, database)


async def two_tenants(databases: Databases) -> None:
    async with databases.superuser() as superuser:
        for tenant_id, mark in MARKS.items():
            await superuser.execute(
                "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2)",
                tenant_id,
                mark,
            )
            await superuser.execute(
                "INSERT INTO enrichment_runs (tenant_id, langsmith_trace_url) "
                "VALUES ($1, $2)",
                tenant_id,
                mark,
            )


SMALL: dict[str, dict[str, Any]] = {
    "worker": {"embedded": False},
    "database": {"pool_size": 2},
}


async def looked(browser: Browser, mine: Tenant, other: Tenant, path: str) -> None:
    """See one's own, and nothing of the other's."""
    answer = await browser.get(path.format(mine.tenant_id))
    text = await answer.read()
    assert answer.status == 200, text
    assert mine.mark.lower().encode() in text.lower(), path
    assert leaked(text, other) == [], path


async def test_two_hundred_requests_of_two_tenants_over_two_connections_each(
    databases: Databases,
) -> None:
    """On two replicas, some of them given up half way."""
    chance = random.Random(7)  # noqa: S311 - only to shuffle
    world = World(databases, settings=SMALL)
    async with (
        world.running(),
        world.another_gateway() as elsewhere,
        world.browser() as one,
        world.browser() as two,
        world.browser(elsewhere) as one_elsewhere,
        world.browser(elsewhere) as two_elsewhere,
    ):
        tenants = await settle(world)
        for here, there, tenant_id in (
            (one, one_elsewhere, A),
            (two, two_elsewhere, B),
        ):
            await login(here, tenants[tenant_id])
            await login(there, tenants[tenant_id])
        people = [
            (one, A, B), (one_elsewhere, A, B), (two, B, A), (two_elsewhere, B, A),
        ]  # fmt: skip
        calls = [
            (people[number % 4], PATHS[(number // 4) % len(PATHS)])
            for number in range(200)
        ]
        chance.shuffle(calls)
        gate = asyncio.Semaphore(16)

        async def call(person: tuple[Browser, int, int], path: str) -> str:
            browser, mine, other = person
            gives_up = chance.random() < 0.2
            async with gate:
                looking = looked(browser, tenants[mine], tenants[other], path)
                if not gives_up:
                    await looking
                    return "done"
                try:
                    async with asyncio.timeout(chance.random() / 50):
                        await looking
                except TimeoutError:
                    return "gave up"
                return "done"

        done = await asyncio.gather(*(call(person, path) for person, path in calls))
        assert len(done) == 200
        assert done.count("done") >= 100
        # Everybody who gave up has left the pools as they were.
        for browser, mine, other in people:
            for path in PATHS:
                await looked(browser, tenants[mine], tenants[other], path)


async def test_a_reader_who_leaves_in_the_middle_leaves_nothing_to_the_next(
    databases: Databases,
) -> None:
    world = World(databases, settings=SMALL)
    async with world.running(), world.browser() as one, world.browser() as two:
        tenants = await settle(world)
        await login(one, tenants[A])
        await login(two, tenants[B])
        async with databases.superuser() as superuser:
            await superuser.execute(
                "WITH one AS (INSERT INTO companies (name) SELECT 'c' || n FROM "
                "generate_series(1, 20000) AS n RETURNING company_id) "
                "INSERT INTO lead_scores (tenant_id, company_id, score, rationale) "
                "SELECT $1::bigint, company_id, 0.1, repeat($2, 20) FROM one",
                A,
                MARKS[A],
            )
        for kind in ("json", "csv") * 3:
            path = f"/export/latest_scores.{kind}?limit=1000000"
            answer = await one.get(path)
            assert answer.status == 200
            assert await answer.content.readany()
            answer.close()  # the connection breaks
            for own in PATHS:
                await looked(two, tenants[B], tenants[A], own)
