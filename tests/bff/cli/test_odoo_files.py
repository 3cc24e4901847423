"""A file is there whole or not at all, and nobody else's is touched."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from bff.cli.odoo_files import new_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_comes_into_being_at_the_end_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "dump.zip"

    with new_file(file) as stream:
        stream.write(b"one")
        part = file.with_name("dump.zip.part")
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
        assert not file.exists()

    assert file.read_bytes() == b"one"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with new_file(tmp_path / "x") as stream:
            stream.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()

    assert list(tmp_path.iterdir()) == []


def test_a_part_of_before_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(b"longer than the new one")

    with new_file(tmp_path / "x") as stream:
        stream.write(b"new")

    assert (tmp_path / "x").read_bytes() == b"new"


def test_a_file_that_is_there_stays_whenever_it_came(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("theirs")
    with pytest.raises(FileExistsError), new_file(file):
        pytest.fail("the file was there before")
    file.unlink()

    def write() -> None:
        with new_file(file) as stream:
            stream.write(b"ours")
            file.write_text("theirs")

    with pytest.raises(FileExistsError):
        write()

    assert file.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [file]


def test_where_nothing_can_be_written_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), new_file(tmp_path / "no" / "x"):
        pytest.fail("there is no such folder")
