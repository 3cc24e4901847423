"""What a source of register records looks like: datasets that give pages. No I/O here.

`csv_file.CsvFile` and `api.ApiDataset` are sources; `load.Loader` takes either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from bff.acra.records import COLUMNS, Cleaner, Refused, texts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

# Small JSON that lets the same dataset go on behind a page.
Marker: TypeAlias = "Mapping[str, Any]"

# Characters of a refused record that are kept for people to look at.
RAW_KEPT = 500
# Datasets are replaced once a month: one that changes more often is not waited for.
MOST_BEGINNINGS = 3


class SourceError(Exception):
    """Say in one sentence why a dataset cannot be read, or not any further."""


class MarkerStale(Exception):
    """Say in one sentence why a dataset must be read from its beginning."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that is not taken: the line it begins on (or its number), and why."""

    line: int
    reason: str
    raw: str


@dataclass(slots=True)
class Page:
    """What is written in one transaction, and where the dataset goes on behind it."""

    marker: Marker
    # Lines for COPY by UEN: of two records with one UEN the later one stays.
    rows: dict[str, str] = field(default_factory=dict)
    # Records, whatever became of them: good, refused, or followed by a later one.
    read: int = 0
    refused: list[Refusal] = field(default_factory=list)
    # Columns that the dataset has; what is stored in the others stays.
    columns: tuple[str, ...] = COLUMNS
    # Lines that were not UTF-8.
    recoded: int = 0
    # How much of the dataset lies behind this page's end, from 0 to 1, if known.
    part: float | None = None

    def take(self, line: int, values: Sequence[str], cleaner: Cleaner) -> None:
        """Add the record that begins on *line*, its *values* as COLUMNS."""
        self.read += 1
        try:
            uen, row = cleaner(values)
        except Refused as error:
            self.refused.append(Refusal(line, str(error), cut(",".join(values))))
        else:
            self.rows[uen] = row

    def refuse(self, line: int, reason: str, raw: str) -> None:
        """Count a record that cannot even be told into columns."""
        self.read += 1
        self.refused.append(Refusal(line, reason, cut(raw)))


class Dataset(Protocol):
    """Records of one origin, in an order that stays."""

    @property
    def name(self) -> str:
        """Return what it is called in `acra_ingest` and in each row's `source`."""

    def pages(self, marker: Marker | None) -> AsyncIterator[Page]:
        """Give the pages behind *marker*, or all of them for None.

        The same marker gives the same pages for as long as the dataset is unchanged.

        Raises:
            MarkerStale: when *marker* is of another state, or the dataset becomes
                another while it is read: then all pages given so far count nothing.
            SourceError: when there is no going on; pages given so far are good.
        """


def page_of(
    records: Iterable[tuple[int, Mapping[str, object]]],
    marker: Marker,
    cleaner: Cleaner,
    *,
    part: float | None = None,
) -> Page:
    """Make a page of JSON *records*, each with its number in the dataset from 1.

    Keep one *cleaner* for all pages: it remembers values that come again.
    """
    page = Page(marker, part=part)
    for number, record in records:
        page.take(number, texts(record), cleaner)
    return page


def cut(raw: str) -> str:
    """Return so much of *raw* as is kept of a refused record."""
    return raw if len(raw) <= RAW_KEPT else f"{raw[:RAW_KEPT]}…"
