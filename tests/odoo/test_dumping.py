"""A backup that is a whole zip, or an error."""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from odoo import errors
from odoo.dumping import ToFile, dump
from tests.fakes.odoo_data import FakeDatabase
from tests.fakes.odoo_services import MASTER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.odoo.conftest import Odoo

NAME = "acme"


@dataclass
class _Memory:
    """A sink that keeps what it is given."""

    pieces: list[bytes] = field(default_factory=list)

    async def write(self, data: bytes, /) -> None:
        self.pieces.append(data)

    @property
    def content(self) -> bytes:
        return b"".join(self.pieces)


@pytest.fixture(autouse=True)
def database(odoo: Odoo) -> FakeDatabase:
    made = FakeDatabase.initialised(NAME)
    odoo.fake.databases[NAME] = made
    return made


async def test_backup_is_a_zip_with_all_its_files(odoo: Odoo, tmp_path: Path) -> None:
    sink = _Memory()
    size = await dump(odoo.databases, NAME, sink)
    assert size == len(sink.content)
    with zipfile.ZipFile(io.BytesIO(sink.content)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
    assert names == {"dump.sql", "manifest.json", "filestore/54/54"}
    file = tmp_path / "backup.zip"
    with file.open("wb") as out:
        await dump(odoo.databases, NAME, ToFile(out))
    assert zipfile.is_zipfile(file)


async def test_large_backup_is_never_held_as_a_whole(odoo: Odoo) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("dump.sql", bytes(4 * 2**20))
    odoo.fake.fail("backup", answers=(written.getvalue(),))
    sink = _Memory()
    assert await dump(odoo.databases, NAME, sink) > 4 * 2**20
    assert max(map(len, sink.pieces)) < 2**20


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("stops_at", [0, 3, 30, 100, -1, -22, -23])
async def test_backup_that_breaks_off_is_none(
    odoo: Odoo, stops_at: int, *, is_cut: bool
) -> None:
    odoo.fake.backup_stops_at, odoo.fake.backup_is_cut = stops_at, is_cut
    with pytest.raises(errors.OutcomeUnknown):
        await dump(odoo.databases, NAME, _Memory())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"-- no zip\n" * 99,
        b"PK\x03\x04" + struct.pack("<4s8xIIH", b"PK\x05\x06", 9, 9, 0),
        # A zip within: its end is not that of the whole.
        b"PK\x03\x04" + b"x" * 99 + struct.pack("<4s8xIIH", b"PK\x05\x06", 0, 4, 0),
    ],
)
async def test_what_is_no_zip(odoo: Odoo, content: bytes) -> None:
    odoo.fake.fail("backup", answers=(content,))
    with pytest.raises(errors.OutcomeUnknown, match="no whole zip"):
        await dump(odoo.databases, NAME, _Memory())


async def test_zip_of_very_many_files_is_whole(odoo: Odoo) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for number in range(2**16 + 1):  # one more than a plain end can count
            archive.writestr(f"{number}", "")
    odoo.fake.fail("backup", answers=(written.getvalue(),))
    sink = _Memory()
    assert await dump(odoo.databases, NAME, sink) == len(sink.content)
    odoo.fake.fail("backup", answers=(written.getvalue()[1:],))
    with pytest.raises(errors.OutcomeUnknown):
        await dump(odoo.databases, NAME, _Memory())


async def test_refusals_are_told_and_nothing_is_written(odoo: Odoo) -> None:
    sink = _Memory()
    with pytest.raises(errors.AccessDenied) as raised:
        await dump(replace(odoo.databases, master="wrong-one"), NAME, sink)
    assert "wrong-one" not in str(raised.value)
    with pytest.raises(errors.ServerFault, match="not known"):
        await dump(odoo.databases, "globex", sink)
    with pytest.raises(errors.BadName):
        await dump(odoo.databases, "../x", sink)
    odoo.fake.list_db = False
    with pytest.raises(errors.ManagerDisabled) as disabled:
        await dump(odoo.databases, NAME, sink)
    assert MASTER not in str(disabled.value)
    assert not sink.pieces


async def test_page_of_somebody_else_is_no_backup(odoo: Odoo) -> None:
    odoo.fake.fail("backup", page=(200, "<h1>Sign in</h1>"))
    sink = _Memory()
    with pytest.raises(errors.BadAnswer):
        await dump(odoo.databases, NAME, sink)
    assert not sink.pieces


async def test_sink_that_fails_comes_through(odoo: Odoo) -> None:
    class Full(_Memory):
        async def write(self, data: bytes, /) -> None:
            raise TimeoutError(f"no room for {len(data)} bytes")

    with pytest.raises(TimeoutError, match="no room"):
        await dump(odoo.databases, NAME, Full())
