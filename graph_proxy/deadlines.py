"""One timer for many that wait equally long.

Each request waits for its head, nearly always for a moment only; a timer of its own
costs more than the rest of the bookkeeping.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


_log = logging.getLogger(__name__)


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

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        late = [one for one, due in self._due.items() if due <= now]
        for one in late:
            self.discard(one)
        self._timer = None
        if self._due:
            first = next(iter(self._due.values()))
            self._timer = loop.call_at(first, self._look, loop)
        for one in late:
            try:
                one.expire()
            except Exception:  # noqa: BLE001 - logged; the others must still expire
                _log.exception("a deadline could not be kept")
