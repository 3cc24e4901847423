"""Let one run at a time read the register, whichever replica or command it is in.

A row in `acra_runs` says that a run is under way; an advisory lock, held by a
transaction that lasts as long as the run, proves that its process lives. Whoever finds
the row without the lock, or without a beat for five minutes, takes over, and what is
left of the old run can write no more.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from bff.acra.due import Left
from bff.acra.report import CannotReport
from bff.acra.source import SourceError
from bff.database import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from asyncpg.pool import PoolConnectionProxy

    from bff.database import Database

log = logging.getLogger(__name__)

# The upper half of the locks' keys; the run's number is the lower one.
LOCKS = int.from_bytes(b"acra", "big") << 32
BEAT = 30.0
# Without a sign of life for so long, a run is dead though its connection may linger.
DEAD_AFTER = "5 minutes"
# Seconds that the last words of a run may take.
END_TIMEOUT = 5.0


class RunLost(Exception):
    """Tell that this run is not the one under way any more: it must write nothing."""


@dataclass(slots=True)
class Run:
    """A run under way, ours, until its lock is *lost*."""

    run_id: int
    lost: bool = False

    async def note(
        self, connection: PoolConnectionProxy, counts: Mapping[str, Any]
    ) -> None:
        """Write down *counts* in the transaction of *connection*, as a sign of life.

        Raises:
            RunLost: when another run has taken over, or may; do not commit then.
        """
        if self.lost:
            raise RunLost("the lock of the run was lost; another may take over")
        done = await connection.execute(
            "UPDATE acra_runs SET counts = $2, beat_at = now() "
            "WHERE run_id = $1 AND status = 'running'",
            self.run_id,
            json.dumps(counts),
        )
        if done != "UPDATE 1":
            raise RunLost("another run has taken over")


class Runs:
    """Begin and end runs; *database* is the worker's, with two connections to spare."""

    def __init__(self, database: Database, *, beat: float = BEAT) -> None:
        self._database = database
        self._beat = beat

    @asynccontextmanager
    async def begin(
        self, reason: str, *, queued: int | None = None
    ) -> AsyncGenerator[Run | None]:
        """Be the one run under way until the context ends; None when there is another.

        *queued* is the row that waits for this run; without it a new one is made. An
        exception that leaves the context becomes the run's error.

        Raises:
            DatabaseUnavailable: when the database cannot be asked.
        """
        ended, failure = False, None
        try:
            async with self._database.shared_transaction() as holding:
                run = await self._start(holding, reason, queued)
                if run is None:
                    yield None
                    ended = True
                    return
                beating = asyncio.create_task(self._keep_beating(run, holding))
                try:
                    yield run
                except BaseException as error:
                    failure = error
                    await self._fail(run, error)
                    raise
                else:
                    await self._end(run, "done", None)
                    ended = True
                finally:
                    beating.cancel()
                    await asyncio.wait([beating])
        except DatabaseUnavailable:
            # Of the transaction that only held the lock nothing is left to lose.
            if failure is not None:
                raise failure from None
            if not ended:
                raise

    async def _start(
        self, holding: PoolConnectionProxy, reason: str, queued: int | None
    ) -> Run | None:
        try:
            async with self._database.shared_transaction() as connection:
                await _bury_the_dead(connection)
                run_id = await connection.fetchval(
                    *(_TAKE_UP, queued) if queued is not None else (_INSERT, reason)
                )
                if run_id is None:
                    return None
                # Held before anybody can see the row, so that no one takes it for dead.
                await holding.execute(
                    "SELECT pg_advisory_xact_lock($1)", LOCKS + run_id
                )
        except asyncpg.UniqueViolationError:
            return None
        return Run(run_id)

    async def _keep_beating(self, run: Run, holding: PoolConnectionProxy) -> None:
        while True:
            await asyncio.sleep(self._beat)
            try:
                async with self._database.shared_transaction() as connection:
                    await connection.execute(
                        "UPDATE acra_runs SET beat_at = now() "
                        "WHERE run_id = $1 AND status = 'running'",
                        run.run_id,
                    )
            except (DatabaseUnavailable, asyncpg.PostgresError) as error:
                # The next beat may come through: there are ten until it is too late.
                name = type(error).__name__
                log.warning("run %d of the register: no beat, %s", run.run_id, name)
            try:
                # For servers that end transactions in which nothing happens.
                await holding.execute("SELECT 1")
            except _HOLDING_LOST:
                log.warning("run %d of the register lost its lock", run.run_id)
                run.lost = True
                return

    async def _fail(self, run: Run, error: BaseException) -> None:
        try:
            async with asyncio.timeout(END_TIMEOUT):
                await self._end(run, "failed", _sentence(error))
        except (DatabaseUnavailable, TimeoutError):
            # Whoever comes next finds the row without its lock.
            log.warning("run %d of the register ends unrecorded", run.run_id)

    async def _end(self, run: Run, status: str, error: str | None) -> None:
        async with self._database.shared_transaction() as connection:
            await connection.execute(
                "UPDATE acra_runs SET status = $2, error = $3, ended_at = now() "
                "WHERE run_id = $1 AND status = 'running'",
                run.run_id,
                status,
                error,
            )


# `ON CONFLICT`: against the index that lets one row be `running`.
_INSERT = (
    "INSERT INTO acra_runs (reason, status, started_at, beat_at) "
    "VALUES ($1, 'running', now(), now()) ON CONFLICT DO NOTHING RETURNING run_id"
)
_TAKE_UP = (
    "UPDATE acra_runs SET status = 'running', started_at = now(), beat_at = now() "
    "WHERE run_id = $1 AND status = 'queued' RETURNING run_id"
)
_TOLD = (SourceError, CannotReport, DatabaseUnavailable, RunLost, Left)
_HOLDING_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


async def _bury_the_dead(connection: PoolConnectionProxy) -> None:
    """Give up the run under way if its process is gone or silent."""
    await connection.execute(
        "UPDATE acra_runs SET status = 'failed', ended_at = now(), "  # noqa: S608 - our own words
        "error = 'its process is gone' WHERE status = 'running' "
        f"AND (beat_at < now() - interval '{DEAD_AFTER}' "
        "OR pg_try_advisory_xact_lock($1 + run_id))",
        LOCKS,
    )


def _sentence(error: BaseException) -> str:
    """Say what happened in words of ours: others' may hold addresses and secrets."""
    if isinstance(error, _TOLD):
        return str(error)
    if isinstance(error, asyncio.CancelledError):
        return "stopped"
    return type(error).__name__
