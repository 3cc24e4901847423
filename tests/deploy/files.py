"""The files that deployments are made of, read as their readers do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?:(:?[-?])([^}]*))?\}")
ASSIGNED = re.compile(r"^(\w+)=(.*)$", re.MULTILINE)


def documents(file: Path) -> list[dict[str, Any]]:
    """Return what a file of YAML holds."""
    found = yaml.safe_load_all(file.read_text(encoding="utf-8"))
    return [document for document in found if document]


def compose_text() -> str:
    """Return compose.yaml as it is written, without its comments."""
    lines = (ROOT / "compose.yaml").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def example() -> dict[str, str]:
    """Return the variables of .env.example."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return dict(ASSIGNED.findall(text))


def composed(values: dict[str, str]) -> dict[str, Any]:
    """Return compose.yaml with *values* put in, as `docker compose config` would."""
    filled = VARIABLE.sub(lambda found: values[found[1]], compose_text())
    return dict(yaml.safe_load(filled))
