"""From first_login to a ready Odoo, by each way to come by a database.

`python -m bench.odoo`, or with `--quick` for seconds only, over a fake Odoo.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench import machine, programs
from bench.odoo_stage import stage
from bench.odoo_watch import Failed
from bff.dev.postgres import PostgresUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from bench.odoo_watch import Contender, Onboarded

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
TITLES = {
    "rpc": "copy by RPC",
    "sql": "copy by SQL",
    "warm": "a warm copy, renamed",
    "nothing": "create + install",
}
SLOW = "nothing"
QUICK_WAYS = ("rpc", SLOW)
PHASES = ("creating_odoo", "configuring_oidc", "seeding", "ready")


@app.command()
def bench(
    tenants: Annotated[
        int, typer.Option(min=1, help="Tenants of each way, one after another.")
    ] = 20,
    at_once: Annotated[
        int, typer.Option(min=1, help="Tenants of each way at once, after that.")
    ] = 10,
    slow: Annotated[
        int, typer.Option(min=1, help="Tenants made from nothing, a minute each.")
    ] = 2,
    odoo_workers: Annotated[
        int, typer.Option(min=0, help="Odoo's processes; 0: threads of one.")
    ] = 0,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Seconds; proves only that it runs.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="A way to measure; may be given again.")
    ] = None,
    json_file: Annotated[
        Path, typer.Option("--json", metavar="FILE", help="Where all figures go.")
    ] = programs.CACHE / "odoo.json",
) -> None:
    """Found workspaces and print how long each took, and how late its events were."""
    if quick:
        tenants, at_once, slow = min(tenants, 2), min(at_once, 2), 1
    ways = [one for one in (QUICK_WAYS if quick else TITLES) if one in (only or TITLES)]
    try:
        staged = stage(ways, quick=quick, warm=at_once, processes=odoo_workers)
        result = asyncio.run(_measure(staged, ways, tenants, at_once, slow))
    except (PostgresUnavailable, Failed) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    result |= {"fake": quick, "odoo_workers": odoo_workers}
    print(f"\n{table(result['ways'])}\n")
    json_file.parent.mkdir(parents=True, exist_ok=True)
    json_file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"All figures: {json_file}")


def table(ways: dict[str, dict[str, Any]]) -> str:
    """Return the figures as a Markdown table."""
    heads = (
        *("seconds", "one after another, p50", "p95", "at once, p50", "slowest"),
        *(f"{name}, p50" for name in PHASES),
        *("events late, p95, ms", "latest"),
    )
    rows: list[tuple[str, ...]] = [heads, ("---", *["---:"] * (len(heads) - 1))]
    for name, one in ways.items():
        alone, crowd = one["alone"], one["at_once"]
        rows.append(
            (
                TITLES[name],
                f"{alone['p50']:.2f}",
                f"{alone['p95']:.2f}",
                f"{crowd['p50']:.2f}" if crowd else "-",
                _slowest(crowd),
                *(f"{alone['phases'][phase]:.2f}" for phase in PHASES),
                f"{one['delays']['p95'] * 1000:.0f}",
                f"{one['delays']['most'] * 1000:.0f}",
            )
        )
    widths = [max(len(row[place]) for row in rows) for place in range(len(heads))]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        + " |"
        for row in rows
    )


def _slowest(crowd: dict[str, Any] | None) -> str:
    if not crowd:
        return "-"
    failed = f", {crowd['failed']} failed" if crowd["failed"] else ""
    return f"{crowd['most']:.2f}{failed}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least of *values* that so many of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]


async def _measure(
    staged: AbstractAsyncContextManager[dict[str, Contender]],
    ways: Sequence[str],
    tenants: int,
    at_once: int,
    slow: int,
) -> dict[str, Any]:
    _stop_in_order()
    alone: dict[str, list[Onboarded]] = {way: [] for way in ways}
    crowd: dict[str, list[Onboarded]] = {way: [] for way in ways}
    async with staged as made:
        busy = round(await machine.busy(), 2)
        for one in made.values():
            await one.onboard()  # the first of each finds caches cold
        for number in range(tenants):
            # Another one begins each time; making one from nothing takes a minute.
            turn = number % len(ways)
            for way in [*ways[turn:], *ways[:turn]]:
                if way != SLOW or number < slow:
                    alone[way].append(await _one(made[way]))
        for way in ways:
            if way != SLOW:
                crowd[way] = await _together(made[way], at_once)
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tenants": tenants,
        "at_once": at_once,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "busy_before": busy,
        "ways": {way: _summary(alone[way], crowd[way], at_once) for way in ways},
    }


def _stop_in_order() -> None:
    """Let SIGTERM end what was started as well: by itself it would leave servers."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def _one(contender: Contender) -> Onboarded:
    await contender.filled()
    done = await contender.onboard()
    print(f"{contender.name} {done.seconds:.2f} s", flush=True)
    return done


async def _together(contender: Contender, count: int) -> list[Onboarded]:
    await contender.filled()
    asked = [contender.onboard() for _ in range(count)]
    done = []
    for one in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(one, Failed):
            print(f"{contender.name}, one of {count} at once: {one}", flush=True)
        elif isinstance(one, BaseException):
            raise one
        else:
            done.append(one)
    if not done:
        raise Failed(f"{contender.name}: none of {count} at once is ready")
    slowest = max(one.seconds for one in done)
    print(f"{contender.name}, {count} at once: {slowest:.2f} s", flush=True)
    return done


def _summary(
    alone: list[Onboarded], crowd: list[Onboarded], at_once: int
) -> dict[str, Any]:
    delays = [late for one in [*alone, *crowd] for late in one.delays]
    failed = {"failed": at_once - len(crowd)}
    return {
        "alone": _spread(alone),
        "at_once": {**_spread(crowd), **failed} if crowd else None,
        "delays": _quantiles(delays),
    }


def _spread(found: list[Onboarded]) -> dict[str, Any]:
    return {
        **_quantiles(one.seconds for one in found),
        "phases": {name: median(one.phases[name] for one in found) for name in PHASES},
        "each": [round(one.seconds, 3) for one in found],
    }


def _quantiles(values: Iterable[float]) -> dict[str, float]:
    all_of_them = list(values)
    return {
        "p50": median(all_of_them),
        "p95": percentile(all_of_them, 0.95),
        "most": max(all_of_them),
    }


if __name__ == "__main__":
    app()
