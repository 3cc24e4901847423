"""Files as they come: whole, broken, packed, changed, and something else entirely."""

from __future__ import annotations

import asyncio
import gzip
import os
import threading
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from bff.acra.csv_file import (
    BLOCK,
    HOPELESS,
    MAX_HEADER,
    MAX_LINE,
    PAGE_LINES,
    CsvFile,
)
from bff.acra.csv_records import MAX_LINES, fill, layout
from bff.acra.records import COLUMNS, Cleaner
from bff.acra.source import MarkerStale, Page, SourceError
from tests.bff.acra.register import HEADER, line, read_into, record, text_of, uen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Small enough for several pages, large enough for some records.
SMALL = 16 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "register.csv"


def write(path: Path, text: str | bytes) -> None:
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def touch(path: Path) -> None:
    """Let *path* look as if somebody had written it anew."""
    os.utime(path, (1, 1))


async def read(file: CsvFile, marker: Any = None) -> list[Page]:
    return [page async for page in file.pages(marker)]


async def read_text(path: Path, text: str | bytes, *, block: int = BLOCK) -> Page:
    """Return all pages of a file with *text* as one."""
    write(path, text)
    first, *others = await read(CsvFile(path, block=block))
    for page in others:
        first.rows.update(page.rows)
        first.read += page.read
        first.refused += page.refused
        first.recoded += page.recoded
    return first


def refusals(page: Page) -> list[tuple[int, str]]:
    return [(one.line, one.reason) for one in page.refused]


def lines(*numbers: int) -> str:
    return "".join(line(record(number)) for number in numbers)


def uens(*numbers: int) -> list[str]:
    return [uen(number) for number in numbers]


async def test_a_file_gives_its_records_and_how_far_it_is(path: Path) -> None:
    page = await read_text(path, text_of(record(n) for n in range(3)))

    assert list(page.rows) == uens(0, 1, 2)
    assert (page.read, page.refused, page.part) == (3, [], 1.0)


async def test_a_file_of_windows_reads_the_same(path: Path) -> None:
    text = HEADER + lines(1) + line(record(2, block="1,2")) + lines(3)

    unix = await read_text(path, text)
    windows = await read_text(path, "\ufeff" + text.replace("\n", "\r\n"))

    assert windows.rows == unix.rows
    assert not windows.refused


@pytest.mark.parametrize("last", ["", "\n", "\n\n\r\n"])
async def test_ends_of_lines_at_the_end_are_no_records(path: Path, last: str) -> None:
    page = await read_text(path, HEADER + lines(1, 2).rstrip("\n") + last)

    assert (list(page.rows), page.read) == (uens(1, 2), 2)


@pytest.mark.parametrize("broken", ['"NEVER CLOSED', '"CLOSED" TOO EARLY', '"A""'])
@pytest.mark.parametrize("block", [SMALL, BLOCK])
async def test_a_broken_quote_costs_its_own_record_only(
    path: Path, broken: str, block: int
) -> None:
    spoilt = line(record(5)).replace("COMPANY 5 PTE. LTD.", broken)
    quoted = line(record(6, block="1,2"))
    others = lines(*range(7, 300))

    page = await read_text(
        path, HEADER + lines(4) + spoilt + quoted + others, block=block
    )

    assert [one.line for one in page.refused] == [3]
    assert page.refused[0].raw.startswith(uen(5))
    assert list(page.rows) == uens(4, *range(6, 300))


async def test_two_broken_quotes_that_fit_are_not_one_record(path: Path) -> None:
    opens = line(record(5)).replace("COMPANY 5 PTE. LTD.", '"OPENS')
    closes = line(record(8)).replace("COMPANY 8 PTE. LTD.", 'CLOSES"')

    page = await read_text(path, HEADER + opens + lines(6, 7) + closes + lines(9))

    assert refusals(page) == [(2, "a quote is not closed")]
    assert list(page.rows) == uens(6, 7, 8, 9)


async def test_every_line_with_a_broken_quote_is_refused_in_good_time(
    path: Path,
) -> None:
    text = lines(*range(3000)).replace("COMPANY", '"COMPANY')

    page = await read_text(path, HEADER + text + lines(9000))

    assert (page.read, len(page.refused), list(page.rows)) == (3001, 3000, uens(9000))


@pytest.mark.parametrize("closed", [False, True])
def test_records_with_open_quotes_do_not_step_through_all_lines_before(
    *,
    closed: bool,
) -> None:
    looked_at = 0

    class Lines(list[str]):
        """Count lines that are stepped over, one by one or in slices."""

        def __iter__(self) -> Iterator[str]:
            nonlocal looked_at
            for one in super().__iter__():
                looked_at += 1
                yield one

        def __getitem__(self, place: Any) -> Any:
            nonlocal looked_at
            found = super().__getitem__(place)
            looked_at += len(found) if isinstance(place, slice) else 1
            return found

    many = line(record(2, primary_user_described_activity="ONE\nTWO"))
    found = Lines((many if closed else '"a\n"b\n').splitlines(keepends=True) * 1000)
    form = layout(HEADER)
    page = Page({})

    fill(page, found, 2, form, Cleaner(), last=True)

    assert page.read == (1000 if closed else 2000)
    # The square would be millions.
    assert looked_at <= len(found) * (2 * MAX_LINES + 2)


@pytest.mark.parametrize("short", [b"a\n", b"\n", b'"a\n'])
@pytest.mark.parametrize("packed", [False, True])
async def test_very_many_short_lines_take_no_more_memory(
    path: Path, short: bytes, *, packed: bool
) -> None:
    content = text_of([record(1)]).encode() + short * (2 * PAGE_LINES)
    write(path, gzip.compress(content) if packed else content)
    read_lines, most = 0, 0

    async for page in CsvFile(path).pages(None):
        most = max(most, page.marker["line"] - read_lines, len(page.refused))
        read_lines = page.marker["line"]

    assert read_lines == 2 * PAGE_LINES + 3
    assert most <= PAGE_LINES + 2


async def test_memory_stays_though_lines_are_short(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Looking at memory takes its time: less of everything.
    monkeypatch.setattr("bff.acra.csv_file.PAGE_LINES", 2000)
    write(path, text_of([record(1)]) + "a\n" * 40_000)
    tracemalloc.start()
    try:
        async for _ in CsvFile(path, block=2**18).pages(None):
            pass
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 3 * 2**20  # 8 MB for them all


@pytest.mark.parametrize(("good", "given_up"), [(0, True), (1, False)])
async def test_a_file_without_any_good_record_is_given_up(
    path: Path, good: int, *, given_up: bool
) -> None:
    write(path, HEADER + "a\n" * HOPELESS + lines(*range(good)))

    if given_up:
        with pytest.raises(SourceError) as caught:
            await read(CsvFile(path))
        assert str(caught.value) == (
            "register.csv: none of its first 1,000 records is good; "
            "line 2: 1 columns, not 53"
        )
    else:
        assert (await read(CsvFile(path)))[0].read == HOPELESS + 1


async def test_a_line_without_end_ends_the_reading(path: Path) -> None:
    content = text_of([record(1)]).encode() + b"\0" * (MAX_LINE + 2**20)
    write(path, gzip.compress(content, 1))

    with pytest.raises(SourceError, match=r"line 3 has more than 67,108,864 bytes"):
        await read(CsvFile(path, block=2**20))


@pytest.mark.parametrize("place", ["in lines", "in a long line", "on the way"])
async def test_who_is_told_to_stop_stops_in_the_midst_of_a_page(
    path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Let reading take for ever, and stop it where it is."""
    going = threading.Event()

    class Endless(gzip.GzipFile):
        """A file whose content goes on and on."""

        def readline(self, size: int | None = -1) -> bytes:
            if size == MAX_HEADER:
                return HEADER.encode()
            going.set()
            return b"x"

        def read(self, size: int | None = -1) -> bytes:
            if place == "on the way":
                going.set()
                return b"x"
            return b'"a\n' * 9 if place == "in lines" else b"x" * (size or 0)

        def tell(self) -> int:
            return 0

    def endless_fill(*_: Any, stopped: Callable[[], bool], **__: Any) -> int:
        going.set()
        return fill(
            Page({}),
            cast("list[str]", Forever()),
            2,
            layout(HEADER),
            Cleaner(),
            last=True,
            stopped=stopped,
        )

    monkeypatch.setattr("bff.acra.csv_file.gzip.GzipFile", Endless)
    if place == "in lines":
        monkeypatch.setattr("bff.acra.csv_file.fill", endless_fill)
    write(path, gzip.compress(HEADER.encode()))
    marker = {"file": "v", "byte": 2**40, "line": 9} if place == "on the way" else None
    pages = CsvFile(path, version="v", block=2**19).pages(marker)
    reading = asyncio.ensure_future(anext(pages))
    assert await asyncio.to_thread(going.wait, 10)

    reading.cancel()

    # Without a word to the thread it would never end.
    done, _ = await asyncio.wait([reading], timeout=10)
    assert done
    assert reading.cancelled()


class Forever:
    """Lines of a broken file that has no end."""

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, place: int | slice) -> str | list[str]:
        return ['"a\n'] * 50 if isinstance(place, slice) else '"a\n'


@pytest.mark.parametrize(
    ("name", "known_as"),
    [
        ("register.csv", "register.csv"),
        ("@companies", "./@companies"),
        ("d_" + "0" * 32, "./d_" + "0" * 32),
        ("d_1.csv", "d_1.csv"),
        ("caf\udce9.csv", "caf\\xe9.csv"),
    ],
)
def test_no_file_is_called_like_another_dataset(name: str, known_as: str) -> None:
    assert CsvFile(Path(name)).name == known_as


@pytest.mark.parametrize("block", [SMALL, BLOCK])
async def test_a_value_may_have_several_lines(path: Path, block: int) -> None:
    many = record(2, primary_user_described_activity="RETAIL,\nWHOLESALE\n\nAND MORE")
    text = HEADER + lines(1) + line(many) * 600 + lines(*range(3, 200))

    page = await read_text(path, text, block=block)

    assert not page.refused
    assert page.read == 798
    assert r"RETAIL\,\nWHOLESALE\n\nAND MORE" in page.rows[uen(2)]


async def test_lines_are_counted_as_the_file_has_them(path: Path) -> None:
    many = record(2, primary_user_described_activity="ONE\nTWO\nTHREE")
    short = "x,y\n"

    page = await read_text(path, HEADER + line(many) + "\n" + short + lines(3) + short)

    assert refusals(page) == [
        (6, "2 columns, not 53"),
        (8, "2 columns, not 53"),
    ]


@pytest.mark.parametrize("cells", [",x", ",x,y,z"])
async def test_a_record_with_other_columns_is_refused(path: Path, cells: str) -> None:
    text = HEADER + lines(1) + lines(2).rstrip("\n") + cells + "\n" + lines(3)

    page = await read_text(path, text)

    assert refusals(page) == [(3, f"{53 + cells.count(',')} columns, not 53")]
    assert list(page.rows) == uens(1, 3)


async def test_a_file_cut_off_loses_its_last_record(path: Path) -> None:
    page = await read_text(path, (HEADER + lines(1, 2))[:-70])

    assert refusals(page) == [(3, "30 columns, not 53")]
    assert list(page.rows) == uens(1)


async def test_a_file_cut_off_within_quotes_loses_its_last_record(path: Path) -> None:
    text = HEADER + lines(1, 2) + line(record(3, block="1,2"))

    page = await read_text(path, text[: text.rindex("1,2") + 1])

    assert refusals(page) == [(4, "a quote is not closed")]
    assert list(page.rows) == uens(1, 2)


async def test_the_last_of_several_records_of_one_company_stays(path: Path) -> None:
    records = [record(1, block="1"), record(2), record(1, block="9")]

    page = await read_text(path, text_of(records))

    assert (page.read, len(page.rows), len(page.refused)) == (3, 2, 0)
    assert ",9," in page.rows[uen(1)]


async def test_nul_and_other_signs_of_damage_refuse_one_record(path: Path) -> None:
    text = HEADER + lines(1) + lines(2).replace("PTE", "P\0E") + lines(3)

    page = await read_text(path, text)

    assert refusals(page) == [(3, "entity_name: holds a NUL")]
    assert list(page.rows) == uens(1, 3)


async def test_lines_in_other_encodings_are_read_and_counted(path: Path) -> None:
    good = text_of([record(1, entity_name="CAFÉ 貓")]).encode()
    old = line(record(2, entity_name="CAFÉ “B”")).encode("cp1252")
    older = line(record(3, entity_name="X")).encode().replace(b"X", b"\x81")

    page = await read_text(path, good + old + older)

    assert page.recoded == 2
    assert "CAFÉ 貓" in page.rows[uen(1)]
    assert "CAFÉ “B”" in page.rows[uen(2)]
    assert "\x81" in page.rows[uen(3)]


@pytest.mark.parametrize("filler", [b"x", b",", b'"', b'","', b"\0"])
@pytest.mark.parametrize("size", [10 * 2**20, 200_000])
async def test_a_huge_line_is_refused_and_reading_goes_on(
    path: Path, filler: bytes, size: int
) -> None:
    huge = filler * (size // len(filler)) + b"\n"
    around = lines(1).encode(), lines(2).encode()

    page = await read_text(
        path, HEADER.encode() + around[0] + huge + around[1], block=2**20
    )

    assert [one.line for one in page.refused] == [3]
    assert len(page.refused[0].raw) < 1000
    assert list(page.rows) == uens(1, 2)


async def test_the_header_says_where_columns_are(path: Path) -> None:
    names = [*reversed(COLUMNS), "another", "BLOCK "]
    names.remove("block")
    cells = dict(zip(COLUMNS, record(1, block="77"), strict=True)) | {"BLOCK ": "77"}
    text = line(names) + line([cells.get(name, "?") for name in names])

    page = await read_text(path, text)
    straight = await read_text(path, text_of([record(1, block="77")]))

    assert page.rows == straight.rows
    assert page.columns == COLUMNS


async def test_a_file_says_which_columns_it_has(path: Path) -> None:
    text = "entity_status_description,uen,entity_name\nLive,53312345A,ACME\n"

    page = await read_text(path, text)

    assert page.columns == ("uen", "entity_name", "entity_status_description")
    assert page.rows["53312345A"].startswith("53312345A,na,ACME,na,na,na,na,Live,na")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "register.csv is empty"),
        ("<!DOCTYPE html>\n<p>Sorry</p>", "no column uen, entity_name, entity_st"),
        ("<!DOCTYPE html>\n<p>Sorry</p>", "it begins with '<!DOCTYPE html>'"),
        ("uen,entity_name\n1,2\n", "no column entity_status_description"),
        (HEADER.replace("block", "uen"), "has the column uen twice"),
        (HEADER.encode("utf-16"), "is no file of the register"),
        ('"uen', "is no file of the register"),
        ("x" * 10_000_000, "is no file of the register"),
    ],
)
async def test_what_is_no_register_is_refused_before_its_first_page(
    path: Path, text: str | bytes, said: str
) -> None:
    write(path, text)

    with pytest.raises(SourceError) as caught:
        CsvFile(path).check()
    with pytest.raises(SourceError, match=r"register\.csv"):
        await read(CsvFile(path))

    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("place", ["nowhere.csv", "."])
async def test_what_is_no_file_is_said(tmp_path: Path, place: str) -> None:
    with pytest.raises(SourceError, match="cannot be read: "):
        CsvFile(tmp_path / place).check()


async def test_a_packed_file_reads_the_same(path: Path) -> None:
    text = text_of(record(n) for n in range(200))

    plain = await read_text(path, text, block=SMALL)
    packed = await read_text(path, gzip.compress(text.encode()), block=SMALL)

    assert packed.rows == plain.rows
    assert packed.read == 200


@pytest.mark.parametrize("damage", ["cut", "flipped"])
async def test_a_damaged_packed_file_gives_what_comes_before(
    path: Path, damage: str
) -> None:
    packed = bytearray(gzip.compress(text_of(record(n) for n in range(900)).encode()))
    if damage == "cut":
        del packed[-9:]
    else:
        packed[-5] ^= 0xFF
    write(path, bytes(packed))
    pages: list[Page] = []

    with pytest.raises(SourceError, match=r"register\.csv cannot be read: "):
        await read_into(pages, CsvFile(path, block=SMALL).pages(None))

    assert sum(page.read for page in pages) > 700


@pytest.mark.parametrize("packed", [False, True])
async def test_reading_goes_on_behind_any_page_with_the_same_pages(
    path: Path, *, packed: bool
) -> None:
    many = record(2, primary_user_described_activity="ONE\nTWO")
    text = HEADER + (lines(*range(40)) + line(many) + "short\n") * 9
    write(path, gzip.compress(text.encode()) if packed else text)
    file = CsvFile(path, block=SMALL)
    pages = await read(file)

    for number, page in enumerate(pages):
        rest = await read(file, page.marker)
        left = [one for one in rest if one.read]
        expected = [one for one in pages[number + 1 :] if one.read]
        assert [one.rows for one in left] == [one.rows for one in expected]
        assert [one.refused for one in left] == [one.refused for one in expected]
        assert [one.marker for one in left] == [one.marker for one in expected]
    assert len(pages) > 4


@pytest.mark.parametrize("change", ["longer", "same size", "touched"])
async def test_another_file_is_not_gone_on_with(path: Path, change: str) -> None:
    text = text_of(record(n) for n in range(99))
    write(path, text)
    (first, *_) = await read(CsvFile(path, block=SMALL))
    if change == "longer":
        write(path, text + lines(100))
    elif change == "same size":
        write(path, text.replace("COMPANY 1 ", "COMPANY X "))
    else:
        touch(path)

    with pytest.raises(MarkerStale, match=r"register\.csv is another file"):
        await read(CsvFile(path, block=SMALL), first.marker)


async def test_a_version_speaks_for_a_file_that_is_fetched_again(path: Path) -> None:
    text = text_of(record(n) for n in range(99))
    write(path, text)
    first, *rest = await read(CsvFile(path, name="d_1", version="v1", block=SMALL))
    touch(path)

    again = await read(CsvFile(path, version="v1", block=SMALL), first.marker)

    assert [one.rows for one in again] == [one.rows for one in rest]
    with pytest.raises(MarkerStale):
        await read(CsvFile(path, version="v2", block=SMALL), first.marker)


async def test_a_file_that_changes_while_it_is_read_is_given_up(path: Path) -> None:
    write(path, text_of(record(n) for n in range(200)))
    pages = CsvFile(path, block=SMALL).pages(None)
    await anext(pages)

    touch(path)

    with pytest.raises(SourceError, match="was changed while it was read"):
        await anext(pages)
