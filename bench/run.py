"""`make bench`: the gateway beside nginx, the usual aiohttp way and oauth2-proxy."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer

from bench import machine, programs, report, scenarios
from bench.contenders import NotReady, SignInFailed
from bench.stage import NAMES, say, stage
from bff.dev.postgres import PostgresUnavailable

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
# Not in the smoke run: it takes Go minutes to build it.
QUICK_NAMES = tuple(name for name in NAMES if name != "oauth2-proxy")
BUSY = 0.1
LOADS = tuple(one.name for one in scenarios.FULL)


@app.command()
def bench(
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Seconds instead of minutes; proves nothing."),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Leave out all other contenders ({', '.join(NAMES)}) or all other "
            f"loads ({', '.join(LOADS)}). May be repeated.",
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often everything is measured.")
    ] = 3,
    json_file: Annotated[
        Path, typer.Option("--json", metavar="FILE", help="Where all figures go.")
    ] = programs.CACHE / "figures.json",
) -> None:
    """Measure the gateway and others in front of the same origin, under one load.

    Everything runs on this machine, on loopback: proxies on its last core, the load
    on the others. Prints one table of medians; bench/README.md says how to read it.
    """
    chosen = frozenset(only or ())
    if strange := chosen - {*NAMES, *LOADS}:
        raise typer.BadParameter(f"there is no {', '.join(sorted(strange))}")
    names = chosen & set(NAMES) or frozenset(QUICK_NAMES if quick else NAMES)
    picked = tuple(
        one
        for one in (scenarios.QUICK if quick else scenarios.FULL)
        if one.name in (chosen & set(LOADS) or LOADS)
    )
    try:
        result = asyncio.run(_measure(names, picked, 1 if quick else rounds))
    except (
        programs.Unavailable,
        PostgresUnavailable,
        NotReady,
        SignInFailed,
    ) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    _write(json_file, result)
    failed = [row for row in result["raw"] if "failed" in row]
    for row in failed:
        typer.echo(f"{row['contender']}, {row['scenario']}: {row['failed']}", err=True)
    if failed:
        raise typer.Exit(1)


async def _measure(
    names: frozenset[str], picked: tuple[scenarios.Scenario, ...], rounds: int
) -> dict[str, Any]:
    async with stage(names) as made:
        for name, why in made.absent.items():
            say(f"{name} is left out: {why}")
        described = machine.describe(made)
        described["busy_before"] = busy = round(await machine.busy(), 2)
        if busy > BUSY:
            say(f"other programs keep this machine {busy:.0%} busy: the figures suffer")
        rows: list[dict[str, Any]] = []
        for number in range(rounds):
            rows += await made.round(number, picked)
        present = [one.name for one in made.present]
    found = report.medians(rows)
    print(f"\n{report.table(found, present)}\n")
    for one in picked:
        fitting = one.within(described["open_files"])
        if fitting.connections < one.connections:
            print(
                f"`{one.name}` had {fitting.connections:,} streams instead of "
                f"{one.connections:,}: a process may open {described['open_files']:,} "
                "files here (ulimit -Hn)."
            )
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": described,
        "rounds": rounds,
        "scenarios": {one.name: one.title for one in picked},
        "medians": found,
        "raw": rows,
    }


def _write(file: Path, result: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"All figures: {file}")


if __name__ == "__main__":
    app()
