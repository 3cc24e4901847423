"""Copies of a template that end well, break off, come late or come twice."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import uuid
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from odoo import errors
from odoo.cloning import ByForm, ByRpc, BySql, Made, clone
from odoo.command import ByCommand
from tests.bff.waiting import until
from tests.fakes.odoo_data import FakeDatabase
from tests.fakes.odoo_services import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.odoo.conftest import Odoo


async def _cloned(odoo: Odoo, *, patience: float = 10) -> Made:
    way = ByRpc(odoo.databases)
    return await clone(way, odoo.databases, TEMPLATE, "acme", patience=patience)


async def test_whole_copy(odoo: Odoo) -> None:
    assert await _cloned(odoo) is Made.WHOLE
    assert odoo.fake.databases["acme"].has_files


async def test_nothing_is_copied_where_something_is(odoo: Odoo) -> None:
    await _cloned(odoo)
    with pytest.raises(errors.DatabaseExists):
        await _cloned(odoo)
    assert odoo.fake.asked("duplicate_database") == 1


@pytest.mark.parametrize("late", [0.0, 0.7])
async def test_answer_that_was_lost(odoo: Odoo, late: float) -> None:
    odoo.fake.fail("duplicate_database", cut=True, happens=True, late=late)
    assert await _cloned(odoo) is Made.MAYBE_HALF
    assert odoo.fake.asked("duplicate_database") == 1


async def test_half_a_copy_shows_by_its_uuid(odoo: Odoo) -> None:
    odoo.fake.fail("duplicate_database", cut=True, half=True)
    assert await _cloned(odoo) is Made.MAYBE_HALF
    half, template = odoo.fake.databases["acme"], odoo.fake.databases[TEMPLATE]
    assert half.uuid == template.uuid
    assert not half.has_files


async def test_proxy_that_gave_up_says_nothing_of_the_outcome(odoo: Odoo) -> None:
    page = (504, "<h1>Gateway Time-out</h1>")
    odoo.fake.fail("duplicate_database", page=page, happens=True)
    assert await _cloned(odoo) is Made.MAYBE_HALF


async def test_copy_that_never_came_is_not_made_again(odoo: Odoo) -> None:
    odoo.fake.fail("duplicate_database", cut=True)
    with pytest.raises(errors.OutcomeUnknown):
        await _cloned(odoo, patience=0.5)
    assert odoo.fake.asked("duplicate_database") == 0
    # Whoever looks later, and finds nothing, may begin again.
    assert await _cloned(odoo) is Made.WHOLE


async def test_copy_that_odoo_cannot_load(odoo: Odoo) -> None:
    odoo.fake.fail("duplicate_database", broken=True)
    with pytest.raises(errors.DatabaseBroken):
        await _cloned(odoo, patience=0.5)


async def test_refusal_is_told_at_once(odoo: Odoo) -> None:
    odoo.fake.databases[TEMPLATE].busy = True
    with pytest.raises(errors.DatabaseBusy):
        await _cloned(odoo)


@pytest.mark.parametrize("series", ["19.0", "20.0"])
async def test_form(odoo: Odoo, series: str) -> None:
    way = ByForm(server=odoo.server, master=odoo.databases.master)
    assert await clone(way, odoo.databases, TEMPLATE, "acme") is Made.WHOLE
    taken = errors.ServerFault if series == "19.0" else errors.Invalid
    with pytest.raises(taken, match="already exists"):
        await way.clone(TEMPLATE, "acme")
    with pytest.raises(errors.AccessDenied):
        await replace(way, master="wrong").clone(TEMPLATE, "globex")
    assert "wrong" not in repr(replace(way, master="wrong"))


async def test_form_beside_a_broken_only_database(odoo: Odoo) -> None:
    odoo.fake.databases["half"] = FakeDatabase(name="half", is_broken=True)
    way = ByForm(server=odoo.server, master=odoo.databases.master)
    assert await clone(way, odoo.databases, TEMPLATE, "acme") is Made.WHOLE


async def test_form_behind_a_proxy_that_gave_up(odoo: Odoo) -> None:
    odoo.fake.fail("duplicate_database", page=(502, "<h1>Bad Gateway</h1>"))
    way = ByForm(server=odoo.server, master=odoo.databases.master)
    with pytest.raises(errors.OutcomeUnknown):
        await way.clone(TEMPLATE, "acme")


# Stands in for odoo-bin: tells how it was called, then ends as told.
PROGRAM = """
import json, os, sys, time
with open(os.environ["TOLD"], "w") as out:
    json.dump([sys.argv[1:], sorted(os.environ), os.getpid()], out)
time.sleep(float(os.environ.get("SLEEP", "0")))
sys.stderr.write("Traceback:\\nTarget database acme exists, aborting.\\n")
sys.exit(int(os.environ.get("CODE", "0")))
"""


def _command(folder: Path, **environment: str) -> ByCommand:
    script = folder / "odoo-bin"
    script.write_text(PROGRAM, encoding="utf-8")
    return ByCommand(
        program=(sys.executable, str(script)),
        configuration="/etc/odoo.conf",
        environment={"TOLD": str(folder / "told"), **environment},
    )


async def test_command_is_called_with_an_environment_of_its_own(
    odoo: Odoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Odoo 19 takes both for options of its own.
    monkeypatch.setenv("PGUSER", "postgres")
    monkeypatch.setenv("ODOO_BIN_PATH", "/nowhere")
    await _command(tmp_path).clone(TEMPLATE, "acme")
    told = (tmp_path / "told").read_text(encoding="utf-8")
    assert f'["db", "-c", "/etc/odoo.conf", "duplicate", "{TEMPLATE}", "acme"]' in told
    assert "PGUSER" not in told
    assert "ODOO_BIN_PATH" not in told


async def test_command_that_failed(odoo: Odoo, tmp_path: Path) -> None:
    way = _command(tmp_path, CODE="1")
    with pytest.raises(errors.CommandFailed, match="acme exists, aborting"):
        await clone(way, odoo.databases, TEMPLATE, "acme", patience=0)
    silent = replace(way, program=("/bin/sh", "-c", "exit 3"))
    with pytest.raises(errors.CommandFailed):
        await silent.clone(TEMPLATE, "acme")
    away = replace(way, program=("/nowhere/odoo-bin",))
    with pytest.raises(errors.Unreachable):
        await away.clone(TEMPLATE, "acme")


async def test_command_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "told"
    # A child of its own, as Odoo has for pg_dump: all of it must end.
    script = f"sleep 60 & echo $! > {told}; wait"
    way = replace(_command(tmp_path), program=("/bin/sh", "-c", script), seconds=2)
    with pytest.raises(errors.OutcomeUnknown):
        await way.clone(TEMPLATE, "acme")
    await _until_gone(int(told.read_text(encoding="utf-8")))


async def test_command_dies_with_whoever_waits_for_it(tmp_path: Path) -> None:
    way = _command(tmp_path, SLEEP="60")
    task = asyncio.create_task(way.clone(TEMPLATE, "acme"))
    told = tmp_path / "told"
    await until(lambda: asyncio.to_thread(_content, told))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pid = told.read_text(encoding="utf-8").rpartition(", ")[2]
    await _until_gone(int(pid.rstrip("]")))


def _content(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None


async def _until_gone(pid: int) -> None:
    async def gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    await until(gone)


class _Notes:
    """A connection that notes its statements."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, tuple[object, ...]]] = []

    @asynccontextmanager
    async def connect(self, database: str) -> AsyncGenerator[_Notes]:
        self.database = database
        yield self

    async def execute(self, query: str, *arguments: object) -> object:
        self.done.append((self.database, query, arguments))
        return None


def _sql(notes: _Notes, filestore: Path | None, owner: str = "odoo") -> BySql:
    uuids = iter(range(9))
    return BySql(
        connect=notes.connect,
        owner=owner,
        filestore=filestore,
        now=lambda: datetime(2026, 11, 23, 12, tzinfo=UTC),
        new_uuid=lambda: uuid.UUID(int=next(uuids)),
    )


async def test_sql_copies_database_and_files_and_renews_the_uuid_last(
    tmp_path: Path,
) -> None:
    (tmp_path / TEMPLATE / "ab").mkdir(parents=True)
    (tmp_path / TEMPLATE / "ab" / "abc").write_text("logo", encoding="utf-8")
    notes = _Notes()
    await _sql(notes, tmp_path).clone(TEMPLATE, "acme")
    assert (tmp_path / "acme" / "ab" / "abc").read_text(encoding="utf-8") == "logo"
    assert notes.done[0] == (
        "postgres",
        f'CREATE DATABASE "acme" TEMPLATE "{TEMPLATE}" OWNER "odoo"',
        (),
    )
    assert [(where, values) for where, _, values in notes.done[1:]] == [
        ("acme", (str(uuid.UUID(int=0)), "database.secret")),
        ("acme", ("2026-11-23 12:00:00", "database.create_date")),
        ("acme", (str(uuid.UUID(int=1)), "database.uuid")),
    ]


async def test_sql_without_files(tmp_path: Path) -> None:
    notes = _Notes()
    await _sql(notes, None).clone(TEMPLATE, "acme")
    await _sql(notes, tmp_path).clone(TEMPLATE, "globex")
    assert not (tmp_path / "globex").exists()


async def test_sql_quotes_nothing_that_is_not_checked() -> None:
    notes = _Notes()
    with pytest.raises(errors.BadName):
        await _sql(notes, None, owner='o"; DROP').clone(TEMPLATE, "acme")
    with pytest.raises(errors.BadName):
        await _sql(notes, None).clone(TEMPLATE, 'a"')
    assert not notes.done


async def test_files_that_find_no_room_are_said_and_what_is_left_does_not_hinder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tpl" / "54").mkdir(parents=True)
    (tmp_path / "tpl" / "54" / "54ab").write_text("one")
    notes = _Notes()
    with monkeypatch.context() as patch:

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr("odoo.cloning.shutil.copytree", full)
        with pytest.raises(errors.NoRoom):
            await _sql(notes, tmp_path).clone("tpl", "acme")
    (tmp_path / "acme" / "54").mkdir(parents=True)

    await _sql(_Notes(), tmp_path).clone("tpl", "acme")

    assert (tmp_path / "acme" / "54" / "54ab").read_text() == "one"


async def test_command_drops_and_what_is_gone_is_well(tmp_path: Path) -> None:
    await _command(tmp_path).drop("acme")
    told = (tmp_path / "told").read_text(encoding="utf-8")
    assert '["db", "-c", "/etc/odoo.conf", "drop", "acme"]' in told
    with pytest.raises(errors.CommandFailed):
        await _command(tmp_path, CODE="1").drop("acme")
    script = "echo Database acme does not exist. >&2; exit 1"
    gone = replace(_command(tmp_path), program=("/bin/sh", "-c", script))
    await gone.drop("acme")


async def test_sql_drops_database_and_files(tmp_path: Path) -> None:
    (tmp_path / "acme" / "ab").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    notes = _Notes()
    for _ in range(2):
        await _sql(notes, tmp_path).drop("acme")
    query = 'DROP DATABASE IF EXISTS "acme" WITH (FORCE)'
    assert notes.done == [("postgres", query, ())] * 2
    assert not (tmp_path / "acme").exists()
    assert (tmp_path / "other").exists()
    with pytest.raises(errors.BadName):
        await _sql(notes, tmp_path).drop("..")
