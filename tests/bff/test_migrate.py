"""Migrations are applied once, in order, whole or not at all."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import asyncpg
import pytest
from pgqueuer.adapters.persistence import qb
from pgqueuer.queries import Queries

from bff import migrate
from bff.dev.postgres import SUPERUSER, Postgres
from bff.migrate import (
    Migration,
    MigrationError,
    available,
    folder,
    pending,
    require_current,
    states,
)
from tests.bff.rows import ROWS, lost, snapshot
from tests.bff.schemas import empty_database, owner_of, schema, superuser_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

GOOD = Migration(1, "0001_good", "CREATE TABLE good (x int)")
LATER = Migration(2, "0002_later", "CREATE TABLE later (x int)")
BROKEN = Migration(2, "0002_broken", "CREATE TABLE half (x int); SELECT no_such()")
THIRD = Migration(3, "0003_third", "CREATE TABLE third (x int)")


@pytest.fixture
async def owner(postgres_server: Postgres) -> AsyncGenerator[asyncpg.Connection]:
    async with (
        empty_database(postgres_server) as name,
        owner_of(postgres_server, name) as connection,
    ):
        yield connection


async def tables(connection: asyncpg.Connection) -> set[str]:
    rows = await connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    return {row["tablename"] for row in rows}


async def test_an_empty_database_gets_everything_and_a_second_run_does_nothing(
    owner: asyncpg.Connection,
) -> None:
    everything = available()

    assert await pending(owner, everything) == everything
    assert await migrate.migrate(owner) == everything
    before = await schema(owner)
    assert await pending(owner, everything) == []
    assert await migrate.migrate(owner) == []
    assert await schema(owner) == before
    ledger = await owner.fetch("SELECT * FROM schema_migrations ORDER BY number")
    assert [row["checksum"] for row in ledger] == [m.checksum for m in everything]


async def test_one_step_at_a_time_makes_the_same_schema_as_all_at_once(
    postgres_server: Postgres, owner: asyncpg.Connection
) -> None:
    await migrate.migrate(owner)
    everything = available()
    for start in range(1, len(everything)):
        async with (
            empty_database(postgres_server) as name,
            owner_of(postgres_server, name) as other,
        ):
            await migrate.migrate(other, everything[:start])
            for upto in range(start, len(everything) + 1):
                await migrate.migrate(other, everything[:upto])
            assert await schema(other) == await schema(owner)


@pytest.mark.parametrize("start", range(1, len(available())))
async def test_every_step_from_every_earlier_number_keeps_the_rows_there_are(
    postgres_server: Postgres, start: int
) -> None:
    everything = available()
    async with (
        empty_database(postgres_server) as name,
        owner_of(postgres_server, name) as owner,
        superuser_of(postgres_server, name) as superuser,
    ):
        await migrate.migrate(owner, everything[:start])
        for number in range(1, start + 1):
            await superuser.execute(ROWS[number])
        before = await snapshot(superuser)
        assert all(before.values()), "write rows for the new table"
        for upto in range(start + 1, len(everything) + 1):
            await migrate.migrate(owner, everything[:upto])
            after = await snapshot(superuser)
            assert lost(before, after) == []
            await superuser.execute(ROWS[upto])
            before = await snapshot(superuser)
            assert all(before.values()), "write rows for the new table"


async def test_a_step_that_loses_rows_would_be_noticed(
    postgres_server: Postgres,
) -> None:
    everything = available()
    for bad in (
        "DELETE FROM attempts",
        "UPDATE companies SET name = 'x'",
        "ALTER TABLE tenant_users DROP COLUMN email",
        "DROP TABLE pgqueuer_log",
    ):
        async with (
            empty_database(postgres_server) as name,
            owner_of(postgres_server, name) as owner,
            superuser_of(postgres_server, name) as superuser,
        ):
            await migrate.migrate(owner, everything[:3])
            for number in (1, 2, 3):
                await superuser.execute(ROWS[number])
            before = await snapshot(superuser)
            await migrate.migrate(owner, [*everything[:3], Migration(4, "0004_b", bad)])
            assert lost(before, await snapshot(superuser)), bad


async def test_what_this_release_expects_is_required_and_what_to_do_is_said(
    owner: asyncpg.Connection,
) -> None:
    every = [GOOD, LATER, THIRD]
    with pytest.raises(MigrationError, match=r"0001_good is missing and 2 more.*up"):
        await require_current(owner, every)
    await migrate.migrate(owner, [GOOD, LATER])
    with pytest.raises(MigrationError, match=r"older.*0003_third is missing\. Run"):
        await require_current(owner, every)
    with pytest.raises(MigrationError, match=r"0002.*newer.*Deploy that one"):
        await require_current(owner, [GOOD])
    changed = Migration(1, "0001_good", "SELECT 1")
    with pytest.raises(MigrationError, match=r"0001_good was changed"):
        await require_current(owner, [changed, LATER])
    await require_current(owner, [GOOD, LATER])


async def test_each_migration_s_state_is_told(owner: asyncpg.Connection) -> None:
    assert [state.fits for state in await states(owner, [GOOD])] == [False]
    await migrate.migrate(owner, [GOOD, LATER, THIRD])
    changed = Migration(2, "0002_later", "SELECT 1")

    found = await states(owner, [GOOD, changed])

    assert [(s.name, s.known, s.changed, s.fits) for s in found] == [
        ("0001_good", True, False, True),
        ("0002_later", True, True, False),
        ("0003_third", False, False, False),
    ]
    assert all(state.applied_at for state in found)


async def test_two_at_once_apply_once_and_both_succeed(
    postgres_server: Postgres,
) -> None:
    slow = Migration(1, "0001_slow", "SELECT pg_sleep(0.2); CREATE TABLE once (x int)")
    async with (
        empty_database(postgres_server) as name,
        owner_of(postgres_server, name) as one,
        owner_of(postgres_server, name) as two,
        owner_of(postgres_server, name) as three,
    ):
        done = await asyncio.gather(
            *(migrate.migrate(each, [slow, LATER]) for each in (one, two, three))
        )
        assert sorted(len(applied) for applied in done) == [0, 0, 2]
        assert await one.fetchval("SELECT count(*) FROM schema_migrations") == 2


async def test_a_failing_file_is_undone_the_rest_is_left_and_the_good_stays(
    owner: asyncpg.Connection,
) -> None:
    with pytest.raises(MigrationError, match=r"0002_broken failed: .*no_such"):
        await migrate.migrate(owner, [GOOD, BROKEN, THIRD])

    assert await tables(owner) == {"schema_migrations", "good"}
    repaired = Migration(2, "0002_broken", "CREATE TABLE half (x int)")
    assert await migrate.migrate(owner, [GOOD, repaired, THIRD]) == [repaired, THIRD]


async def test_a_failure_gives_the_lock_back(
    postgres_server: Postgres, owner: asyncpg.Connection
) -> None:
    with pytest.raises(MigrationError):
        await migrate.migrate(owner, [GOOD, BROKEN])

    name = await owner.fetchval("SELECT current_database()")
    async with owner_of(postgres_server, name) as other:
        await asyncio.wait_for(migrate.migrate(other, [GOOD]), 5)


async def test_a_file_changed_after_it_was_applied_is_refused(
    owner: asyncpg.Connection,
) -> None:
    await migrate.migrate(owner, [GOOD])
    changed = Migration(1, "0001_good", GOOD.sql + " -- changed")

    with pytest.raises(MigrationError, match=r"0001_good was changed .* new migration"):
        await migrate.migrate(owner, [changed, LATER])
    assert "later" not in await tables(owner)


async def test_a_database_of_a_newer_release_is_refused(
    owner: asyncpg.Connection,
) -> None:
    await migrate.migrate(owner, [GOOD, LATER])

    with pytest.raises(MigrationError, match=r"migration 0002.*newer"):
        await pending(owner, [GOOD])


async def test_missing_roles_are_named_with_the_command_that_makes_them(
    owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.migrate.WORKER", "no_such_role")

    with pytest.raises(MigrationError, match=r"no role no_such_role.*bff db roles"):
        await migrate.migrate(owner, [GOOD])
    assert await tables(owner) == set()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("0001_a.sql", "0003_c.sql"), "0003_c: number 0002 is expected"),
        (("0001_a.sql", "0001_b.sql"), "0001_b: number 0002 is expected"),
        (("0002_a.sql",), "0002_a: number 0001 is expected"),
        (("0001_a.sql", "two.sql"), "two.sql: name it NNNN_words.sql"),
        (("1_a.sql",), "1_a.sql: name it NNNN_words.sql"),
    ],
)
def test_gaps_doubles_and_bad_names_are_refused(
    tmp_path: Path, names: tuple[str, ...], said: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")

    with pytest.raises(MigrationError, match=re.escape(said)):
        available(tmp_path)


def test_files_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (2, 1, 3):
        (tmp_path / f"{number:04}_x.sql").write_text(f"SELECT {number}")

    assert [m.number for m in available(tmp_path)] == [1, 2, 3]


def statements(sql: str) -> list[str]:
    """Split at the ends of statements, comments of our own left out."""
    lines = [line for line in sql.splitlines() if not line.startswith("--")]
    text, ends = "\n".join(lines), []
    body = False
    for line in text.splitlines(keepends=True):
        ends.append(line)
        if line.count("$$") == 1:
            body = not body
        if line.rstrip().endswith(";") and not body:
            ends.append("\0")
    found = ("".join(ends)).split("\0")
    return [" ".join(statement.split()) for statement in found if statement.strip()]


def test_the_queue_s_tables_are_those_of_the_pinned_pgqueuer() -> None:
    theirs = statements(qb.QueryBuilderEnvironment().build_install_query())
    ours = statements((folder() / "0003_queue.sql").read_text(encoding="utf-8"))
    grants = [statement for statement in ours if statement.startswith("GRANT")]

    assert len(theirs) > 15
    assert [statement for statement in ours if statement not in grants] == theirs


async def test_pgqueuer_itself_finds_nothing_missing(
    postgres_server: Postgres,
) -> None:
    superuser = await asyncpg.connect(postgres_server.url(SUPERUSER, "bff_template"))
    try:
        queries = Queries.from_asyncpg_connection(superuser)
        assert await queries.schema_is_installed()
    finally:
        await superuser.close()
