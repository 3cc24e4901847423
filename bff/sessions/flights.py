"""Let requests that want the same thing wait for one doing of it.

A flight belongs to nobody: a browser that leaves does not cancel it, and who has
waited long enough goes without the result. A process that stops lets them land.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable
    from typing import Any

T = TypeVar("T")


class StillFlying(Exception):
    """Tell that the result is not there yet; it may come."""


@dataclass(frozen=True, slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    # By the event loop's clock.
    began: float


class Flights(Generic[T]):
    """Hold what is being done now, by key."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def join(
        self,
        key: Hashable,
        begin: Callable[[], Coroutine[Any, Any, T]],
        *,
        patience: float,
        longest: float,
    ) -> T:
        """Return the result of the flight under *key*, begun now if there is none.

        Nobody waits longer than *patience* seconds, nor for a flight that is older
        than *longest*: whoever comes late to a slow one is told at once.

        Raises:
            StillFlying: when there is no result by then.
        """
        now = asyncio.get_running_loop().time()
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight(asyncio.ensure_future(begin()), now)
            self._flights[key] = flight
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        left = flight.began + longest - now
        # Neither its end nor ours is the other's: `wait` cancels nothing.
        await asyncio.wait({flight.task}, timeout=max(0.0, min(patience, left)))
        if not flight.task.done():
            raise StillFlying
        return flight.task.result()

    def _landed(self, key: Hashable, task: asyncio.Task[T]) -> None:
        self._flights.pop(key, None)
        if not task.cancelled():
            task.exception()  # everyone who waited has it; nobody may have

    async def landed(self) -> None:
        """Wait until nothing flies."""
        while self._flights:
            await asyncio.wait({flight.task for flight in self._flights.values()})

    async def land(self, seconds: float) -> None:
        """Wait until nothing flies, *seconds* at most; what still does is cancelled."""
        flying = {flight.task for flight in self._flights.values()}
        if not flying:
            return
        _, late = await asyncio.wait(flying, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1.0)
