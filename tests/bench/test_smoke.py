"""`make bench` runs from end to end; what it measures is nobody's promise here."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTENDERS = ("gateway", "nginx", "usual", "direct")
FIGURES = {
    "requests": ("per_second", "p50", "p99"),
    "idle": ("first_byte_p50", "first_byte_p99"),
    "events": ("per_second", "p50", "p99"),
    "wide": ("per_second", "p50", "p99"),
    "many": ("per_second", "connections"),
}
OF_PROXIES = {
    "requests": "cpu",
    "idle": "pss_per_stream",
    "events": "cpu",
    "wide": "cpu",
    "many": "cpu",
}


async def _run(*options: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.run", *options,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return process.returncode, output.decode()


@pytest.mark.acceptance
@pytest.mark.timeout(300)  # a dozen processes start, and the machine may be busy
async def test_every_load_gives_figures_for_every_proxy_and_loses_nothing(
    tmp_path: Path,
) -> None:
    file = tmp_path / "figures.json"

    status, output = await _run("--quick", "--json", str(file))

    assert status == 0, output
    result = json.loads(file.read_text(encoding="utf-8"))
    assert set(FIGURES) | {"all"} == set(result["medians"]), output
    for load, names in FIGURES.items():
        for contender in CONTENDERS:
            figures = result["medians"][load][contender]
            assert all(figures[name] > 0 for name in names), (load, contender)
            assert contender == "direct" or OF_PROXIES[load] in figures
            assert figures["lost"] == 0, (load, contender, result["raw"])
    assert "CPU per event" in output
    assert result["machine"]["processor"]


async def test_a_name_that_is_none_is_refused_with_the_choice() -> None:
    status, output = await _run("--only", "apache")

    assert status == 2
    assert "apache" in output
