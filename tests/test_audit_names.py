"""Docs and the page of admins name every action that is written to the audit log."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
ACTION = re.compile(r"[a-z]+(?:_[a-z]+)*(?:\.[a-z]+(?:_[a-z]+)*)+")
# What makes an entry; the action is among the first arguments, or named.
MAKERS = {"did", "entry_of", "Entry"}
WORDED = re.compile(r'^ +"([a-z_]+\.[a-z_]+)": "', re.MULTILINE)
ROW = re.compile(r"^\| `([a-z_.]+)` \|", re.MULTILINE)


def written() -> Iterator[str]:
    for file in (ROOT / "bff").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _name(node.func) in MAKERS:
                named = [one.value for one in node.keywords if one.arg == "action"]
                for argument in (*node.args[:2], *named):
                    yield from _actions(argument)


def documented() -> list[str]:
    text = (ROOT / "docs" / "tenants.md").read_text(encoding="utf-8")
    return ROW.findall(text.partition("## The audit log")[2])


def test_every_action_is_documented_once_and_none_that_is_not_written() -> None:
    names = documented()

    assert len(names) == len(set(names))
    assert set(written()) == set(names), "docs/tenants.md has a row for each action"


def test_the_page_of_admins_has_words_for_each_of_them() -> None:
    strings = ROOT / "bff" / "pages" / "static" / "strings.js"
    named = WORDED.findall(strings.read_text(encoding="utf-8"))

    assert len(named) == len(set(named))
    assert set(written()) == set(named)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _actions(node: ast.expr) -> Iterator[str]:
    constants = (one for one in ast.walk(node) if isinstance(one, ast.Constant))
    for one in constants:
        if isinstance(one.value, str) and ACTION.fullmatch(one.value):
            yield one.value
