"""What all tests of the bench need: its C programs, built."""

from __future__ import annotations

import pytest

from tests.parts import load_programs


@pytest.fixture(scope="package", autouse=True)
def _load_programs() -> None:
    load_programs()
