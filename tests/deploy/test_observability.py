"""Dashboard and alerts name metrics that there are, and say what they are meant to."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bff.telemetry import Metrics
from tests import parts

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTS = PROMETHEUS / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
NAME = re.compile(r"\b(?:bff|process)_[a-z_]+\b(?!:)")
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
LABELS = re.compile(r"by \(([^)]*)\)|\{([^}]*)\}")


def rules() -> list[dict[str, Any]]:
    found = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [
        panel
        for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
        if panel["type"] != "row"
    ]


def expressions() -> Iterator[str]:
    for rule in rules():
        yield rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"]


def known() -> set[str]:
    names: set[str] = set()
    for family in Metrics().registry.collect():
        endings = ENDINGS.get(family.type, ("",))
        names.update(family.name + ending for ending in endings)
    return names


def test_each_metric_that_is_asked_for_exists() -> None:
    asked = {name for one in expressions() for name in NAME.findall(one)}

    assert asked - known() == set()
    assert {"bff_requests_total", "bff_oldest_job_seconds"} <= asked


def test_each_metric_of_ours_is_on_the_dashboard() -> None:
    shown = " ".join(
        target["expr"] for panel in panels() for target in panel["targets"]
    )

    assert [name for name in Metrics().labels if name not in shown] == []


def test_each_label_that_is_asked_for_exists() -> None:
    given = {"le", "job", "instance"}
    for labels in Metrics().labels.values():
        given.update(labels)
    for one in expressions():
        for grouped, chosen in LABELS.findall(one):
            names = grouped.split(",") if grouped else re.findall(r"(\w+)[=!]", chosen)
            assert {name.strip() for name in names} <= given, one


def test_each_alert_says_what_to_do_in_a_section_of_its_own() -> None:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (.+)$", page, re.MULTILINE)
    alerts = [rule for rule in rules() if "alert" in rule]

    assert headings == [rule["alert"] for rule in alerts]
    for rule in alerts:
        anchor = f"docs/observability.md#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook"] == anchor


def test_recorded_names_are_the_ones_that_are_used() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {name for one in expressions() for name in re.findall(r"bff:\w+:\w+", one)}

    assert used <= recorded


@pytest.mark.parametrize("what", ["check", "test"])
def test_promtool_agrees(what: str) -> None:
    promtool = parts.promtool()
    name = "alerts.yml" if what == "check" else "alerts_test.yml"

    done = subprocess.run(
        [promtool, what, "rules", name],
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
