"""Odoo's bench: what it says of its figures, and that it runs, over a fake Odoo."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from bench import odoo

ROOT = Path(__file__).parents[2]
ONE = {
    "alone": {"p50": 2.5, "p95": 3.25, "phases": dict.fromkeys(odoo.PHASES, 0.5)},
    "at_once": {"p50": 9.0, "most": 11.5, "failed": 0},
    "delays": {"p95": 0.025, "most": 0.04},
}


def test_the_table_says_what_each_way_takes() -> None:
    ways = {"rpc": ONE, "nothing": {**ONE, "at_once": None}}

    lines = odoo.table(ways).splitlines()

    assert len({len(line) for line in lines}) == 1
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[:5] == ["copy by RPC", "2.50", "3.25", "9.00", "11.50"]
    assert cells[-2:] == ["25", "40"]
    some = {**ONE, "at_once": {"p50": 9.0, "most": 11.5, "failed": 2}}
    assert "11.50, 2 failed" in odoo.table({"rpc": some})
    assert [cell.strip() for cell in lines[3].strip("|").split("|")][3:5] == ["-", "-"]


@pytest.mark.parametrize(
    ("count", "expected"), [(1, 0), (10, 9), (20, 18), (100, 94), (101, 95)]
)
def test_a_percentile_is_one_of_the_figures(count: int, expected: int) -> None:
    assert odoo.percentile([*reversed(range(count))], 0.95) == expected


@pytest.mark.acceptance
@pytest.mark.timeout(300)  # five servers start, and the machine may be busy
async def test_every_way_comes_to_a_ready_tenant(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.odoo", "--quick", "--json", str(file),
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
    assert set(found["ways"]) == set(odoo.QUICK_WAYS)
    for figures in found["ways"].values():
        assert figures["alone"]["p50"] > 0
        assert figures["delays"]["p95"] > 0
