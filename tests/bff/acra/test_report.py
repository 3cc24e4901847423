"""Counts and the file of refused records."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bff.acra.report import CannotReport, Counts, RefusedFile
from bff.acra.source import Refusal


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


def test_what_was_written_already_is_not_written_again(tmp_path: Path) -> None:
    file = RefusedFile(tmp_path / "refused.jsonl")
    file.remember("a.csv", 7)
    file.write("a.csv", [Refusal(3, "x", "")])
    size = file.size()
    file.write("a.csv", [Refusal(4, "x", "")])
    file.write("b.csv", [Refusal(5, "x", "")])

    file.remember("a.csv", size)
    file.write("a.csv", [Refusal(line, "x", "") for line in (3, 4, 5)])

    found = map(json.loads, file.path.read_text("ascii").splitlines())
    assert [(one["dataset"][0], one["line"]) for one in found] == [
        ("a", 3),
        ("a", 4),
        ("b", 5),
        ("a", 3),
        ("a", 5),
    ]


def test_half_a_line_of_somebody_killed_spoils_no_other(tmp_path: Path) -> None:
    file = RefusedFile(tmp_path / "refused.jsonl")
    file.path.write_text('{"dataset": "a', encoding="ascii")

    file.write("a.csv", [Refusal(3, "x", "")])
    file.write("a.csv", [Refusal(4, "x", "")])

    torn, *others = file.path.read_text("ascii").splitlines()
    assert torn == '{"dataset": "a'
    assert [json.loads(text)["line"] for text in others] == [3, 4]


def test_looking_whether_it_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    full, link = tmp_path / "full", tmp_path / "link"
    full.write_text("x", encoding="ascii")
    link.symlink_to(tmp_path / "new")

    for path in (full, tmp_path / "new", link, Path("/dev/null")):
        RefusedFile(path).check()

    assert full.read_text("ascii") == "x"
    assert not (tmp_path / "new").exists()
    assert link.is_symlink()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere/x", "No such file or directory"),
        ("file/x", "Not a directory"),
        (".", "Is a directory"),
        ("pipe", "it is no file"),
        ("loop", "Too many levels of symbolic links"),
    ],
)
def test_where_nothing_can_be_written_is_said(
    tmp_path: Path, place: str, said: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(CannotReport, match=f"cannot be written: {said}"):
        RefusedFile(tmp_path / place).check()


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotReport, match="cannot be written: Is a directory"):
        RefusedFile(tmp_path).write("a.csv", [Refusal(3, "x", "")])
