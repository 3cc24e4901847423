"""One timer for many: each expires once, in its time, whatever the others do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from graph_proxy.deadlines import Deadlines
from tests.bff.waiting import until

if TYPE_CHECKING:
    import pytest


class One:
    """Notes its end, and may do something about another's."""

    def __init__(self, *, fails: bool = False) -> None:
        self.expired = 0
        self.fails = fails

    def expire(self) -> None:
        self.expired += 1
        if self.fails:
            raise OSError("a full disk")


class Named:
    """Notes when it ended, among others."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name, self.order = name, order

    def expire(self) -> None:
        self.order.append(self.name)


async def after(one: One) -> None:
    async def late() -> bool:
        return one.expired > 0

    await until(late)


async def test_who_stays_expires_once_and_who_leaves_does_not() -> None:
    deadlines, loop = Deadlines(0.05), asyncio.get_running_loop()
    stays, leaves = One(), One()
    deadlines.add(stays, loop)
    deadlines.add(leaves, loop)
    deadlines.discard(leaves)
    deadlines.discard(leaves)
    await after(stays)
    await asyncio.sleep(0.1)

    assert (stays.expired, leaves.expired) == (1, 0)


async def test_adding_again_does_not_prolong() -> None:
    deadlines, loop = Deadlines(0.2), asyncio.get_running_loop()
    order: list[str] = []
    first, second = Named("first", order), Named("second", order)
    deadlines.add(first, loop)
    deadlines.add(second, loop)
    await asyncio.sleep(0.05)
    deadlines.add(first, loop)

    async def both() -> bool:
        return len(order) == 2

    await until(both)
    assert order == ["first", "second"]


async def test_one_that_fails_holds_up_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    deadlines, loop = Deadlines(0.05), asyncio.get_running_loop()
    fails, next_one, later = One(fails=True), One(), One()
    deadlines.add(fails, loop)
    deadlines.add(next_one, loop)
    await asyncio.sleep(0.03)
    deadlines.add(later, loop)
    await after(later)

    assert (fails.expired, next_one.expired, later.expired) == (1, 1, 1)
    assert "a deadline could not be kept" in caplog.text
