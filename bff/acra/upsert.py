"""Write a page of the register: COPY it beside the table, then write what differs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from bff.acra.records import COLUMNS, DELIMITER, NOTHING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncpg.pool import PoolConnectionProxy

    from bff.acra.source import Page

# Statements on twenty thousand rows are given more time than those of requests.
STATEMENT_SECONDS = 600.0

_TABLE = (
    f"CREATE TEMPORARY TABLE IF NOT EXISTS acra_page ON COMMIT DELETE ROWS "  # noqa: S608 - our own names
    f"AS SELECT {', '.join(COLUMNS)} FROM staging_acra_companies WITH NO DATA"
)
# Later than all before, though a clock be set back: whoever looks for what is new since
# his last look finds it.
_STAMP = (
    "(SELECT greatest(now(), max(ingested_at) + interval '1 microsecond') "
    "FROM staging_acra_companies)"
)


async def upsert(
    connection: PoolConnectionProxy, name: str, page: Page, lines: bytes
) -> tuple[int, int]:
    """Write the rows of *page* and return how many are new, and how many changed.

    *lines* are those that `joined` makes of the page. Rows that are as they were stay
    untouched, with the time and the source of their last change.
    """
    if not page.rows:
        return 0, 0
    await connection.execute(_TABLE)
    # A page looks its rows up one by one. Plans that read the whole table for each page
    # suit it while it is small; what is known of its size is of before this run.
    await connection.execute(
        "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; "
        "SET LOCAL enable_seqscan = off"
    )

    async def source() -> AsyncGenerator[bytes]:
        yield lines

    await connection.copy_to_table(
        "acra_page",
        schema_name="pg_temp",
        source=source(),
        columns=COLUMNS,
        delimiter=DELIMITER,
        null=NOTHING,
        timeout=STATEMENT_SECONDS,
    )
    row = await connection.fetchrow(
        _statement(page.columns), name, timeout=STATEMENT_SECONDS
    )
    assert row is not None  # noqa: S101 - an aggregate always gives a row
    return row["new"], row["changed"]


def joined(page: Page) -> bytes:
    """Return the lines of *page* for COPY, and let go of them: there are many."""
    return "".join(f"{line}\n" for line in page.rows.values()).encode()


@cache
def _statement(columns: tuple[str, ...]) -> str:
    """Return the upsert for datasets that have *columns*."""
    old = ", ".join(f"old.{name}" for name in columns)
    page = ", ".join(f"page.{name}" for name in columns)
    values = ", ".join(f"page.{name}" for name in COLUMNS)
    changes = ", ".join(
        f"{name} = EXCLUDED.{name}" for name in (*columns, "ingested_at", "source")
    )
    return (
        "WITH written AS ("  # noqa: S608 - names of COLUMNS
        f"INSERT INTO staging_acra_companies ({', '.join(COLUMNS)}, source, "
        f"ingested_at) SELECT {values}, $1, {_STAMP} FROM pg_temp.acra_page AS page "
        "LEFT JOIN staging_acra_companies AS old USING (uen) "
        f"WHERE old.uen IS NULL OR ({old}) IS DISTINCT FROM ({page}) "
        f"ON CONFLICT (uen) DO UPDATE SET {changes} "
        # No row has been locked or deleted by anybody yet that was just inserted.
        "RETURNING xmax = 0 AS new) "
        "SELECT count(*) FILTER (WHERE new) AS new, "
        "count(*) FILTER (WHERE NOT new) AS changed FROM written"
    )
