"""Write pages of the register into staging_acra_companies, each in one transaction.

COPY into a temporary table, then one statement that inserts what is new and updates
what is different. Where the dataset goes on is written in the same transaction: killed
at any moment, a run is taken up where it was, and counts as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from bff.acra.report import Counts
from bff.acra.source import MOST_BEGINNINGS, MarkerStale, SourceError
from bff.acra.upsert import joined, upsert

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from asyncpg.pool import PoolConnectionProxy

    from bff.acra.report import RefusedFile
    from bff.acra.runs import Run
    from bff.acra.source import Dataset, Marker, Page
    from bff.database import Database

# A run that was given up longer ago is not taken up: the register has changed since.
RESUMED_WITHIN = "1 day"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a dataset is read."""

    dataset: str
    counts: Counts
    # From 0 to 1, None where nobody knows.
    part: float | None


@dataclass(frozen=True, slots=True)
class _State:
    """What `acra_ingest` says of a dataset: *done* is of a run that is not over."""

    at: Marker | None
    counts: Counts
    done: bool
    # Where refused records are written; how long the file was when the dataset was
    # begun, and when its last page was committed.
    refused_file: str | None = None
    refused_from: int = 0
    refused_size: int = 0


_NEW = _State(None, Counts(), done=False)


class Loader:
    """Load datasets for one run; *database* is the worker's."""

    def __init__(
        self,
        database: Database,
        run: Run,
        *,
        refused_file: RefusedFile | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
        on_notice: Callable[[str], None] = lambda _: None,
        pause: float = 0.0,
    ) -> None:
        self._database = database
        self._run = run
        self._refused_file = refused_file
        self._on_progress = on_progress
        self._on_notice = on_notice
        self._pause = pause
        self._total = Counts()
        self._names: list[str] = []
        self._refused_from = 0

    async def load(self, dataset: Dataset, *, restart: bool = False) -> Counts:
        """Load *dataset* from where an unfinished run left it, or from its beginning.

        The counts are of the whole dataset, what earlier runs did of it included.

        Raises:
            SourceError: when the dataset cannot be read any further.
            RunLost: when another run has taken over.
            DatabaseUnavailable: when the database goes away.
            CannotReport: when refused records cannot be written down.
        """
        self._names.append(dataset.name)
        if self._refused_file is not None:
            self._refused_file.check()
        state = self._here(_NEW if restart else await self._state(dataset.name))
        for _ in range(MOST_BEGINNINGS):
            try:
                return await self._load(dataset, state)
            except MarkerStale as error:
                self._on_notice(f"{error}: it is read from its beginning")
            # Nothing counts that was read of another state.
            begun = state.refused_from
            state = replace(_NEW, refused_from=begun, refused_size=begun)
        raise SourceError(f"{dataset.name}: it changes while it is read")

    async def finish(self) -> None:
        """Let the next run begin every dataset anew: this one has read them all."""
        async with self._database.shared_transaction() as connection:
            await self._run.note(connection, self._total.as_json())
            await connection.execute(
                "DELETE FROM acra_ingest WHERE dataset = ANY($1)", self._names
            )

    async def _load(self, dataset: Dataset, state: _State) -> Counts:
        counts = state.counts
        if state.done:
            await self._look(dataset, state)
            self._on_notice(f"{dataset.name} is done already: {counts}")
        else:
            counts = await self._pages(dataset, state)
        self._total += counts
        return counts

    async def _look(self, dataset: Dataset, state: _State) -> None:
        """Ask a dataset that is done whether it still is what it was.

        Raises:
            MarkerStale: when it is not.
        """
        pages = cast("AsyncGenerator[Page]", dataset.pages(state.at))
        async with aclosing(pages):
            await anext(pages, None)

    async def _pages(self, dataset: Dataset, state: _State) -> Counts:
        counts, at = state.counts, state.at
        if (file := self._refused_file) is not None:
            await asyncio.to_thread(file.remember, dataset.name, state.refused_size)
        if at is None:
            await self._begin(dataset.name)
        pages = cast("AsyncGenerator[Page]", dataset.pages(at))
        async with aclosing(pages), aclosing(_ahead(pages)) as ahead:
            async for page in ahead:
                if at is state.at is not None:
                    self._on_notice(f"{dataset.name} goes on behind: {counts}")
                counts += await self._write(dataset.name, page, counts)
                at = page.marker
                self._on_progress(Progress(dataset.name, counts, page.part))
                if self._pause:
                    await asyncio.sleep(self._pause)
        async with self._database.shared_transaction() as connection:
            await self._mark(connection, dataset.name, at, counts, done=True)
        return counts

    async def _begin(self, name: str) -> None:
        """Write down that *name* is begun, and where its refused records will be."""
        async with self._database.shared_transaction() as connection:
            await self._mark(connection, name, None, Counts())

    def _here(self, state: _State) -> _State:
        """Return *state* with what is of our file of refused records, not another."""
        file = self._refused_file
        if file is not None and file.name != state.refused_file:
            size = file.size()
            state = replace(
                state, refused_file=file.name, refused_from=size, refused_size=size
            )
        self._refused_from = state.refused_from
        return state

    async def _write(self, name: str, page: Page, before: Counts) -> Counts:
        """Write one page and what it comes to; return its own counts."""
        if self._refused_file is not None:
            await asyncio.to_thread(self._refused_file.write, name, page.refused)
        lines = await asyncio.to_thread(joined, page)
        async with self._database.shared_transaction() as connection:
            new, changed = await upsert(connection, name, page, lines)
            good = len(page.rows)
            counts = Counts(
                read=page.read,
                new=new,
                changed=changed,
                unchanged=good - new - changed,
                repeated=page.read - good - len(page.refused),
                refused=len(page.refused),
                recoded=page.recoded,
            )
            await self._mark(connection, name, page.marker, before + counts)
        return counts

    async def _mark(
        self,
        connection: PoolConnectionProxy,
        name: str,
        at: Marker | None,
        counts: Counts,
        *,
        done: bool = False,
    ) -> None:
        """Write down how far *name* is, if this run is still the one under way."""
        await self._run.note(connection, (self._total + counts).as_json())
        file = self._refused_file
        marker = {
            "at": at,
            "counts": counts.as_json(),
            "done": done,
            "refused_file": file and file.name,
            "refused_from": self._refused_from,
            "refused_size": file.size() if file else 0,
        }
        await connection.execute(
            "INSERT INTO acra_ingest (dataset, marker) VALUES ($1, $2) "
            "ON CONFLICT (dataset) DO UPDATE SET marker = $2, updated_at = now()",
            name,
            json.dumps(marker),
        )

    async def _state(self, name: str) -> _State:
        async with self._database.shared_transaction() as connection:
            text = await connection.fetchval(
                "SELECT marker FROM acra_ingest WHERE dataset = $1 "  # noqa: S608 - our own words
                f"AND updated_at > now() - interval '{RESUMED_WITHIN}'",
                name,
            )
        if text is None:
            return _NEW
        found: dict[str, Any] = json.loads(text)
        return _State(
            found.get("at"),
            Counts.of(found.get("counts", {})),
            done=bool(found.get("done")),
            refused_file=found.get("refused_file"),
            refused_from=int(found.get("refused_from", 0)),
            refused_size=int(found.get("refused_size", 0)),
        )


async def _ahead(pages: AsyncIterator[Page]) -> AsyncGenerator[Page]:
    """Give *pages*, and read the next one while the last one is being written."""
    coming = asyncio.ensure_future(anext(pages, None))
    try:
        while (page := await coming) is not None:
            coming = asyncio.ensure_future(anext(pages, None))
            yield page
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
