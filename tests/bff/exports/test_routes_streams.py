"""Exports that are read slowly, or not to their end: nothing piles up, nothing lies."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bff.serve import drain
from tests.bff.exports.readers import (
    CSV,
    JSON,
    LAST_CHUNK,
    exporting,
    fill,
    locked,
    reading,
    until_over,
    until_stalled,
)
from tests.bff.waiting import until
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import asyncpg

    from tests.databases import Databases

ALL = "?limit=1000000"
FEW = f"{JSON}?limit=2"
ROWS = 6000  # of 4 KB: more than kernels buffer for a connection
MB = 2**20


def settings(**exports: Any) -> dict[str, dict[str, Any]]:
    return {
        "database": {"pool_size": 2},
        "worker": {"embedded": False},
        "exports": exports,
    }


@pytest.fixture
async def full(databases: Databases) -> AsyncGenerator[World]:
    """Give a gateway with more scores than buffers hold."""
    async with World(databases, settings=settings()).running() as world:
        await fill(databases, ROWS)
        yield world


@pytest.fixture
async def superuser(databases: Databases) -> AsyncGenerator[asyncpg.Connection]:
    async with databases.superuser() as connection:
        yield connection


def resident() -> int:
    """Return the bytes of memory this process has, the gateway's with them."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def broken_off(rest: bytes) -> bool:
    return bool(rest) and not rest.endswith(LAST_CHUNK)


@pytest.mark.parametrize("path", [JSON, CSV])
async def test_a_reader_who_does_not_read_costs_little_memory(
    databases: Databases, superuser: asyncpg.Connection, path: str
) -> None:
    async with World(databases, settings=settings()).running() as world:
        await fill(databases, 50_000)  # 200 MB
        async with world.signed_in() as browser:
            async with reading(browser, f"{path}?limit=1000") as first:
                await first.rest()  # what is loaded and made once
            before = resident()
            async with reading(browser, path + ALL):
                await until_stalled(superuser)
                await asyncio.sleep(0.5)
                assert len(await exporting(superuser)) == 1
                assert resident() - before < 60 * MB


@pytest.mark.parametrize("path", [JSON, CSV])
async def test_a_reader_may_leave_anywhere(
    full: World,
    superuser: asyncpg.Connection,
    path: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While PostgreSQL is asked, while it answers, while the reader is waited for."""
    async with full.signed_in() as browser:
        for place in range(25):
            async with reading(browser, path + ALL) as reader:
                got = 0
                while got < place * 200_000:
                    got += len(await reader.some())
        await until_over(superuser)
        assert (await browser.get(f"{path}?limit=2")).status == 200
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.mark.parametrize("path", [JSON, CSV])
async def test_a_reader_who_leaves_ends_the_query(
    full: World, superuser: asyncpg.Connection, path: str
) -> None:
    async with full.signed_in() as browser:
        for _ in range(6):  # more than there are connections
            async with reading(browser, path + ALL) as reader:
                await reader.some()
                await until_stalled(superuser)
            await until_over(superuser)
        assert (await browser.get(f"{path}?limit=2")).status == 200


async def test_a_reader_who_leaves_before_the_first_row_ends_the_query_too(
    full: World, superuser: asyncpg.Connection
) -> None:
    async def waits() -> bool:
        return "relation" in [row["wait_event"] for row in await exporting(superuser)]

    async with full.signed_in() as browser, locked(full.databases):
        async with reading(browser, JSON):
            await until(waits)
        await until_over(superuser)


@pytest.mark.parametrize("path", [JSON, CSV])
async def test_an_outage_before_the_first_row_is_said(
    full: World, superuser: asyncpg.Connection, path: str
) -> None:
    async with full.signed_in() as browser:
        async with locked(full.databases):
            asking = asyncio.ensure_future(browser.get(path))
            await until(lambda: _end_backends(superuser))
            answer = await asking
        assert answer.status == 503
        assert answer.content_type == "application/problem+json"
        assert (await answer.json())["code"] == "unavailable"
        await superuser.execute("ALTER TABLE lead_scores RENAME TO gone")
        answer = await browser.get(path)
        assert (answer.status, answer.content_type) == (500, "application/problem+json")


async def _end_backends(superuser: asyncpg.Connection) -> bool:
    """Kill the backends of exports that run a statement; tell whether there was one."""
    found: bool | None = await superuser.fetchval(
        "SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'bff-exports' "
        "AND state = 'active' AND query LIKE 'COPY%'"
    )
    return bool(found)


@pytest.mark.parametrize("path", [JSON, CSV])
async def test_an_outage_after_the_first_row_breaks_the_answer_off(
    full: World,
    superuser: asyncpg.Connection,
    path: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with full.signed_in() as browser:
        async with reading(browser, path + ALL) as reader:
            got = await reader.some()
            await until_stalled(superuser)
            assert await _end_backends(superuser)
            rest = got + await reader.rest()
        assert rest.startswith(b"HTTP/1.1 200 ")
        assert broken_off(rest)
        assert "an export broke off" in caplog.text
        assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
        assert (await browser.get(f"{path}?limit=2")).status == 200


@pytest.mark.parametrize("path", [JSON, CSV])
async def test_an_export_ends_with_its_session(
    full: World, superuser: asyncpg.Connection, path: str
) -> None:
    async with full.signed_in() as browser, reading(browser, path + ALL) as reader:
        got = await reader.some()
        await until_stalled(superuser)
        assert (await browser.post("/auth/logout")).status == 204
        await until_over(superuser)
        assert broken_off(got + await reader.rest())


async def test_a_reader_who_is_too_slow_is_cut_off(
    databases: Databases,
    superuser: asyncpg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(databases, settings=settings(max_seconds=3))
    async with world.running():
        await fill(databases, ROWS)
        async with world.signed_in() as browser:
            async with reading(browser, JSON + ALL) as reader:
                got = await reader.some()
                await until_stalled(superuser)
                await until_over(superuser)
                assert broken_off(got + await reader.rest())
            assert "it took over 3 s" in caplog.text
            assert (await browser.get(FEW)).status == 200


async def test_an_export_that_does_not_begin_in_time_is_refused(
    databases: Databases, superuser: asyncpg.Connection
) -> None:
    world = World(databases, settings=settings(max_seconds=0.5))
    async with world.running(), world.signed_in() as browser, locked(databases):
        answer = await browser.get(JSON)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
        await until_over(superuser)


async def test_stalled_readers_keep_nobody_else_waiting(
    databases: Databases, superuser: asyncpg.Connection
) -> None:
    """They hold what exports have, and no connection of anybody else."""
    world = World(databases, settings=settings(pool_size=2, per_tenant=2))
    async with (
        world.running(),
        world.signed_in() as alice,
        world.signed_in("bob@globex.test") as bob,
    ):
        await fill(databases, ROWS)
        async with reading(alice, JSON + ALL), reading(bob, CSV + ALL):
            await until_stalled(superuser, 2)
            refused = asyncio.ensure_future(bob.get(JSON))
            for _ in range(3):
                for path in ("/auth/sessions", "/onboarding/status", "/tenants/1001"):
                    assert (await alice.get(path)).status == 200
            async with world.browser() as other:
                assert (await other.login("dave@acme.test")).status == 200
            answer = await refused
            assert (answer.status, (await answer.json())["code"]) == (503, "too_busy")
            assert answer.headers["Retry-After"] == "5"
        await until_over(superuser)
        assert (await bob.get(FEW)).status == 200


async def test_a_tenant_has_its_share_and_no_more(
    databases: Databases, superuser: asyncpg.Connection
) -> None:
    world = World(databases, settings=settings(pool_size=2, per_tenant=1))
    async with (
        world.running(),
        world.signed_in() as alice,
        world.signed_in("bob@globex.test") as bob,
    ):
        await fill(databases, ROWS)
        async with reading(alice, JSON + ALL):
            await until_stalled(superuser)
            refused = await alice.get(CSV)
            assert refused.status == 429
            assert refused.content_type == "application/problem+json"
            assert (await refused.json())["code"] == "too_many_exports"
            assert refused.headers["Retry-After"] == "5"
            assert (await bob.get(FEW)).status == 200
        await until_over(superuser)
        assert (await alice.get(FEW)).status == 200


async def test_draining_waits_for_exports_and_takes_no_new_ones(
    full: World, superuser: asyncpg.Connection
) -> None:
    async with full.signed_in() as browser, reading(browser, JSON + ALL) as reader:
        got = await reader.some()
        await until_stalled(superuser)
        draining = asyncio.ensure_future(drain(full.app, 50))

        async def refused() -> bool:
            answer = await browser.get(FEW)
            return (answer.status, answer.headers.get("Retry-After")) == (503, "1")

        await until(refused)
        assert not draining.done()
        got += await reader.rest()
        await asyncio.wait_for(draining, 20)

    assert got.endswith(LAST_CHUNK)


async def test_what_outlasts_the_draining_is_cut_and_not_ended(
    databases: Databases, superuser: asyncpg.Connection
) -> None:
    world = World(databases, settings=settings())
    async with world.running():
        await fill(databases, ROWS)
        async with world.signed_in() as browser:
            opened = reading(browser, CSV + ALL)
            reader = await opened.__aenter__()
            got = await reader.some()
            await until_stalled(superuser)
            await drain(world.app, 0.1)
    await until_over(superuser)
    assert broken_off(got + await reader.rest())
    reader.leave()


async def test_rows_read_slowly_are_all_there(
    full: World, superuser: asyncpg.Connection
) -> None:
    async with full.signed_in() as browser:
        async with browser.session.get(
            browser.url + JSON + ALL,
            headers={"Sec-Fetch-Site": "same-origin", "Host": full.url[7:]},
        ) as answer:
            await until_stalled(superuser)
            told = json.loads(await answer.read())
        scored = await superuser.fetchval(
            "SELECT count(*) FROM lead_scores WHERE tenant_id = 1001"
        )
    assert len(told) == scored == ROWS + 6
