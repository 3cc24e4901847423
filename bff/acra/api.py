"""Read a dataset through data.gov.sg's datastore_search, page by page.

Sorted by `_id`, the number of a row, so that pages neither overlap nor leave out. Each
page is held against the number of records that there are in all and against the page
before: one that is short, comes again or has left some out is asked for again, and is
never taken for the end. At the end the list of datasets is asked whether this one was
updated meanwhile: then what was read may be of two states, and is read anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from bff.acra.calls import Unusable
from bff.acra.records import COLUMNS, Cleaner
from bff.acra.source import MarkerStale, Page, SourceError, page_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from bff.acra.calls import Calls
    from bff.acra.pace import Pace
    from bff.acra.source import Marker

WAY = "pages"
EXPECTED = frozenset(COLUMNS)


@dataclass(frozen=True, slots=True)
class Found:
    """One answer of datastore_search, checked."""

    records: list[Any]
    total: int


@dataclass(frozen=True, slots=True)
class Place:
    """How far the reading has come: *last* is the `_id` of the last record read."""

    offset: int = 0
    total: int | None = None
    last: int | None = None


class Changed(Exception):
    """Tell that the dataset is not the one that we began to read."""


class ApiDataset:
    """A dataset of data.gov.sg; *version* is when it was last updated, if known.

    *latest* asks for that anew; empty where nobody says. *fewest* records are to be
    there, or it is taken for broken.
    """

    def __init__(
        self,
        name: str,
        calls: Calls,
        url: str,
        pace: Pace,
        *,
        page_size: int,
        version: str = "",
        latest: Callable[[], Awaitable[str]] | None = None,
        fewest: int = 1,
    ) -> None:
        self.name = name
        self._calls = calls
        self._url = url
        self._pace = pace
        self._page_size = page_size
        self.version = version
        self.fewest = fewest
        self._latest = latest

    async def pages(self, marker: Marker | None) -> AsyncIterator[Page]:
        """Give the pages behind *marker*, or all of them for None.

        Raises:
            MarkerStale: when the dataset is another since, or was read another way.
            SourceError: when there is no going on.
        """
        place = Place() if marker is None else self._place(marker)
        cleaner = Cleaner()
        while place.total is None or place.offset < place.total:
            try:
                found = await self._page(place)
                if place.last is not None and _ids(found.records)[0] > place.last + 1:
                    await self._confirm(place)
            except Changed:
                raise MarkerStale(f"dataset {self.name} has changed") from None
            if found.total < self.fewest:
                raise SourceError(
                    f"dataset {self.name}: it has {found.total} records only, where "
                    f"at least {self.fewest} are expected"
                )
            page, place = self._made(found, place, cleaner)
            if place.offset == place.total:
                await self._check_version()
            yield page

    async def _check_version(self) -> None:
        """Look whether the dataset was updated since it was listed.

        Raises:
            MarkerStale: when it was; it is of its new version from now on.
        """
        if not self.version or self._latest is None:
            return
        latest = await self._latest()
        if latest != self.version:
            self.version = latest
            raise MarkerStale(f"dataset {self.name} was updated while it was read")

    async def _confirm(self, place: Place) -> None:
        """Look whether what came last still is the record before *place*.

        Numbers are left out where a record was deleted before we began. Deleted since,
        it has moved all others up, and one of them was never read.

        Raises:
            Changed: when another record is there.
        """
        before = Place(place.offset - 1, place.total)
        found = await self._page(before, limit=1)
        if _ids(found.records) != [place.last]:
            raise Changed

    def _place(self, marker: Marker) -> Place:
        offset, total, last = (marker.get(key) for key in ("offset", "total", "last"))
        if (
            marker.get("way") != WAY
            or marker.get("version") != self.version
            or not (isinstance(offset, int) and isinstance(total, int))
            # Read to its end, and nobody can tell whether it has changed.
            or (offset >= total and not self.version)
        ):
            raise MarkerStale(f"dataset {self.name} is another since")
        return Place(offset, total, last if isinstance(last, int) else None)

    async def _page(self, place: Place, *, limit: int | None = None) -> Found:
        what = f"dataset {self.name} from record {place.offset}"
        params = {
            "resource_id": self.name,
            "limit": str(limit or self._page_size),
            "offset": str(place.offset),
            "sort": "_id",
        }
        gaps: set[int] = set()
        read = partial(self._read, what=what, place=place, gaps=gaps, asked=limit)
        return await self._calls.json(what, self._url, self._pace, read, params)

    def _read(
        self,
        document: object,
        *,
        what: str,
        place: Place,
        gaps: set[int],
        asked: int | None = None,
    ) -> Found:
        result = document.get("result") if isinstance(document, dict) else None
        if not isinstance(document, dict) or document.get("success") is not True:
            raise Unusable("an answer that says it is no success")
        records = result.get("records") if isinstance(result, dict) else None
        if not isinstance(result, dict) or not isinstance(records, list):
            raise Unusable("an answer without records")
        total = result.get("total")
        if not isinstance(total, int) or isinstance(total, bool) or total < 1:
            raise Unusable("an answer that counts no records")
        _check_fields(what, result.get("fields"))
        if place.total is not None and total != place.total:
            raise Changed
        limit = result.get("limit")
        # The server may give less than it is asked for, and says so.
        most = asked or self._page_size
        most = min(limit, most) if isinstance(limit, int) and limit > 0 else most
        if len(records) != min(most, total - place.offset):
            raise Unusable("half a page, or more than a page")
        _check_order(records, place, gaps)
        return Found(records, total)

    def _made(self, found: Found, place: Place, cleaner: Cleaner) -> tuple[Page, Place]:
        offset = place.offset + len(found.records)
        then = Place(offset, found.total, _ids(found.records)[-1])
        marker = {
            "way": WAY,
            "version": self.version,
            "offset": offset,
            "total": found.total,
            "last": then.last,
        }
        numbered = list(enumerate(found.records, start=place.offset + 1))
        whole = [(n, record) for n, record in numbered if _is_whole(record)]
        part = offset / found.total if found.total else 1.0
        page = page_of(whole, marker, cleaner, part=part)
        for number, record in numbered:
            if not _is_whole(record):
                page.refuse(
                    number, "its columns are not the register's", _shown(record)
                )
        return page, then


def _check_fields(what: str, fields: object) -> None:
    """Let a dataset pass that has the register's columns.

    Raises:
        SourceError: for one that has not: NULL would be written over what we know.
    """
    if not isinstance(fields, list):
        raise Unusable("an answer without its columns")
    named = {field.get("id") for field in fields if isinstance(field, dict)}
    missing = sorted(EXPECTED - {name for name in named if isinstance(name, str)})
    if missing:
        raise SourceError(
            f"{what}: no dataset of the register, {len(missing)} of its "
            f"{len(COLUMNS)} columns are missing, {missing[0]} for one"
        )


def _check_order(records: list[Any], place: Place, gaps: set[int]) -> None:
    """Let a page pass that goes on where the last one ended.

    *gaps* remembers what an earlier try of this page had left out: a record that was
    deleted leaves a gap each time; see `_confirm`.
    """
    ids = _ids(records)
    if not ids:
        raise Unusable("a page whose records have no numbers")
    if any(later <= first for first, later in pairwise(ids)):
        raise Unusable("a page out of order")
    if place.last is None:
        return
    if ids[0] <= place.last:
        raise Unusable("a page that came before")
    if ids[0] > place.last + 1 and ids[0] not in gaps:
        gaps.add(ids[0])
        raise Unusable("a page that leaves records out")


def _ids(records: list[Any]) -> list[int]:
    """Return the `_id` of each record that has one."""
    found = (record.get("_id") for record in records if isinstance(record, dict))
    return [one for one in found if isinstance(one, int) and one is not True]


def _shown(record: object) -> str:
    """Return something of a refused *record*, however deep it is."""
    if not isinstance(record, dict):
        return f"no record but a {type(record).__name__}"
    return ",".join(
        str(record[name]) for name in COLUMNS if isinstance(record.get(name), str)
    )


def _is_whole(record: object) -> bool:
    """Tell whether *record* has every column of the register, each a plain value."""
    return (
        isinstance(record, dict)
        and record.keys() >= EXPECTED
        and not any(isinstance(record[name], (dict, list)) for name in COLUMNS)
    )
