"""A large export through the gateway, beside psql with the same query.

`python -m bench.exports`, or with `--quick` for seconds only.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench import machine, programs
from bench.contenders import NotReady, SignInFailed
from bench.exports_stage import Failed, stage
from bench.gateway import TENANT
from bff.dev.postgres import PostgresUnavailable
from bff.exports.formats import CSV, JSON
from bff.exports.queries import MOST, Asked

if TYPE_CHECKING:
    from bench.exports_stage import Stage
    from bff.exports.formats import Format

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
QUICK_ROWS = 2000
MB = 1e6


@dataclass(frozen=True, slots=True)
class Load:
    """An export that is measured."""

    title: str
    form: Format
    contacts: bool = False

    @property
    def target(self) -> str:
        """Return its address."""
        include = "&include=contacts" if self.contacts else ""
        return f"/export/latest_scores.{self.form.name}?limit={MOST}{include}"

    @property
    def statement(self) -> str:
        """Return the very COPY that the gateway has PostgreSQL run."""
        query = self.form.query(Asked(TENANT, MOST, contacts=self.contacts))
        options = ["FORMAT csv"]
        for name, value in self.form.options.items():
            options.append(f"{name} {value}" if value is True else f"{name} '{value}'")
        return f"COPY ({query}) TO STDOUT ({', '.join(options)})"


LOADS = {
    "csv": Load("CSV", CSV),
    "json": Load("JSON", JSON),
    "contacts": Load("CSV with contacts", CSV, contacts=True),
}


@app.command()
def bench(
    rows: Annotated[
        int, typer.Option(min=1, max=MOST, help="Scores of the tenant.")
    ] = MOST,
    quick: Annotated[
        bool, typer.Option("--quick", help="Seconds; proves only that it runs.")
    ] = False,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often everything is measured.")
    ] = 3,
    json_file: Annotated[
        Path, typer.Option("--json", metavar="FILE", help="Where all figures go.")
    ] = programs.CACHE / "exports.json",
) -> None:
    """Download everything both ways, and print bytes per second, memory and ratios."""
    if quick:
        rows, rounds = min(rows, QUICK_ROWS), 1
    try:
        result = asyncio.run(_measure(rows, rounds))
    except (PostgresUnavailable, NotReady, SignInFailed, Failed) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    print(f"\n{table(result['medians'])}\n")
    json_file.parent.mkdir(parents=True, exist_ok=True)
    json_file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"All figures: {json_file}")


def table(medians: dict[str, dict[str, float]]) -> str:
    """Return *medians* as a Markdown table."""
    heads = (
        *("", "psql, MB/s", "gateway, MB/s", "gateway : psql"),
        *("added memory, MB", "time with : without RLS"),
    )
    rows: list[tuple[str, ...]] = [heads, ("---", *["---:"] * (len(heads) - 1))]
    for name, load in LOADS.items():
        one = medians[name]
        rows.append(
            (
                load.title,
                f"{one['psql_rate'] / MB:,.0f}",
                f"{one['gateway_rate'] / MB:,.0f}",
                f"{one['gateway_rate'] / one['psql_rate']:.2f}",
                f"{one['added_memory'] / MB:.0f}",
                f"{one['psql_seconds'] / one['superuser_seconds']:.2f}",
            )
        )
    widths = [max(len(row[place]) for row in rows) for place in range(len(heads))]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        + " |"
        for row in rows
    )


async def _measure(rows: int, rounds: int) -> dict[str, Any]:
    async with stage(rows) as made:
        busy = round(await machine.busy(), 2)
        # What is loaded once is nobody's export.
        for load in LOADS.values():
            await made.download(load.target.replace(str(MOST), "1000"))
        raw: dict[str, list[dict[str, float]]] = {name: [] for name in LOADS}
        for number in range(rounds):
            for name, load in LOADS.items():
                figures = await _once(made, load, number)
                raw[name].append(figures)
                print(name, *(f"{key} {one:.4g}" for key, one in figures.items()))
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": rows,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "busy_before": busy,
        "medians": {
            name: {key: median(one[key] for one in found) for key in found[0]}
            for name, found in raw.items()
        },
        "raw": raw,
    }


async def _once(made: Stage, load: Load, number: int) -> dict[str, float]:
    seconds: dict[str, float] = {}
    size = added = 0
    # Another one begins in each round: the first finds caches cold.
    order = ("psql", "gateway", "superuser")
    turn = number % len(order)
    for way in order[turn:] + order[:turn]:
        if way == "gateway":
            got = await made.download(load.target)
            seconds[way], size, added = got.seconds, got.size, got.added_memory
        else:
            is_superuser = way == "superuser"
            seconds[way] = await made.psql(load.statement, superuser=is_superuser)
    return {
        **{f"{way}_seconds": one for way, one in seconds.items()},
        # psql gets the same bytes, but for the commas of JSON and the chunks of HTTP.
        "size": size,
        "psql_rate": size / seconds["psql"],
        "gateway_rate": size / seconds["gateway"],
        "added_memory": added,
    }


if __name__ == "__main__":
    app()
