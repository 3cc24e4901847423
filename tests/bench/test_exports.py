"""The exports' bench: it asks PostgreSQL for what the gateway does, and it runs."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from bench import exports

ROOT = Path(__file__).parents[2]


def test_the_table_says_how_we_compare() -> None:
    one = {
        "psql_rate": 80e6,
        "gateway_rate": 60e6,
        "added_memory": 12e6,
        "psql_seconds": 4.4,
        "superuser_seconds": 4.0,
    }

    lines = exports.table(dict.fromkeys(exports.LOADS, one)).splitlines()

    assert len({len(line) for line in lines}) == 1
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells == ["CSV", "80", "60", "0.75", "12", "1.10"]


@pytest.mark.timeout(
    300
)  # PostgreSQL and the gateway start, and the machine may be busy
async def test_every_export_gives_figures_both_ways(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.exports", "--quick", "--json", str(file),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()

    assert process.returncode == 0, said.decode()
    found = json.loads(file.read_text(encoding="utf-8"))
    assert set(found["medians"]) == set(exports.LOADS)
    for figures in found["medians"].values():
        assert figures["size"] > exports.QUICK_ROWS * 100
        assert figures["psql_rate"] > 0
        assert figures["gateway_rate"] > 0
