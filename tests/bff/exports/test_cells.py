"""A cell shows what it holds and never runs it."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bff.exports.cells import safe

if TYPE_CHECKING:
    import asyncpg

    from tests.databases import Databases

# Said once more, and not taken from the code: the promise itself.
DANGEROUS = "=+-@\t\r\n＝＋－＠"  # noqa: RUF001 - spreadsheets set to Japanese
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
)
HOSTILE = st.builds(
    str.__add__,
    st.sampled_from([*DANGEROUS, "'", '"', ",", ";", " ", "\\", "\\N", "\\."]),
    TEXTS,
)


def expected(text: str) -> str:
    return f"'{text}" if text and text[0] in DANGEROUS else text


async def written(connection: asyncpg.Connection, texts: list[str]) -> list[list[str]]:
    """Have PostgreSQL write *texts* as exports do, and read the file as programs do."""
    await connection.execute("TRUNCATE cells")
    await connection.execute("INSERT INTO cells SELECT unnest($1::text[])", texts)
    out = io.BytesIO()
    await connection.copy_from_query(
        f"SELECT 'x', {safe('told')} FROM cells ORDER BY place",  # noqa: S608 - a name
        output=out,
        format="csv",
    )
    return list(csv.reader(io.StringIO(out.getvalue().decode(), newline="")))


async def test_no_text_begins_a_formula_and_none_is_lost(databases: Databases) -> None:
    loop = asyncio.get_running_loop()
    async with databases.superuser() as connection:
        await connection.execute(
            "CREATE TEMP TABLE cells "
            "(told text, place int GENERATED ALWAYS AS IDENTITY)"
        )

        @settings(max_examples=100)
        @given(st.lists(TEXTS | HOSTILE, max_size=30))
        @example([*DANGEROUS, *(f"{sign}1+1" for sign in DANGEROUS), "", "'", "a=1"])
        @example(["a,b", 'say "x"', "two\nlines", "two\r\nlines", "\\.", "\\N", "a\rb"])
        def check(texts: list[str]) -> None:
            asked = written(connection, texts)
            lines = asyncio.run_coroutine_threadsafe(asked, loop).result()
            assert lines == [["x", expected(text)] for text in texts]

        await asyncio.to_thread(check)


async def test_nothing_stays_nothing(databases: Databases) -> None:
    async with databases.superuser() as connection:
        assert await connection.fetchval(f"SELECT {safe('NULL::text')}") is None
