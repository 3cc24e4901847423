"""The reference pages say what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from bff.dev.reference import PAGES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_current(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")

    assert written == PAGES[name](), f"docs/{name} is out of date: run `make docs`"
