"""What is due stays due until it is done, whoever is killed in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from bff.acra.due import Left, catch_up, mark
from bff.database import DatabaseUnavailable, connect

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.database import Database
    from tests.databases import Databases


@dataclass
class Doing:
    """Count how often it is done; *left* of it is not."""

    left: int = 0
    times: int = 0

    async def __call__(self, database: Database) -> Doing:
        assert database
        self.times += 1
        return self


@pytest.fixture
async def database(databases: Databases) -> AsyncGenerator[Database]:
    async with connect(databases.worker, size=2) as opened:
        yield opened


async def marked(database: Database) -> None:
    async with database.shared_transaction() as connection:
        await mark(connection)


async def test_it_is_done_once_when_it_is_due(database: Database) -> None:
    doing = Doing()
    await catch_up(database, doing)
    assert doing.times == 0

    await marked(database)
    await marked(database)
    await catch_up(database, doing)
    await catch_up(database, doing)
    assert doing.times == 1


async def test_what_is_left_or_lost_is_tried_again(database: Database) -> None:
    await marked(database)
    with pytest.raises(Left, match="2 customer rules"):
        await catch_up(database, Doing(left=2))

    async def lost(database: Database) -> Doing:
        raise DatabaseUnavailable

    with pytest.raises(DatabaseUnavailable):
        await catch_up(database, lost)
    doing = Doing()
    await catch_up(database, doing)
    assert doing.times == 1


async def test_a_change_while_it_is_done_is_due_again(database: Database) -> None:
    async def overtaken(database: Database) -> Doing:
        await marked(database)
        return Doing()

    await marked(database)
    await catch_up(database, overtaken)
    doing = Doing()
    await catch_up(database, doing)
    assert doing.times == 1


async def test_a_change_that_is_taken_back_makes_nothing_due(
    database: Database,
) -> None:
    async def taken_back() -> None:
        async with database.shared_transaction() as connection:
            await mark(connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await taken_back()
    doing = Doing()
    await catch_up(database, doing)
    assert doing.times == 0
