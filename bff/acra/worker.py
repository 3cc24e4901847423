"""Keep the register's jobs running in the background of the worker."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from bff import database, outbound
from bff.acra.calls import Surroundings
from bff.acra.jobs import queue_one, work
from bff.acra.reading import Reader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from bff.acra.due import Outcome
    from bff.config import Config
    from bff.telemetry import Metrics

log = logging.getLogger(__name__)

# A run holds two connections, its work takes a third.
POOL_SIZE = 4
# Seconds before the queue is opened again.
AGAIN = 1.0


def is_wanted(config: Config) -> bool:
    """Tell whether anything may ever queue a run of the register."""
    acra = config.acra
    webhook = bool(acra.webhook_secret.get_secret_value())
    return acra.scheduled or acra.at_start or webhook


@asynccontextmanager
async def running(
    config: Config,
    afterwards: Callable[[database.Database], Awaitable[Outcome]],
    metrics: Metrics | None,
    surroundings: Surroundings | None = None,
) -> AsyncGenerator[None]:
    """Make queued runs for as long as the context is open, *afterwards* after each.

    Leaving it stops a run under way at once; another worker, or the next start of this
    one, goes on.
    """
    url = config.database.worker_url.get_secret_value()
    closing = asyncio.Event()
    async with (
        outbound.client_session() as http,
        database.connect(url, size=POOL_SIZE, name="bff-acra") as db,
    ):
        reader = Reader(
            db,
            config.acra,
            http,
            surroundings or Surroundings(),
            afterwards=afterwards,
            metrics=metrics,
        )

        async def forever() -> None:
            started = not config.acra.at_start
            # Not `while True`: a connection that breaks as we cancel hides the
            # cancelling.
            while not closing.is_set():
                try:
                    if not started:
                        await queue_one(db, "start")
                        started = True
                    await work(url, db, reader, config, closing)
                except Exception:
                    # Whatever it was: without it nobody reads the register.
                    log.exception("the register's worker stopped and starts again")
                await asyncio.sleep(AGAIN)

        task = asyncio.ensure_future(forever())
        try:
            yield
        finally:
            closing.set()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
