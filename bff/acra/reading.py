"""Make one run of the register: datasets, companies, and whoever depends on them.

Data.gov.sg replaces the datasets once a month and says when; one that was loaded whole
and has not been updated since is not read again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bff import tracing
from bff.acra.datasets import datasets
from bff.acra.due import Left, catch_up
from bff.acra.load import Loader
from bff.acra.report import CannotReport, Counts, RefusedFile
from bff.acra.runs import Run, Runs
from bff.acra.source import SourceError
from bff.acra.sync import sync

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import aiohttp
    import asyncpg

    from bff.acra.calls import Surroundings
    from bff.acra.datasets import VersionedDataset
    from bff.acra.due import Outcome
    from bff.config_acra import Acra
    from bff.database import Database
    from bff.telemetry import Metrics

log = logging.getLogger(__name__)

# Of `acra_ingest`: the versions that are loaded whole. No dataset is called so.
ROW = "@versions"
# And how many records each had. One that has less than half of them is broken.
RECORDS = "@records"


class Reader:
    """Make runs that were queued; *database* is the worker's, with four connections.

    *afterwards* is done when companies have changed, until nothing of it is left.
    """

    def __init__(
        self,
        database: Database,
        settings: Acra,
        http: aiohttp.ClientSession,
        surroundings: Surroundings,
        *,
        afterwards: Callable[[Database], Awaitable[Outcome]],
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._http = http
        self._surroundings = surroundings
        self._afterwards = afterwards
        self._metrics = metrics

    async def run(self, run_id: int) -> bool:
        """Make the run *run_id*, or take up what is left of it.

        False when another is under way: then it is to be tried again later. A run that
        fails for good is noted as failed, and told in the log.

        Raises:
            RunLost: when another run has taken over.
            DatabaseUnavailable: when the database goes away.
        """
        with tracing.doing("register"):
            return await self._run(run_id)

    async def _run(self, run_id: int) -> bool:
        row = await self._row(run_id)
        if row is None or row["status"] == "done":
            return True
        queued = run_id if row["status"] == "queued" else None
        outcome = "failed"
        try:
            async with Runs(self._database).begin(row["reason"], queued=queued) as run:
                if run is None:
                    outcome = ""
                    return False
                await self._make(run)
                outcome = "done"
        except asyncio.CancelledError:
            outcome = "stopped"
            raise
        except Left as error:
            log.warning("%s; the next run tries again", error)
        except (SourceError, CannotReport) as error:
            log.error("the register could not be read: %s", error)  # noqa: TRY400 - one sentence says it
        finally:
            if self._metrics is not None and outcome:
                self._metrics.acra_runs.labels(outcome).inc()
        return True

    async def _make(self, run: Run) -> None:
        """Read what is new, bring it into `companies`, and say what could not be read.

        A dataset that cannot be read holds up no other.
        """
        found = await datasets(self._settings, self._http, self._surroundings)
        known, records = await self._noted(ROW), await self._noted(RECORDS)
        for one in found:
            one.fewest = max(1, records.get(one.name, 0) // 2)
        todo = [
            one
            for one in found
            if not one.version or known.get(one.name) != one.version
        ]
        log.info("reading %d of %d datasets of the register", len(todo), len(found))
        counts, failures = await self._load(run, todo)
        done = await sync(self._database, run, counts.as_json())
        log.info("the register: %s; %s", counts, done)
        self._count(counts)
        await catch_up(self._database, self._afterwards)
        if failures:
            raise SourceError(
                f"{len(failures)} of {len(todo)} datasets could not be read whole; "
                f"{failures[0]}"
            )

    async def _load(
        self, run: Run, todo: list[VersionedDataset]
    ) -> tuple[Counts, list[str]]:
        loader = Loader(
            self._database,
            run,
            refused_file=self._refused_file(),
            on_notice=lambda sentence: log.info("%s", sentence),
        )
        counts, failures = Counts(), []
        for dataset in todo:
            try:
                loaded = await loader.load(dataset)
            except SourceError as error:
                log.warning("%s", error)
                failures.append(str(error))
            else:
                counts += loaded
                await self._note(ROW, {dataset.name: dataset.version})
                await self._note(RECORDS, {dataset.name: loaded.read})
        if not failures:
            await loader.finish()
        return counts, failures

    def _refused_file(self) -> RefusedFile | None:
        folder = self._settings.refused_folder
        if folder is None:
            return None
        day = datetime.fromtimestamp(self._surroundings.now(), UTC)
        return RefusedFile(folder / f"acra-refused-{day:%Y-%m-%d}.jsonl")

    async def _row(self, run_id: int) -> asyncpg.Record | None:
        async with self._database.shared_transaction() as connection:
            return await connection.fetchrow(
                "SELECT reason, status FROM acra_runs WHERE run_id = $1", run_id
            )

    async def _noted(self, row: str) -> dict[str, Any]:
        async with self._database.shared_transaction() as connection:
            text = await connection.fetchval(
                "SELECT marker FROM acra_ingest WHERE dataset = $1", row
            )
        return dict(json.loads(text)) if text else {}

    async def _note(self, row: str, values: dict[str, Any]) -> None:
        async with self._database.shared_transaction() as connection:
            await connection.execute(
                "INSERT INTO acra_ingest AS row (dataset, marker) VALUES ($1, $2) "
                "ON CONFLICT (dataset) DO UPDATE "
                "SET marker = row.marker || $2, updated_at = now()",
                row,
                json.dumps(values),
            )

    def _count(self, counts: Counts) -> None:
        if self._metrics is not None:
            for outcome, number in counts.as_json().items():
                if outcome != "read":
                    self._metrics.acra_records.labels(outcome).inc(number)
