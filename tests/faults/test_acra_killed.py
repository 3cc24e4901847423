"""A reading of the register that is killed again and again ends as one that is not."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from bff import database
from bff.acra.csv_file import CsvFile
from bff.acra.ingest import ingest
from bff.acra.records import COLUMNS
from tests.bff.acra.register import HEADER, line, record
from tests.bff.configs import DEV
from tests.bff.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

    from tests.databases import Databases

pytestmark = pytest.mark.acceptance

CHECKSUM = (
    f"SELECT md5(string_agg(md5(ROW({', '.join(COLUMNS)})::text), '' ORDER BY uen)) "  # noqa: S608 - names of COLUMNS
    "FROM staging_acra_companies"
)
# Long records: a page has some thousand, and writing takes its time.
ROWS, WIDE = 30_000, "x" * 2500


def _write(path: Path) -> None:
    """Write a file of some ten pages, with changes of its own records and refusals."""
    chance = random.Random(7)  # noqa: S311 - the same file each time
    with path.open("w", encoding="utf-8") as stream:
        stream.write(HEADER)
        for number in range(ROWS):
            again = chance.randrange(ROWS) if chance.random() < 0.05 else number
            text = line(record(again, building_name=f"{number}{WIDE}", block="1,2"))
            stream.write(text if chance.random() > 0.01 else text.replace(",", ";"))


def _hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def _command(databases: Databases, path: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bff",
        "acra",
        "ingest",
        str(path),
        env={**os.environ, **DEV, "BFF_DATABASE__WORKER_URL": databases.worker},
        cwd=path.parent,
        # Jobs in the background are started deaf to it, and so would be their children.
        preexec_fn=_hear_interrupts,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _stop_midway(
    process: asyncio.subprocess.Process,
    superuser: asyncpg.Connection,
    how: signal.Signals,
    chance: random.Random,
) -> None:
    """Stop *process* at some moment after it has written something more."""
    look = "SELECT max(updated_at) FROM acra_ingest WHERE marker->>'at' IS NOT NULL"
    before = await superuser.fetchval(look)

    async def more() -> bool:
        return process.returncode is not None or before != await superuser.fetchval(
            look
        )

    await until(more, seconds=40)
    await asyncio.sleep(chance.random() * 0.2)
    if process.returncode is None:
        process.send_signal(how)


@pytest.mark.timeout(300)
async def test_killed_at_any_moment_it_ends_with_the_same_rows_and_totals(
    databases: Databases, tmp_path: Path
) -> None:
    path = tmp_path / "register.csv"
    await asyncio.to_thread(_write, path)
    chance = random.Random()  # noqa: S311 - any moment
    async with databases.superuser() as superuser:
        async with database.connect(databases.worker, size=3) as db:
            found = await ingest(db, [CsvFile(path)], reason="undisturbed")
        assert found is not None
        expected = await superuser.fetchval(CHECKSUM)
        await superuser.execute("TRUNCATE staging_acra_companies, acra_ingest")

        killed = 0
        ends = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT)
        for how in (*ends, signal.SIGKILL):
            process = await _command(databases, path)
            await _stop_midway(process, superuser, how, chance)
            out, said = await process.communicate()
            if process.returncode == 0:
                break  # a fast machine was done before it was told
            killed += process.returncode == -signal.SIGKILL
            if how is signal.SIGINT:
                assert process.returncode == 130, said
                assert b"run the same command again" in said
        else:
            process = await _command(databases, path)
            out, said = await process.communicate()

        assert process.returncode == 0, said
        assert killed
        assert b"goes on behind" in said
        assert out.decode().splitlines()[0] == str(found["register.csv"])
        assert await superuser.fetchval(CHECKSUM) == expected
        refused = (tmp_path / "acra-refused.jsonl").read_text(encoding="ascii")
        numbers = [int(n) for n in re.findall(r'"line": (\d+)', refused)]
        assert numbers == sorted(set(numbers))
        assert len(numbers) == found["register.csv"].refused > 100
