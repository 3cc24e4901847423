"""Medians and the table."""

from __future__ import annotations

from typing import Any

from bench import report


def _row(
    number: int, scenario: str, contender: str, **figures: float
) -> dict[str, Any]:
    return {
        "round": number,
        "scenario": scenario,
        "contender": contender,
        "figures": figures,
    }


def test_a_figure_is_the_median_of_its_rounds_and_losses_are_summed() -> None:
    rows = [
        _row(number, "requests", "nginx", cpu=cpu, lost=1)
        for number, cpu in enumerate((30.0, 10.0, 99.0))
    ]

    found = report.medians(rows)

    assert found["requests"]["nginx"] == {"cpu": 30.0, "lost": 3}
    assert found["all"]["nginx"]["lost"] == 3


def test_added_delay_leaves_out_what_the_load_shows_by_itself() -> None:
    rows = [
        _row(1, "events", "nginx", p50=150.0, p99=900.0),
        _row(1, "events", "direct", p50=100.0, p99=600.0),
    ]

    figures = report.medians(rows)["events"]["nginx"]

    assert (figures["added_p50"], figures["added_p99"]) == (50.0, 300.0)


def test_cpu_at_many_streams_is_set_against_few() -> None:
    rows = [
        _row(1, "events", "gateway", cpu=20.0),
        _row(1, "wide", "gateway", cpu=25.0),
    ]

    assert report.medians(rows)["wide"]["gateway"]["cpu_to_events"] == 1.25


def test_the_table_ends_with_our_ratios() -> None:
    rows = [
        _row(1, "requests", "gateway", cpu=60.0),
        _row(1, "requests", "nginx", cpu=30.0),
        _row(1, "requests", "usual", cpu=240.0),
    ]

    lines = report.table(
        report.medians(rows), ("gateway", "nginx", "usual")
    ).splitlines()

    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells == [
        "CPU per small request, µs",
        "60.0",
        "30.0",
        "240.0",
        "2.00",
        "0.25",
    ]


def test_what_was_not_measured_has_no_line() -> None:
    rows = [_row(1, "requests", "direct", per_second=1.0)]

    assert "idle stream" not in report.table(report.medians(rows), ("direct",))
