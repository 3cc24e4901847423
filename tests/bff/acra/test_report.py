"""Counts and the file of refused records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bff.acra.report import CannotReport, Counts, RefusedFile
from bff.acra.source import Refusal

if TYPE_CHECKING:
    from pathlib import Path


def test_counts_are_summed_and_come_back_from_json() -> None:
    one = Counts(read=9, new=1, changed=2, unchanged=3, repeated=1, refused=2)

    total = one + Counts(read=1, recoded=1, new=1)

    assert total == Counts(10, 2, 2, 3, 1, 2, 1)
    assert Counts.of(json.loads(json.dumps(total.as_json()))) == total
    assert Counts.of({"read": 1, "of another release": 2}) == Counts(read=1)


def test_counts_in_words_leave_out_what_did_not_happen() -> None:
    assert str(Counts(read=1_200, new=1_200)) == (
        "1,200 records: 1,200 new, 0 changed, 0 unchanged, 0 refused"
    )
    assert "2 followed by another" in str(Counts(repeated=2))
    assert "3 lines were not UTF-8" in str(Counts(recoded=3))


def test_refused_records_are_a_line_of_json_each(tmp_path: Path) -> None:
    file = RefusedFile(tmp_path / "refused.jsonl")
    raw = 'é "\n\ud800'

    file.write("a.csv", [])
    assert not file.path.exists()
    file.write("a.csv", [Refusal(3, "uen: is none", raw)])
    file.write("b.csv", [Refusal(9, "holds a NUL", "")])

    first, second = map(json.loads, file.path.read_text("ascii").splitlines())
    assert first == {
        "dataset": "a.csv",
        "line": 3,
        "reason": "uen: is none",
        "raw": raw,
    }
    assert (second["dataset"], second["line"]) == ("b.csv", 9)


def test_what_was_written_too_early_is_forgotten(tmp_path: Path) -> None:
    file = RefusedFile(tmp_path / "refused.jsonl")
    file.back_to(7)
    file.write("a.csv", [Refusal(3, "x", "")])
    size = file.size()
    file.write("a.csv", [Refusal(4, "x", "")])

    file.back_to(size)

    assert file.size() == size
    assert len(file.path.read_text("ascii").splitlines()) == 1


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotReport, match="cannot be written: Is a directory"):
        RefusedFile(tmp_path).write("a.csv", [Refusal(3, "x", "")])
