"""Rows are copied as one tenant sees them."""

from __future__ import annotations

import asyncio
import csv
import io
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bff.audit import Entry
from bff.config_tenancy import Exports as Settings
from bff.database import connect
from bff.errors import ShuttingDown
from bff.exports.slots import Exports
from tests.bff.exports.readers import fill

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.world import World

# Nothing in it says whose rows are wanted.
EVERYBODYS = "SELECT DISTINCT tenant_id FROM lead_scores ORDER BY 1"


@asynccontextmanager
async def exports_of(databases: Databases) -> AsyncGenerator[Exports]:
    async with connect(databases.app, size=1) as database:
        yield Exports(database, Settings(pool_size=1, per_tenant=1))


async def test_row_level_security_holds_for_copy(world: World) -> None:
    seen: dict[int, list[list[str]]] = {}
    async with exports_of(world.databases) as exports:
        for tenant_id in (1001, 1002, 1003, 1001):
            out = io.BytesIO()

            async def write(data: bytes, out: io.BytesIO = out) -> None:
                out.write(data)

            await exports.copy(
                tenant_id,
                EVERYBODYS,
                write,
                entry=Entry("scores.exported", tenant_id),
                options={},
            )
            seen[tenant_id] = list(csv.reader(io.StringIO(out.getvalue().decode())))

    assert seen == {1001: [["1001"]], 1002: [["1002"]], 1003: []}


async def test_a_writer_that_fails_leaves_the_pool_usable(world: World) -> None:
    class Full(Exception):
        pass

    async def write(data: bytes) -> None:
        raise Full

    await fill(world.databases, 3000)
    async with exports_of(world.databases) as exports:
        for _ in range(3):
            with pytest.raises(Full):
                await exports.copy(
                    1001,
                    "SELECT rationale FROM lead_scores",
                    write,
                    entry=Entry("scores.exported", 1001),
                    options={},
                )


async def test_small_exports_take_turns(databases: Databases) -> None:
    at_once = most = 0
    async with exports_of(databases) as exports:

        async def export(tenant_id: int) -> None:
            nonlocal at_once, most
            async with exports.admitted(tenant_id):
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(0.01)
                at_once -= 1

        await asyncio.gather(*(export(1001 + number % 3) for number in range(12)))
        assert exports.running == 0
        await exports.finished()

    assert most == 1


async def test_who_stops_waiting_is_forgotten(databases: Databases) -> None:
    async with exports_of(databases) as exports, exports.admitted(1001):
        waiting = []
        for tenant_id in (1001, 1002):
            entering = exports.admitted(tenant_id).__aenter__()
            waiting.append(asyncio.ensure_future(entering))
        await asyncio.sleep(0.01)
        assert exports.running == 3
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
        assert exports.running == 1


async def test_nobody_is_admitted_while_draining(databases: Databases) -> None:
    async with exports_of(databases) as exports:
        exports.draining = True
        with pytest.raises(ShuttingDown):
            async with exports.admitted(1001):
                pass
        await exports.finished()
