"""Read the register: one run over datasets, for the command and for the schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bff.acra.load import Loader, Progress
from bff.acra.report import Counts
from bff.acra.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bff.acra.report import RefusedFile
    from bff.acra.source import Dataset
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
        counts = Counts()
        async for page in dataset.pages(None):
            counts += Counts(
                read=page.read,
                repeated=page.read - len(page.rows) - len(page.refused),
                refused=len(page.refused),
                recoded=page.recoded,
            )
            if refused_file is not None:
                refused_file.write(dataset.name, page.refused)
            on_progress(Progress(dataset.name, counts, page.part))
        found[dataset.name] = counts
    return found
