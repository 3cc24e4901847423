"""Ways to copy that only a real Odoo has: its command line, PostgreSQL, and a crash."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg
import pytest

from odoo import errors, records
from odoo.cloning import ByRpc, BySql, Made, clone
from odoo.command import ByCommand
from odoo.databases import State
from tests.bff.waiting import until
from tests.fakes.odoo_data import SERVICE
from tests.real import odoo_conformance, odoo_warm

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from odoo.cloning import Sql
    from tests.real.odoo import Odoo
    from tests.real.odoo_conformance import OdooSide

pytestmark = pytest.mark.real


@pytest.fixture
async def side(real_odoo: Odoo) -> AsyncGenerator[OdooSide]:
    async with odoo_conformance.running(real_odoo) as one:
        yield one


async def test_command_line_needs_no_manager(side: OdooSide, real_odoo: Odoo) -> None:
    name, place = side.name(), real_odoo.place
    file = place.configuration("command.conf", {"list_db": "False"})
    way = ByCommand(
        program=place.program(),
        configuration=str(file),
        environment=place.environment(),
        seconds=120,
    )
    assert await clone(way, side.databases, side.template, name) is Made.WHOLE
    await _assert_own(side, name)
    with pytest.raises(errors.CommandFailed):
        await way.clone(side.template, name)


async def test_postgres_copies_and_odoo_takes_it_for_its_own(
    side: OdooSide, real_odoo: Odoo
) -> None:
    name = side.name()
    way = BySql(
        connect=_connecting(real_odoo),
        owner=odoo_warm.ROLE,
        filestore=real_odoo.place.folder / "data" / "filestore",
        now=lambda: datetime.now(UTC),
    )
    assert await clone(way, side.databases, side.template, name) is Made.WHOLE
    assert name in await side.databases.listed()
    assert (real_odoo.place.folder / "data" / "filestore" / name).is_dir()
    await _assert_own(side, name)
    await side.databases.drop(name)
    assert await side.databases.state(name) is State.MISSING


async def test_crash_in_the_middle_of_a_copy(side: OdooSide, real_odoo: Odoo) -> None:
    name = side.name()
    with real_odoo.another() as doomed:
        way = ByRpc(side.at(doomed.url).databases)
        copying = asyncio.create_task(
            clone(way, side.databases, side.template, name, patience=60)
        )
        await _appears(real_odoo, name)
        doomed.kill()
        made = await copying

    assert made is Made.MAYBE_HALF
    # PostgreSQL has finished; Odoo came to nothing of what it does afterwards.
    models = side.json2(name)
    assert await records.parameter(models, records.UUID) == side.template_uuid
    assert not (real_odoo.place.folder / "data" / "filestore" / name).exists()
    await side.databases.drop(name)
    again = ByRpc(side.databases)
    assert await clone(again, side.databases, side.template, name) is Made.WHOLE


async def test_crash_in_the_middle_of_a_creation(
    side: OdooSide, real_odoo: Odoo
) -> None:
    name = side.name()
    with real_odoo.another() as doomed:
        databases = side.at(doomed.url).databases
        creating = asyncio.create_task(
            databases.create(name, login="a@b.test", password="Test-Password-1")
        )
        await _appears(real_odoo, name)
        # Its first tables take Odoo some seconds.
        await asyncio.sleep(1)
        doomed.kill()
        with pytest.raises(errors.OutcomeUnknown):
            await creating

    # Alone or not, it does not keep anybody from the rest of the server.
    for shared in real_odoo.pair or ():
        await side.databases.drop(shared)
    real_odoo.pair = None
    assert await side.databases.listed() == {name}
    assert (await side.raw("/web/health")).status == 500
    assert await side.databases.preflight() == "19.0"
    assert await side.databases.state(name) is State.BROKEN
    with pytest.raises(errors.DatabaseExists):
        await side.databases.create(name, login="a@b.test", password="Test-Password-1")
    await side.databases.drop(name)
    assert await side.databases.state(name) is State.MISSING


async def _assert_own(side: OdooSide, name: str) -> None:
    models = side.json2(name)
    assert await records.me(models) == SERVICE
    uuid = await records.parameter(models, records.UUID)
    assert uuid not in {None, side.template_uuid}


async def _appears(odoo: Odoo, name: str) -> None:
    connection = await asyncpg.connect(odoo.place.superuser())
    try:
        query = "SELECT 1 FROM pg_database WHERE datname = $1"
        await until(lambda: connection.fetchval(query, name), seconds=60)
    finally:
        await connection.close()


def _connecting(odoo: Odoo) -> Callable[[str], AbstractAsyncContextManager[Sql]]:
    @asynccontextmanager
    async def connect(database: str) -> AsyncGenerator[asyncpg.Connection]:
        connection = await asyncpg.connect(odoo.place.superuser(database))
        try:
            yield connection
        finally:
            await connection.close()

    return connect
