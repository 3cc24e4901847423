"""Tell lines of a CSV file into records, and find back after broken ones. No I/O here.

A quote that is never closed would swallow all lines up to the next one: then the line
it stands on is refused, and reading goes on with the line behind it.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from bff.acra.glance import glance
from bff.acra.records import COLUMNS, UEN_SHAPE
from bff.acra.source import SourceError, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bff.acra.records import Cleaner
    from bff.acra.source import Page

# Without these a file is none of the register: the list of all UENs has the first two.
REQUIRED = ("uen", "entity_name", "entity_status_description")
# Lines one record may have; what a person typed may hold line breaks.
MAX_LINES = 50
# What csv says at the end of lines within quotes.
OPEN = "unexpected end of data"
BOM = "\ufeff"
HEAD_SHOWN = 60


class Stopped(Exception):
    """Tell that nobody waits for what is being read any more."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file's header says."""

    width: int
    # Columns that the file has, in our order: the others stay as they are stored.
    columns: tuple[str, ...]
    # Brings the values of a record into the order of COLUMNS; None: they are in it.
    order: Callable[[Sequence[str]], Sequence[str]] | None
    uen: int


def layout(header: str) -> Layout:
    """Read a file's first line.

    Raises:
        SourceError: when it is not the header of a file of the register.
    """
    try:
        (names,) = csv.reader([header.removeprefix(BOM)], strict=True)
    except (csv.Error, ValueError):
        names = []
    names = [name.strip().lower() for name in names]
    if missing := [name for name in REQUIRED if name not in names]:
        begins = cut(header.strip())[:HEAD_SHOWN]
        raise SourceError(
            f"is no file of the register: its first line has no column "
            f"{', '.join(missing)}; it begins with {begins!r}"
        )
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise SourceError(f"has the column {twice[0]} twice")
    uen, width = names.index("uen"), len(names)
    if tuple(names) == COLUMNS:
        return Layout(width, COLUMNS, None, uen)
    # A value more, for columns that the file does not have.
    places = [names.index(name) if name in names else width for name in COLUMNS]
    picked = itemgetter(*places)
    return Layout(
        width,
        tuple(name for name in COLUMNS if name in names),
        lambda values: picked([*values, ""]),
        uen,
    )


def lines_of(block: bytes) -> tuple[list[str], int]:
    """Return the lines of *block*, each with its end, and how many were not UTF-8.

    Those are read as cp1252, the encoding of old spreadsheets, and if even that has no
    such sign, as Latin-1, which has them all.
    """
    try:
        return io.StringIO(block.decode(), newline="\n").readlines(), 0
    except UnicodeDecodeError:
        pass
    lines, others = [], 0
    for raw in io.BytesIO(block):
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            others += 1
            try:
                line = raw.decode("cp1252")
            except UnicodeDecodeError:
                line = raw.decode("latin-1")
        lines.append(line)
    return lines, others


def fill(
    page: Page,
    lines: Sequence[str],
    first: int,
    form: Layout,
    cleaner: Cleaner,
    *,
    last: bool,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Put the records of *lines* into *page* and return how many lines were used up.

    The first of *lines* is line *first* of the file. An open record at their end is
    left for the next page, unless these are the *last* ones of the file.

    Raises:
        Stopped: when *stopped* says so, which is asked for each record that takes time.
    """
    page.columns = form.columns
    rows, at, glances = page.rows, 0, form.order is None
    while at < len(lines):
        line = lines[at].rstrip("\r\n")
        if glances and (found := glance(line)):
            page.read += 1
            rows[found[0]] = found[1]
            at += 1
            continue
        if stopped():
            raise Stopped
        record = _record(lines, at, form)
        if record is None:
            # With some lines behind it this may be a good record: the page after sees.
            if not last and 0 < at > len(lines) - MAX_LINES:
                return at
            page.refuse(first + at, "a quote is not closed", line)
            at += 1
            continue
        values, count = record
        if isinstance(values, str):
            page.refuse(first + at, values, line)
        elif values:  # an empty line is no record
            page.take(first + at, form.order(values) if form.order else values, cleaner)
        at += count
    return at


def _record(
    lines: Sequence[str], at: int, form: Layout
) -> tuple[list[str] | str, int] | None:
    """Return the record that begins at *at* and how many lines it has.

    In place of its values a reason to refuse it; None when a quote in its first line
    is not closed where it should be.
    """
    try:
        (values,) = csv.reader((lines[at],), strict=True)
    except csv.Error as error:
        if OPEN not in str(error):
            return f"not CSV: {error}", 1
    else:
        if values and len(values) != form.width:
            return f"{len(values)} columns, not {form.width}", 1
        return values, 1
    # A slice: stepping to *at* from the beginning would take ever longer.
    reader = csv.reader(lines[at : at + MAX_LINES], strict=True)
    try:
        values = next(reader)
    except csv.Error:
        return None
    inner = lines[at + 1 : at + reader.line_num]
    if len(values) != form.width or any(_is_record(line, form) for line in inner):
        return None
    return values, reader.line_num


def _is_record(line: str, form: Layout) -> bool:
    """Tell whether *line* alone is a record: then it is no part of another one."""
    try:
        (values,) = csv.reader((line,), strict=True)
    except (csv.Error, ValueError):
        return False
    return len(values) == form.width and bool(
        UEN_SHAPE.fullmatch(values[form.uen].strip().upper())
    )
