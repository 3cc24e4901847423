"""One timer for many that wait equally long.

Each request waits for its head, nearly always for a moment only; a timer of its own
costs more than the rest of the bookkeeping.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class Waiting(Protocol):
    """Whoever has a deadline."""

    def expire(self) -> None:
        """Note that it has passed."""


class Deadlines:
    """Call `expire` on whatever stays for *seconds*."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # As all wait equally long, the first in is the first due.
        self._due: dict[Waiting, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, one: Waiting, loop: asyncio.AbstractEventLoop) -> None:
        """Start waiting, if it has not."""
        self._due.setdefault(one, loop.time() + self._seconds)
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)

    def discard(self, one: Waiting) -> None:
        """Stop waiting; harmless when it has stopped."""
        self._due.pop(one, None)

    def close(self) -> None:
        """Forget everybody."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for one in [one for one, due in self._due.items() if due <= now]:
            del self._due[one]
            one.expire()
        first = next(iter(self._due.values()), None)
        if first is not None and self._timer is None:
            self._timer = loop.call_at(first, self._look, loop)
