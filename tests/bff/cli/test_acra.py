"""`bff acra ingest`."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING

import pytest

from bff.acra.runs import Runs
from bff.database import connect
from tests.bff.acra.register import HEADER, line, record, text_of
from tests.bff.cli.commands import bff, in_a_thread
from tests.bff.configs import DEV

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

    from tests.databases import Databases


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "register.csv"
    found.write_text(text_of(record(n) for n in range(3)), encoding="utf-8")
    return found


async def run(databases: Databases, *arguments: object) -> Result:
    return await in_a_thread(
        "acra",
        "ingest",
        *map(str, arguments),
        env={**DEV, "BFF_DATABASE__WORKER_URL": databases.worker},
    )


async def companies(databases: Databases) -> int:
    async with databases.superuser() as connection:
        found = await connection.fetchval("SELECT count(*) FROM staging_acra_companies")
        return int(found)


async def test_a_file_is_read_and_reported(databases: Databases, path: Path) -> None:
    result = await run(databases, path)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == ("3 records: 3 new, 0 changed, 0 unchanged, 0 refused\n")
    assert not (path.parent / "acra-refused.jsonl").exists()
    again = await run(databases, path)
    assert again.stdout.startswith("3 records: 0 new, 0 changed, 3 unchanged")


async def test_refused_records_are_no_failure_and_are_in_a_file(
    databases: Databases, path: Path, tmp_path: Path
) -> None:
    with path.open("a") as stream:
        stream.write("short\n")
    chosen = tmp_path / "chosen.jsonl"

    result = await run(databases, path)
    other = await run(databases, path, "--refused", chosen)

    assert (result.exit_code, other.exit_code) == (0, 0)
    assert "1 refused\nrefused records are in acra-refused.jsonl" in result.stdout
    for file in (tmp_path / "acra-refused.jsonl", chosen):
        assert json.loads(file.read_text()) == {
            "dataset": "register.csv",
            "line": 5,
            "reason": "1 columns, not 53",
            "raw": "short",
        }


async def test_several_files_are_one_run(databases: Databases, path: Path) -> None:
    folder = path.parent / "more"
    folder.mkdir()
    same_name = folder / "register.csv"
    same_name.write_text(text_of([record(9)]), encoding="utf-8")

    result = await run(databases, path, same_name)

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{path}: 3 records: 3 new, 0 changed, 0 unchanged, 0 refused",
        f"{same_name}: 1 records: 1 new, 0 changed, 0 unchanged, 0 refused",
        "total: 4 records: 4 new, 0 changed, 0 unchanged, 0 refused",
    ]


async def test_nothing_is_written_unless_all_files_are_the_registers(
    databases: Databases, path: Path
) -> None:
    page = path.with_name("page.csv")
    page.write_text("<html>\n", encoding="utf-8")

    result = await run(databases, path, page, path.with_name("none.csv"))

    assert result.exit_code == 1
    assert "page.csv is no file of the register" in result.stderr
    assert "none.csv cannot be read: No such file or directory" in result.stderr
    assert "nothing was read" in result.stderr
    assert await companies(databases) == 0


def cut_off(path: Path) -> None:
    """Write a packed file of more than a page, and leave its end out."""
    text = HEADER + "".join(line(record(n, block="x" * 3000)) for n in range(3000))
    path.write_bytes(gzip.compress(text.encode())[:-9])


async def test_a_file_that_breaks_is_said_and_what_was_read_stays(
    databases: Databases, path: Path
) -> None:
    cut_off(path)

    result = await run(databases, path)

    assert result.exit_code == 1
    assert "not finished: register.csv cannot be read: " in result.stderr
    assert await companies(databases) > 0


async def test_one_run_at_a_time(databases: Databases, path: Path) -> None:
    async with connect(databases.worker, size=2) as db, Runs(db).begin("another"):
        result = await run(databases, path)

    assert result.exit_code == 1
    assert result.stderr == "another run is under way; nothing was read\n"
    assert await companies(databases) == 0


def test_a_rehearsal_needs_neither_settings_nor_database(path: Path) -> None:
    with path.open("a") as stream:
        stream.write("short\n")

    result = bff("acra", "ingest", "--dry-run", str(path))

    assert result.exit_code == 0
    assert (
        "4 records, 1 refused: 3 companies would be written; nothing was"
        in result.stdout
    )
    assert "refused records are in acra-refused.jsonl" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["FILE", "--all"], "give no file"),
        (["FILE", "--dataset", "d_1"], "give no file"),
        (["FILE", "--page-size", "10"], "give no file"),
        (["--all", "--dataset", "d_1"], "not both"),
        (["FILE", "FILE"], "a file is given twice"),
        (["FILE", "--refused", "FILE"], "cannot take refused records"),
        (["FILE"], "not finished: no database connection"),
        (["FILE", "LINK"], "a file is given twice"),
        (["FILE", "--refused", "LINK"], "cannot take refused records"),
        (["FILE", "--refused", "FILE/x"], "cannot be written: Not a directory"),
        (["FILE", "--refused", "nowhere/x"], "cannot be written: No such file"),
        (["FILE", "--refused", "PIPE"], "cannot be written: it is no file"),
        (["FILE", "--dry-run", "--refused", "nowhere/x"], "cannot be written: No such"),
        (["--dataset", "../../x"], "--dataset is no ID of a dataset"),
        (["--dataset", "d_1"], "--dataset is no ID of a dataset"),
        (["--dataset", "d_1", "--dry-run"], "--dataset is no ID of a dataset"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    path: Path, arguments: list[str], said: str
) -> None:
    link, pipe = path.with_name("link.csv"), path.with_name("pipe")
    link.symlink_to(path)
    os.mkfifo(pipe)
    places = {"FILE": path, "LINK": link, "PIPE": pipe, "FILE/x": path / "x"}
    words = [str(places.get(word, word)) for word in arguments]

    result = bff("acra", "ingest", *words, env=DEV)

    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "pw-worker" not in result.output


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"BFF_DATABASE__WORKER_URL": None}, "database.worker_url: missing"),
        ({"PAGE_SIZE": "many"}, "acra.page_size: "),
        ({"INTERVAL_SECONDS": "0"}, "acra.interval: "),
        (
            {"BFF_DATABASE__WORKER_URL": "postgresql://u:pw-worker@127.0.0.1:many/x"},
            "database.worker_url: give postgresql://",
        ),
    ],
)
def test_settings_are_read_the_originals_names_included(
    path: Path, env: dict[str, str | None], said: str
) -> None:
    result = bff("acra", "ingest", str(path), env={**DEV, **env})

    assert result.exit_code == 1
    assert said in result.stderr
    assert "pw-worker" not in result.output


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_a_resource_id_that_is_none_is_never_asked_for(arguments: list[str]) -> None:
    result = bff("acra", "ingest", *arguments, env={**DEV, "RESOURCE_ID": "../x"})

    assert result.exit_code == 1
    assert result.stderr.startswith("acra.resource_id is no ID of a dataset")


def test_a_pipe_is_no_file(path: Path) -> None:
    pipe = path.with_name("pipe.csv")
    os.mkfifo(pipe)

    result = bff("acra", "ingest", str(pipe), env=DEV)

    assert result.exit_code == 1
    assert "pipe.csv cannot be read: it is no regular file" in result.stderr


def test_an_error_of_ours_is_not_blamed_on_the_database(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ValueError("a mistake of ours")

    monkeypatch.setattr("bff.cli.acra._ingest", broken)

    with pytest.raises(ValueError, match="a mistake of ours"):
        bff("acra", "ingest", str(path), env=DEV)


async def test_a_file_that_is_called_like_another_row_leaves_that_alone(
    databases: Databases, tmp_path: Path
) -> None:
    own = tmp_path / "@companies"
    own.write_text(text_of([record(1)]), encoding="utf-8")
    async with databases.superuser() as connection:
        await connection.execute(
            "INSERT INTO acra_ingest (dataset, marker) VALUES ('@companies', '{}')"
        )

    result = await run(databases, own)

    assert result.exit_code == 0
    async with databases.superuser() as connection:
        names = await connection.fetch("SELECT dataset FROM acra_ingest")
    assert [row["dataset"] for row in names] == ["@companies"]


async def test_a_database_of_before_is_said(databases: Databases, path: Path) -> None:
    async with databases.superuser() as connection:
        await connection.execute("DROP TABLE acra_runs")

    result = await run(databases, path)

    assert result.exit_code == 1
    assert result.stderr == (
        "the schema does not fit this release: run `bff migrate up`\n"
    )
