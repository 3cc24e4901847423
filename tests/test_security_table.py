"""Every statement of the norms has a row in docs/security.md, and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"\| (N\d+) \| (.+) \| (.+) \| (.+) \|")
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
STATEMENTS = [f"N{number}" for number in range(1, 75)]


def rows() -> list[tuple[str, str, str, str]]:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    table = text.partition("## Statements of the norms")[2].partition("\n## ")[0]
    return ROW.findall(table)


def test_every_statement_is_there_once_and_in_order() -> None:
    assert [row[0] for row in rows()] == STATEMENTS


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_statement_is_met_by_tests_that_exist_or_says_not_yet(
    row: tuple[str, str, str, str],
) -> None:
    _, statement, how, tests = row
    assert len(statement.split()) <= 12
    assert len(how.split()) <= 15
    named = TEST.findall(tests)
    assert named or "**Not yet**" in how, "nothing proves it"
    assert len(named) == tests.count("`") // 2, "a name is not written as file::test"
    for file, function in named:
        source = (ROOT / file).read_text(encoding="utf-8")
        assert not function or re.search(
            rf"^(async )?def {function}\(", source, re.MULTILINE
        )
