"""Whoever watches an onboarding is woken, and can be told to stop."""

from __future__ import annotations

import asyncio

import pytest

from bff.listener import Listener
from bff.onboarding.watch import Watch


@pytest.mark.parametrize("steps", range(5))
async def test_a_wake_up_does_not_hide_a_cancel(steps: int) -> None:
    watch = Watch(Listener("postgresql://nowhere.invalid/x"))
    entered = asyncio.Event()

    async def watching() -> None:
        async with watch.watching(7) as changed:
            while True:
                entered.set()
                await changed(3600)

    task = asyncio.ensure_future(watching())
    await entered.wait()
    await asyncio.sleep(0)
    watch._wake("7")
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=0.5)
    try:
        assert task.cancelled()
    finally:
        task.cancel()
