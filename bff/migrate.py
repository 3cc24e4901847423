"""Apply migrations/*.sql once each, in order, forward only.

A ledger keeps number and checksum; an advisory lock lets one process migrate while
the others wait; each file is one transaction and fails loudly.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bff.roles import APP, WORKER

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

FILE_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
# Any constant of ours: it only has to be the same for everybody who migrates.
LOCK = 0x6E78_6D69_6772

LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """Say what stands between this database and this release."""


@dataclass(frozen=True)
class Migration:
    """One file: its number, name, text and checksum."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Return the SHA-256 of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True)
class State:
    """A migration as this release and a database know it.

    *applied_at* is None while it is missing; *known* when this release has its file,
    and *changed* when that is not the one that was applied.
    """

    name: str
    applied_at: datetime | None
    known: bool
    changed: bool

    @property
    def fits(self) -> bool:
        """Tell whether this release finds what it expects."""
        return self.applied_at is not None and self.known and not self.changed


def folder() -> Path:
    """Return where the migrations are: beside us in a wheel, above in a checkout."""
    packaged = Path(__file__).parent / "migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "migrations"


def available(directory: Path | None = None) -> list[Migration]:
    """Read all migrations in order.

    Raises:
        MigrationError: for a name that is not NNNN_words.sql, a gap or a double.
    """
    found = []
    for path in sorted((directory or folder()).glob("*.sql")):
        match = FILE_NAME.match(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: name it NNNN_words.sql")
        found.append(
            Migration(int(match[1]), path.stem, path.read_text(encoding="utf-8"))
        )
    for expected, migration in enumerate(found, start=1):
        if migration.number != expected:
            raise MigrationError(f"{migration.name}: number {expected:04} is expected")
    return found


async def states(
    connection: asyncpg.Connection, migrations: list[Migration]
) -> list[State]:
    """Return all of *migrations*, and all of *connection*'s database, in order."""
    known = {migration.number: migration for migration in migrations}
    applied = {row["number"]: row for row in await _ledger(connection)}
    found = []
    for number in sorted(known.keys() | applied.keys()):
        file, row = known.get(number), applied.get(number)
        found.append(
            State(
                file.name if file else row["name"] if row else "",
                row["applied_at"] if row else None,
                known=file is not None,
                changed=bool(file and row and file.checksum != row["checksum"]),
            )
        )
    return found


async def require_current(
    connection: asyncpg.Connection, migrations: list[Migration] | None = None
) -> None:
    """Refuse a database whose schema is not the one that this release is written for.

    Raises:
        MigrationError: saying what to do, when it is older, newer, or another.
    """
    migrations = available() if migrations is None else migrations
    if todo := await pending(connection, migrations):
        raise MigrationError(
            f"the database is of an older release: {todo[0].name} is missing"
            f"{f' and {len(todo) - 1} more' if todo[1:] else ''}. Run `bff migrate up` "
            "of this release first"
        )


async def pending(
    connection: asyncpg.Connection, migrations: list[Migration]
) -> list[Migration]:
    """Return what *connection*'s database still lacks.

    Raises:
        MigrationError: when an applied file has changed since, or is unknown here.
    """
    applied = {row["number"]: row for row in await _ledger(connection)}
    known = {migration.number for migration in migrations}
    if newer := sorted(set(applied) - known):
        raise MigrationError(
            f"the database has migration {newer[-1]:04}, which this release does not "
            "know: it was migrated by a newer one. Deploy that one"
        )
    for migration in migrations:
        row = applied.get(migration.number)
        if row is not None and row["checksum"] != migration.checksum:
            raise MigrationError(
                f"{migration.name} was changed after it had been applied; restore the "
                "file and write a new migration instead"
            )
    return [migration for migration in migrations if migration.number not in applied]


async def migrate(
    connection: asyncpg.Connection, migrations: list[Migration] | None = None
) -> list[Migration]:
    """Apply what is missing as the owning role and return it.

    Raises:
        MigrationError: when a file fails (its transaction is undone) or has changed.
    """
    migrations = available() if migrations is None else migrations
    if missing := await _missing_roles(connection):
        raise MigrationError(
            f"the database has no role {' and no role '.join(missing)}: make them "
            "with `bff db roles`"
        )
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    try:
        await connection.execute(LEDGER)
        await connection.execute(
            "GRANT SELECT ON schema_migrations TO bff_app, bff_worker"
        )
        todo = await pending(connection, migrations)
        for migration in todo:
            await _apply(connection, migration)
        return todo
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


async def _ledger(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    if not await connection.fetchval("SELECT to_regclass('schema_migrations')"):
        return []
    return await connection.fetch(
        "SELECT number, name, checksum, applied_at FROM schema_migrations"
    )


async def _missing_roles(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch(
        "SELECT name FROM unnest($1::text[]) AS name "
        "WHERE name NOT IN (SELECT rolname FROM pg_roles) ORDER BY name",
        [APP, WORKER],
    )
    return [row["name"] for row in rows]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (number, name, checksum) "
                "VALUES ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.checksum,
            )
    except Exception as error:
        raise MigrationError(f"{migration.name} failed: {error}") from error
