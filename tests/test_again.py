"""What failed is asked again only if it is little, and has to pass."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests import again

if TYPE_CHECKING:
    from pathlib import Path

TEST = """\
import pytest

@pytest.mark.parametrize("who", ["alice@acme.test"])
def test_it(who):
    assert {passes}
"""


def place(tmp_path: Path, names: list[str]) -> Path:
    noted = tmp_path / "lastfailed"
    noted.write_text(json.dumps(dict.fromkeys(names, True)))
    return noted


@pytest.mark.parametrize(("passes", "code"), [("True", 0), ("False", 1)])
def test_only_who_passes_alone_is_forgiven_and_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], passes: str, code: int
) -> None:
    test = tmp_path / "test_it.py"
    test.write_text(TEST.format(passes=passes))

    assert (
        again.main(place(tmp_path, [f"{test}::test_it[alice@acme.test]@its-group"]))
        == code
    )

    assert (f"FLAKY: {test}::test_it[alice@acme.test]" in capfd.readouterr().out) is (
        code == 0
    )


def test_many_failures_are_no_accident(tmp_path: Path) -> None:
    names = [f"tests/test_it.py::test_{n}" for n in range(again.MOST + 1)]
    assert again.main(place(tmp_path, names)) == again.TOO_MANY


def test_a_run_that_broke_without_a_failed_test_stays_failed(tmp_path: Path) -> None:
    assert again.main(place(tmp_path, [])) == again.NONE
    assert again.main(tmp_path / "no such file") == again.NONE
