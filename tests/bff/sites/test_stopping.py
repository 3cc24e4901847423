"""A queue that does not stop is given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pgqueuer import PgQueuer

from bff.sites.stopping import run_until_told

if TYPE_CHECKING:
    import pytest


async def test_a_queue_that_does_not_stop_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bff.sites.stopping.PATIENCE", 0.1)
    monkeypatch.setattr("bff.sites.stopping.LAST", 0.1)
    jobs, ended = PgQueuer.in_memory(), asyncio.Event()

    async def stubborn() -> None:
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError:
                told.append(jobs.shutdown.is_set())

    told: list[bool] = []
    running = asyncio.ensure_future(run_until_told(jobs, stubborn()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    try:
        await asyncio.wait({running}, timeout=20)
        assert running.cancelled()
        assert told == [True]
    finally:
        ended.set()
