"""Medians of the rounds, and one table of them. No I/O here."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    Medians = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: a figure of a scenario."""

    title: str
    scenario: str
    figure: str
    digits: int = 1
    scale: float = 1.0
    ratios: bool = True


LINES = (
    Line("CPU per small request, µs", "requests", "cpu"),
    Line("requests per second", "requests", "per_second", 0),
    Line("time of a request, p50, µs", "requests", "p50", 0),
    Line("time of a request, p99, µs", "requests", "p99", 0),
    Line("CPU per event, 500 streams, µs", "events", "cpu"),
    Line("  events per second (25,000 sent)", "events", "per_second", 0, ratios=False),
    Line("  delay added to an event, p50, µs", "events", "added_p50", 0),
    Line("  delay added to an event, p99, µs", "events", "added_p99", 0),
    Line("CPU per event, 5,000 streams, µs", "wide", "cpu"),
    Line("  events per second (25,000 sent)", "wide", "per_second", 0, ratios=False),
    Line("  as against 500 streams", "wide", "cpu_to_events", 2, ratios=False),
    Line("memory per idle stream (PSS), KB", "idle", "pss_per_stream", 1, 1 / 1024),
    Line("  private part, KB", "idle", "private_per_stream", 1, 1 / 1024),
    Line("time to first byte, p50, µs", "idle", "first_byte_p50", 0),
    Line("time to first byte, p99, µs", "idle", "first_byte_p99", 0),
    Line("most streams at once", "many", "connections", 0, ratios=False),
    Line("  seconds until all were open", "many", "opening_seconds"),
    Line("  CPU per event, µs", "many", "cpu"),
    Line("lost, all loads", "all", "lost", 0, ratios=False),
    Line("fell silent, all loads", "all", "silent", 0, ratios=False),
)


SUMS = ("lost", "silent")


def medians(rows: Sequence[dict[str, Any]]) -> Medians:
    """Return the median over rounds of every figure, by scenario and contender.

    `lost` and `silent` are sums. Added are what follows from two figures of one round:
    delays without those that the load programs alone show, and CPU per event at 5,000
    streams as against 500.
    """
    gathered: dict[tuple[str, str, str], list[float]] = {}
    by_place = {
        (row["round"], row["scenario"], row["contender"]): row["figures"]
        for row in rows
        if "figures" in row
    }
    for (number, scenario, contender), measured in by_place.items():
        figures = dict(measured)
        if direct := by_place.get((number, scenario, "direct")):
            for share in ("p50", "p99"):
                if share in figures and contender != "direct":
                    figures[f"added_{share}"] = figures[share] - direct[share]
        few = by_place.get((number, "events", contender), {})
        if scenario == "wide" and few.get("cpu"):
            figures["cpu_to_events"] = figures["cpu"] / few["cpu"]
        for name, value in figures.items():
            gathered.setdefault((scenario, contender, name), []).append(value)
    found: Medians = {}
    for (scenario, contender, name), values in gathered.items():
        one = sum(values) if name in SUMS else median(values)
        found.setdefault(scenario, {}).setdefault(contender, {})[name] = one
        if name in SUMS:
            totals = found.setdefault("all", {}).setdefault(contender, {})
            totals[name] = totals.get(name, 0.0) + one
    return found


def table(found: Medians, contenders: Sequence[str]) -> str:
    """Return *found* as a Markdown table, the gateway's ratios in the last columns."""
    others = [name for name in ("nginx", "usual") if name in contenders]
    heads = ["", *contenders, *(f"gateway : {name}" for name in others)]
    rows = [heads, ["---", *(["---:"] * (len(heads) - 1))]]
    for line in LINES:
        figures = found.get(line.scenario, {})
        values = {name: figures.get(name, {}).get(line.figure) for name in contenders}
        if all(value is None for value in values.values()):
            continue
        ours = values.get("gateway")
        cells = [_cell(values[name], line) for name in contenders]
        cells += [_ratio(ours, values[name]) if line.ratios else "" for name in others]
        rows.append([line.title.replace("  ", "… "), *cells])
    widths = [max(len(row[place]) for row in rows) for place in range(len(heads))]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        + " |"
        for row in rows
    )


def _cell(value: float | None, line: Line) -> str:
    return "-" if value is None else f"{value * line.scale:,.{line.digits}f}"


def _ratio(ours: float | None, theirs: float | None) -> str:
    if ours is None or theirs is None or ours <= 0 or theirs <= 0:
        return "-"
    return f"{ours / theirs:.2f}"
