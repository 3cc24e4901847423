"""What the images hold is pinned to what the tests ran with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.deploy.files import DEPLOY, ROOT

if TYPE_CHECKING:
    from pathlib import Path

PIN = re.compile(r"^([a-z0-9-]+)(?:\[[\w,-]+\])?==(\S+)", re.MULTILINE)
ONLY_FOR_TESTS = {"pytest", "ruff", "hypothesis", "langgraph-cli", "hatchling", "pip"}


def pins(file: Path) -> dict[str, str]:
    return dict(PIN.findall(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["agent", "serve"])
def test_an_image_holds_what_was_tested(name: str) -> None:
    tested = pins(ROOT / "requirements.txt")
    held = pins(DEPLOY / "locks" / f"{name}.txt")

    assert held
    assert {
        one: (version, tested.get(one))
        for one, version in held.items()
        if tested.get(one) != version
    } == {}, "run make lock"


def test_the_gateways_image_holds_nothing_else() -> None:
    assert not ONLY_FOR_TESTS & set(pins(DEPLOY / "locks" / "serve.txt"))


@pytest.mark.parametrize("name", ["agent", "image", "serve"])
def test_each_pin_has_hashes_and_names_no_registry(name: str) -> None:
    text = (DEPLOY / "locks" / f"{name}.txt").read_text(encoding="utf-8")

    assert "://" not in text
    for entry in re.split(r"\n(?=[a-z0-9])", text):
        assert "--hash=sha256:" in entry
