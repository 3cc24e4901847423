"""Read the register: one run over datasets, for the command and for the schedule."""

from __future__ import annotations

from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, cast

from bff.acra.load import Loader, Progress
from bff.acra.report import Counts
from bff.acra.runs import Runs
from bff.acra.source import MOST_BEGINNINGS, MarkerStale, SourceError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from bff.acra.report import RefusedFile
    from bff.acra.source import Dataset, Page
    from bff.database import Database


async def ingest(
    database: Database,
    datasets: Iterable[Dataset],
    *,
    reason: str,
    queued: int | None = None,
    restart: bool = False,
    **options: Any,  # noqa: ANN401 - those of Loader
) -> dict[str, Counts] | None:
    """Load *datasets* one after the other; None when another run is under way.

    A run that ended before its end is taken up: what it had finished is not read again,
    unless it is to *restart*. *database* is the worker's, *queued* as in `Runs.begin`,
    *options* are Loader's.

    Raises:
        SourceError: when a dataset cannot be read; what is loaded stays.
        RunLost: when another run has taken over.
        DatabaseUnavailable: when the database goes away.
        CannotReport: when refused records cannot be written down.
    """
    async with Runs(database).begin(reason, queued=queued) as run:
        if run is None:
            return None
        loader = Loader(database, run, **options)
        found = {
            dataset.name: await loader.load(dataset, restart=restart)
            for dataset in datasets
        }
        await loader.finish()
        return found


async def rehearse(
    datasets: Iterable[Dataset],
    *,
    refused_file: RefusedFile | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> dict[str, Counts]:
    """Read *datasets* and judge their records, without a database.

    Good records are counted as `read` only.

    Raises:
        SourceError: when a dataset cannot be read.
        CannotReport: when refused records cannot be written down.
    """
    found = {}
    for dataset in datasets:
        since = refused_file.size() if refused_file else 0
        for _ in range(MOST_BEGINNINGS):
            with suppress(MarkerStale):
                found[dataset.name] = await _judged(
                    dataset, refused_file, since, on_progress
                )
                break
        else:
            raise SourceError(f"{dataset.name}: it changes while it is read")
    return found


async def _judged(
    dataset: Dataset,
    refused_file: RefusedFile | None,
    since: int,
    on_progress: Callable[[Progress], None],
) -> Counts:
    counts = Counts()
    if refused_file is not None:
        refused_file.remember(dataset.name, since)
    pages = cast("AsyncGenerator[Page]", dataset.pages(None))
    async with aclosing(pages):
        async for page in pages:
            counts += Counts(
                read=page.read,
                repeated=page.read - len(page.rows) - len(page.refused),
                refused=len(page.refused),
                recoded=page.recoded,
            )
            if refused_file is not None:
                refused_file.write(dataset.name, page.refused)
            on_progress(Progress(dataset.name, counts, page.part))
    return counts
