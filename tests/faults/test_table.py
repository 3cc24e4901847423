"""`docs/faults.md` names the tests that there are, and answers that we give."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.bff.failures import kinds

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
CODE = re.compile(r"(\d{3}) `(\w+)`")


def functions_of(file: Path) -> set[str]:
    """Return the names of a file's tests."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    names = {node.name for node in tree.body if isinstance(node, kinds)}
    return {name for name in names if name.startswith("test_")}


def test_each_row_names_tests_that_exist() -> None:
    rows = [row for row in ROWS if not row.startswith("| Fault ")]
    assert rows
    for row in rows:
        assert row.count("|") == 6, row
        found = NAMED.findall(row)
        assert found, row
        for file, name in found:
            there = functions_of(ROOT / file)
            assert there
            assert not name or name in there, f"{file}::{name}"


def test_each_test_of_a_fault_has_a_row() -> None:
    whole = {file for file, name in NAMED.findall(PAGE) if not name}
    one_by_one = {(file, name) for file, name in NAMED.findall(PAGE) if name}
    for path in sorted((ROOT / "tests" / "faults").glob("test_*.py")):
        if (
            "mark.acceptance"
            not in path.read_text(encoding="utf-8").partition("def ")[0]
        ):
            continue  # quick: of the tools, or of the page
        file = str(path.relative_to(ROOT))
        if file not in whole:
            missing = functions_of(path) - {
                name for at, name in one_by_one if at == file
            }
            assert not missing, f"{file}: {missing}"


def test_each_refusal_is_one_of_ours() -> None:
    ours = {(kind.status, kind.code) for kind in kinds()}
    told = {(int(status), code) for status, code in CODE.findall(PAGE)}
    assert len(told) > 4
    assert told <= ours
