"""Pages into the table: what is new, what differs, and where a dataset goes on."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from bff import database
from bff.acra.csv_file import CsvFile
from bff.acra.ingest import ingest, rehearse
from bff.acra.records import COLUMNS, Cleaner
from bff.acra.report import CannotReport, Counts, RefusedFile
from bff.acra.runs import RunLost
from bff.acra.source import MarkerStale, Page, Refusal, SourceError
from tests.bff.acra.register import line, record, text_of, uen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    import asyncpg

    from bff.acra.source import Marker
    from bff.database import Database
    from tests.databases import Databases

SMALL = 16 * 1024


@pytest.fixture
async def worker(databases: Databases) -> AsyncGenerator[Database]:
    async with database.connect(databases.worker, size=4) as db:
        yield db


@pytest.fixture
async def superuser(databases: Databases) -> AsyncGenerator[asyncpg.Connection]:
    async with databases.superuser() as connection:
        yield connection


class Records:
    """A dataset in memory, a page for each list; it can break before a page."""

    def __init__(self, *pages: Sequence[Sequence[str]], name: str = "memory") -> None:
        self.name = name
        self.contents = pages
        self.breaks_at: int | None = None
        self.stale = False
        # Reading number so many finds another state before its second page.
        self.changes: set[int] = set()
        self.columns = COLUMNS
        self.asked: list[Marker | None] = []

    async def pages(self, marker: Marker | None) -> AsyncGenerator[Page]:
        self.asked.append(marker)
        if marker is not None and self.stale:
            raise MarkerStale("memory is another since")
        begin = 0 if marker is None else marker["page"]
        for number, records in list(enumerate(self.contents))[begin:]:
            if number == self.breaks_at:
                raise SourceError("memory cannot be read: it hurts")
            if number == 1 and len(self.asked) in self.changes:
                raise MarkerStale("memory has changed")
            page = Page({"page": number + 1}, columns=self.columns)
            cleaner = Cleaner()
            for values in records:
                page.take(number, values, cleaner)
            yield page


async def load(worker: Database, *datasets: Any, **options: Any) -> Counts:
    found = await ingest(worker, datasets, reason="test", **options)
    assert found is not None
    return sum(found.values(), Counts())


async def stored(superuser: asyncpg.Connection, number: int) -> dict[str, Any]:
    row = await superuser.fetchrow(
        "SELECT * FROM staging_acra_companies WHERE uen = $1", uen(number)
    )
    assert row is not None
    return dict(row)


async def markers(superuser: asyncpg.Connection) -> dict[str, Any]:
    rows = await superuser.fetch("SELECT dataset, marker FROM acra_ingest")
    return {row["dataset"]: json.loads(row["marker"]) for row in rows}


async def test_the_table_has_the_registers_columns_in_order(
    superuser: asyncpg.Connection,
) -> None:
    rows = await superuser.fetch(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_name = 'staging_acra_companies' ORDER BY ordinal_position"
    )

    names = tuple(row["column_name"] for row in rows)
    assert names == (*COLUMNS, "ingested_at", "source")
    assert (len(COLUMNS), COLUMNS[0], COLUMNS[-1]) == (53, "uen", "name_of_audit_firm5")


async def test_what_is_new_changed_and_unchanged_is_counted(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    first = await load(worker, Records([record(1), record(2)]))
    before = [await stored(superuser, number) for number in (1, 2)]

    second = await load(
        worker, Records([record(1), record(2, block="7"), record(3)], name="later")
    )

    assert first == Counts(read=2, new=2)
    assert second == Counts(read=3, new=1, changed=1, unchanged=1)
    after = [await stored(superuser, number) for number in (1, 2)]
    assert after[0] == before[0]
    assert after[1]["ingested_at"] > before[1]["ingested_at"]
    assert (after[1]["block"], after[1]["source"]) == ("7", "later")


async def test_a_change_is_the_latest_though_the_clock_was_set_back(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    await load(worker, Records([record(1), record(2)]))
    await superuser.execute(
        "UPDATE staging_acra_companies SET ingested_at = now() + interval '1 hour'"
    )
    before = (await stored(superuser, 1))["ingested_at"]

    await load(worker, Records([record(1), record(2, block="7")], [record(3)]))

    at = [(await stored(superuser, n))["ingested_at"] for n in (1, 2, 3)]
    assert at[0] == before < at[1] < at[2]


async def test_a_change_of_any_column_is_seen(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    same = [record(number) for number in range(1, len(COLUMNS))]
    changed = [
        record(number, **{COLUMNS[number]: "12"}) for number in range(1, len(COLUMNS))
    ]
    await load(worker, Records(same))

    counts = [
        (await load(worker, Records(records))).changed for records in (changed, same)
    ]

    assert counts == [52, 52]


async def test_values_are_stored_as_the_register_has_them(
    worker: Database, superuser: asyncpg.Connection, tmp_path: Path
) -> None:
    values = {
        "entity_name": 'BACK\\SLASH, "QUOTE" \\N',
        "building_name": "\\.",
        "street_name": "ONE\nTWO\r\nTHREE\tFOUR",
        "other_address_line1": "CAFÉ 貓 🙂",
        "block": " na ",
        "postal_code": "18956",
        "no_of_officers": "3",
    }
    path = tmp_path / "register.csv"
    path.write_text(text_of([record(1, **values), record(2)]), encoding="utf-8")

    await load(worker, CsvFile(path))

    row = await stored(superuser, 1)
    expected = values | {"block": None, "postal_code": "018956", "no_of_officers": 3}
    assert {name: row[name] for name in values} == expected
    assert row["level_no"] is None
    assert row["source"] == "register.csv"


async def test_columns_that_a_dataset_has_not_stay_as_they_are(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    await load(worker, Records([record(1, block="7", entity_name="OLD")]))
    thin = Records([record(1, entity_name="NEW")], [record(2)])
    thin.columns = ("uen", "entity_name", "entity_status_description")

    first, again = await load(worker, thin), await load(worker, thin)

    assert (first.changed, first.new, again.unchanged) == (1, 1, 2)
    row = await stored(superuser, 1)
    assert (row["entity_name"], row["block"]) == ("NEW", "7")


async def test_of_two_records_of_one_company_the_later_one_stays(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    page = [record(1, block="1"), record(2), record(1, block="2")]

    counts = await load(worker, Records(page, [record(2, block="3")]))

    assert counts == Counts(read=4, new=2, changed=1, repeated=1)
    assert (await stored(superuser, 1))["block"] == "2"
    assert (await stored(superuser, 2))["block"] == "3"


async def test_a_run_that_broke_is_taken_up_where_it_was(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    pages = [[record(n), record(n + 10), record(n, uen="?")] for n in range(4)]
    dataset = Records(*pages)
    dataset.breaks_at = 2
    with pytest.raises(SourceError):
        await load(worker, dataset)
    assert await superuser.fetchval("SELECT count(*) FROM staging_acra_companies") == 4
    dataset.breaks_at = None
    said: list[str] = []

    counts = await load(worker, dataset, on_notice=said.append)

    assert counts == Counts(read=12, new=8, refused=4)
    assert dataset.asked == [None, {"page": 2}]
    assert said[0].startswith("memory goes on behind: 6 records: 4 new")
    assert await markers(superuser) == {}
    assert (await load(worker, dataset)).unchanged == 8
    assert dataset.asked[-1] is None


async def test_what_an_unfinished_run_had_done_is_not_read_again(
    worker: Database,
) -> None:
    done, broken = (
        Records([record(1)], name="done"),
        Records([record(2)], name="broken"),
    )
    broken.breaks_at = 0
    with pytest.raises(SourceError):
        await load(worker, done, broken)
    broken.breaks_at = None
    said: list[str] = []

    counts = await load(worker, done, broken, on_notice=said.append)

    assert counts == Counts(read=2, new=2)
    assert done.asked == [None, {"page": 1}]
    assert said == [
        "done is done already: 1 records: 1 new, 0 changed, 0 unchanged, 0 refused"
    ]


@pytest.mark.parametrize("done", [False, True])
async def test_a_dataset_that_is_another_since_is_read_from_its_beginning(
    worker: Database, *, done: bool
) -> None:
    dataset, broken = Records([record(1)], [record(2)]), Records([], name="broken")
    if done:
        broken.breaks_at = 0
    else:
        dataset.breaks_at = 1
    with pytest.raises(SourceError):
        await load(worker, dataset, broken)
    dataset.breaks_at = broken.breaks_at = None
    dataset.stale = True
    said: list[str] = []

    counts = await load(worker, dataset, broken, on_notice=said.append)

    assert counts.read == 2
    assert dataset.asked[-1] is None
    assert said == ["memory is another since: it is read from its beginning"]


@pytest.mark.parametrize("resumed", [False, True])
async def test_a_dataset_that_changes_while_it_is_read_counts_anew(
    worker: Database, tmp_path: Path, *, resumed: bool
) -> None:
    dataset = Records(*([record(n), record(n, uen="?")] for n in range(3)))
    file = RefusedFile(tmp_path / "refused.jsonl")
    if resumed:
        dataset.breaks_at = 1
        with pytest.raises(SourceError):
            await load(worker, dataset, refused_file=file)
        dataset.breaks_at = None
    dataset.changes = {len(dataset.asked) + 1}
    said: list[str] = []

    counts = await load(worker, dataset, refused_file=file, on_notice=said.append)

    assert (counts.read, counts.refused) == (6, 3)
    assert said[-1] == "memory has changed: it is read from its beginning"
    assert dataset.asked[-1] is None
    assert len(file.path.read_text().splitlines()) == 3


async def test_a_dataset_that_changes_all_the_time_is_given_up(
    worker: Database,
) -> None:
    dataset = Records([record(1)], [record(2)])
    dataset.changes = set(range(99))

    with pytest.raises(SourceError, match="memory: it changes while it is read"):
        await load(worker, dataset)
    loaded = len(dataset.asked)
    with pytest.raises(SourceError, match="memory: it changes while it is read"):
        await rehearse([dataset])

    assert (loaded, len(dataset.asked)) == (3, 6)


async def test_a_rehearsal_counts_anew_too(tmp_path: Path) -> None:
    dataset = Records([record(1), record(1, uen="?")], [record(2)])
    dataset.changes = {1}
    file = RefusedFile(tmp_path / "refused.jsonl")

    found = await rehearse([dataset], refused_file=file)

    assert found == {"memory": Counts(read=3, refused=1)}
    assert len(file.path.read_text().splitlines()) == 1


@pytest.mark.parametrize("why", ["told to", "too old"])
async def test_an_unfinished_run_is_not_taken_up(
    worker: Database, superuser: asyncpg.Connection, why: str
) -> None:
    dataset = Records([record(1)], [record(2)])
    dataset.breaks_at = 1
    with pytest.raises(SourceError):
        await load(worker, dataset)
    dataset.breaks_at = None
    if why == "too old":
        await superuser.execute(
            "UPDATE acra_ingest SET updated_at = now() - interval '25 hours'"
        )

    counts = await load(worker, dataset, restart=why == "told to")

    assert dataset.asked == [None, None]
    assert counts == Counts(read=2, new=1, unchanged=1)


async def test_a_run_that_was_taken_over_commits_nothing(
    worker: Database, superuser: asyncpg.Connection
) -> None:
    class Slow(Records):
        async def pages(self, marker: Marker | None) -> AsyncGenerator[Page]:
            async for page in super().pages(marker):
                if page.marker["page"] == 2:
                    await superuser.execute("UPDATE acra_runs SET status = 'failed'")
                yield page

    with pytest.raises(RunLost):
        await load(worker, Slow([], [record(2)], [record(3)]))

    assert await superuser.fetchval("SELECT count(*) FROM staging_acra_companies") == 0


async def test_refused_records_are_written_once_though_a_page_comes_twice(
    worker: Database, superuser: asyncpg.Connection, tmp_path: Path
) -> None:
    file = RefusedFile(tmp_path / "refused.jsonl")
    bad = [[record(1), record(n, entity_name="na")] for n in range(3)]
    dataset = Records(*bad)
    # What a commit that fails leaves behind: the file is ahead of the table.
    await superuser.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'not now'; END $$"
    )
    trigger = "BEFORE UPDATE ON acra_ingest FOR EACH ROW WHEN (NEW.marker->'at'->>'page' = '{}') EXECUTE FUNCTION refuse()"  # noqa: E501 - one statement
    for number in (1, 2):
        await superuser.execute(f"CREATE TRIGGER t {trigger.format(number)}")
        with pytest.raises(Exception, match="not now"):
            await load(worker, dataset, refused_file=file)
        await superuser.execute("DROP TRIGGER t ON acra_ingest")
    others = [Refusal(7, "of another command", "")]
    RefusedFile(file.path).write("another", others)
    assert len(file.path.read_text().splitlines()) == 3

    counts = await load(worker, dataset, refused_file=file)

    assert counts.refused == 3
    found = [json.loads(text) for text in file.path.read_text().splitlines()]
    assert found.pop(2)["dataset"] == "another"
    assert [one["raw"][:10] for one in found] == [uen(n) for n in range(3)]
    assert {one["reason"] for one in found} == {"entity_name: missing"}


async def test_a_place_that_cannot_be_written_is_told_before_reading(
    worker: Database, tmp_path: Path
) -> None:
    dataset = Records([record(1)])
    file = RefusedFile(tmp_path / "nowhere" / "refused.jsonl")

    with pytest.raises(CannotReport, match="No such file or directory"):
        await load(worker, dataset, refused_file=file)

    assert dataset.asked == []


async def test_a_file_with_everything_wrong_is_imported_all_the_same(
    worker: Database, superuser: asyncpg.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "register.csv"
    text = text_of(record(n) for n in range(60))
    text += "short\n" + line(record(60)).replace("COMPANY", '"COMPANY') + "\0" * 99
    text += "\n" + "".join(line(record(n)) for n in range(61, 150)) + "x" * 50_000
    path.write_text(text, encoding="utf-8")
    seen: list[Any] = []

    counts = await load(worker, CsvFile(path, block=SMALL), on_progress=seen.append)

    assert counts == Counts(read=153, new=149, refused=4)
    assert (
        await superuser.fetchval("SELECT count(*) FROM staging_acra_companies") == 149
    )
    assert [one.part for one in seen] == sorted(one.part for one in seen)
    assert (seen[-1].part, seen[-1].counts) == (1.0, counts)
    assert json.loads(await superuser.fetchval("SELECT counts FROM acra_runs")) == (
        counts.as_json()
    )


async def test_pages_come_at_the_pace_that_is_asked_for(worker: Database) -> None:
    at: list[float] = []

    await load(
        worker,
        Records([], [], []),
        pause=0.1,
        on_progress=lambda _: at.append(time.monotonic()),
    )

    assert at[2] - at[0] > 0.19


async def test_a_rehearsal_needs_no_database(tmp_path: Path) -> None:
    file = RefusedFile(tmp_path / "refused.jsonl")
    records = [record(1), record(1), record(2, uen="?")]

    found = await rehearse([Records(records)], refused_file=file)

    assert found == {"memory": Counts(read=3, repeated=1, refused=1)}
    assert file.size() > 0
