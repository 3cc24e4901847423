"""Let a worker that is told to stop leave its jobs to the next one at once.

PgQueuer waits for what is under way, which may be a minute in Odoo, and takes a job
that is cancelled for one that is over. What we do may be broken off anywhere and is
taken up again, so a job is broken off and put back.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from pgqueuer.errors import RetryRequested

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pgqueuer import PgQueuer


log = logging.getLogger(__name__)

# Seconds that jobs get to be broken off and put back, and then to be given up.
PATIENCE, LAST = 15.0, 5.0


async def unless_stopped(jobs: PgQueuer, act: Coroutine[None, None, None]) -> None:
    """Do it, or as much of it as there is time for until *jobs* stop.

    Raises:
        RetryRequested: when it was broken off.
    """
    doing = asyncio.ensure_future(act)
    stopping = asyncio.ensure_future(jobs.shutdown.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        broken_off = doing.cancel()  # False when it is over
        await asyncio.wait({doing})
    if broken_off and doing.cancelled():
        raise RetryRequested(timedelta(0), "the worker stops")
    doing.result()


async def run_until_told(jobs: PgQueuer, running: Coroutine[None, None, None]) -> None:
    """Wait for *running*, which works on *jobs*; when cancelled, stop them first.

    What does not stop in 20 s is left: its jobs go to whoever sees no heartbeats.
    """
    task = asyncio.ensure_future(running)
    try:
        await asyncio.shield(task)
    finally:
        jobs.shutdown.set()
        _, late = await asyncio.wait({task}, timeout=PATIENCE)
        if late:
            log.warning("the queue does not stop, and is given up")
            task.cancel()
            await asyncio.wait({task}, timeout=LAST)
