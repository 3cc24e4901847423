"""Requests that want the same thing wait for one doing of it, and not for ever."""

from __future__ import annotations

import asyncio

import pytest

from bff.sessions.flights import Flights, StillFlying


class Work:
    """Something done until told to finish."""

    def __init__(self) -> None:
        self.begun = 0
        self.finish = asyncio.Event()
        self.cancelled = False

    async def __call__(self) -> int:
        self.begun += 1
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return self.begun


async def test_all_get_the_result_of_one_flight_and_the_next_begins_anew() -> None:
    flights, work = Flights[int](), Work()
    waiting = [
        asyncio.ensure_future(flights.join("a", work, patience=5, longest=5))
        for _ in range(9)
    ]
    await asyncio.sleep(0)
    work.finish.set()

    assert await asyncio.gather(*waiting) == [1] * 9
    assert await flights.join("a", work, patience=5, longest=5) == 2


async def test_who_leaves_or_gives_up_does_not_end_the_flight() -> None:
    flights, work = Flights[int](), Work()
    leaving = asyncio.ensure_future(flights.join("a", work, patience=5, longest=5))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(StillFlying):
        await flights.join("a", work, patience=0.01, longest=5)
    staying = asyncio.ensure_future(flights.join("a", work, patience=5, longest=5))
    await asyncio.sleep(0)
    work.finish.set()

    assert await staying == 1
    assert leaving.cancelled()
    assert not work.cancelled


async def test_who_joins_an_old_flight_is_told_at_once() -> None:
    flights, work = Flights[int](), Work()
    with pytest.raises(StillFlying):
        await flights.join("a", work, patience=5, longest=0.05)

    async with asyncio.timeout(3):
        for _ in range(5):
            with pytest.raises(StillFlying):
                await flights.join("a", work, patience=60, longest=0.05)

    assert work.begun == 1
    await flights.land(0)


async def test_a_failure_reaches_all_who_wait_and_nobody_must() -> None:
    flights = Flights[int]()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError("no")

    for patience in (0.0, 5.0):
        with pytest.raises((StillFlying, ValueError)):
            await flights.join("a", fail, patience=patience, longest=5)
        await flights.landed()


async def test_landing_waits_for_what_ends_in_time_and_cancels_the_rest() -> None:
    flights, quick, slow = Flights[int](), Work(), Work()
    for key, work in (("quick", quick), ("slow", slow)):
        with pytest.raises(StillFlying):
            await flights.join(key, work, patience=0, longest=5)
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.05, quick.finish.set)

    await flights.land(0.3)

    assert (quick.cancelled, slow.cancelled) == (False, True)
    await asyncio.sleep(0)
    await asyncio.wait_for(flights.landed(), 1)
    await flights.land(0)
