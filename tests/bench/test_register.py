"""The register's bench: its file is the register's, and it runs."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING

from bench import register, register_file
from bff.acra.csv_file import CsvFile
from bff.acra.glance import glance
from bff.acra.records import COLUMNS, is_live

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 3000


async def test_the_file_is_one_of_the_register(tmp_path: Path) -> None:
    file = tmp_path / "register.csv"
    register_file.write(file, ROWS)

    (page,) = [page async for page in CsvFile(file).pages(None)]

    assert (page.read, len(page.rows), page.refused) == (ROWS, ROWS, [])


def test_the_file_looks_like_the_register(tmp_path: Path) -> None:
    file = tmp_path / "register.csv"
    register_file.write(file, ROWS)
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    text = file.read_text(encoding="utf-8").splitlines()[1:]

    cells = Counter(value == "na" for row in rows for value in row.values())
    live = sum(is_live(row["entity_status_description"]) for row in rows)
    assert 0.5 < cells[True] / (ROWS * len(COLUMNS)) < 0.8
    assert 0.2 < live / ROWS < 0.4
    assert any(len(row["postal_code"]) == 5 for row in rows)
    assert 0.1 < sum('"' in line for line in text) / ROWS < 0.5
    assert sum(glance(line) is None for line in text) / ROWS < 0.1


def test_the_same_seed_gives_the_same_file() -> None:
    first, same, other = (list(register_file.records(20, seed)) for seed in (1, 1, 2))

    assert first == same != other


def test_the_table_names_both_ways() -> None:
    lines = register.table({"sql": 60_000, "bff": 45_000, "again": 9.4}).splitlines()

    assert len({len(line) for line in lines}) == 1
    assert lines[3].endswith("|     45,000 |")


async def test_it_measures(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.register", "--quick", "--rows", "500"),
        *("--json", str(figures)),
        stdout=asyncio.subprocess.PIPE,
    )

    said, _ = await process.communicate()

    assert process.returncode == 0, said
    text = await asyncio.to_thread(figures.read_text, "utf-8")
    result = json.loads(text)
    assert (result["rows"], len(result["seconds"])) == (500, 1)
    assert result["ratio"] > 0
