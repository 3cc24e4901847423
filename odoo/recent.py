"""Remember for a while that something was so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


@dataclass
class Recent:
    """What was seen in the last *seconds*; `now` is a monotonic clock in seconds."""

    now: Callable[[], float]
    seconds: float
    _until: dict[Hashable, float] = field(default_factory=dict)

    def note(self, what: Hashable = None) -> None:
        """Remember it from now on."""
        now = self.now()
        self._until = {one: end for one, end in self._until.items() if end > now}
        self._until[what] = now + self.seconds

    def forget(self, what: Hashable = None) -> None:
        """Remember it no longer."""
        self._until.pop(what, None)

    def holds(self, what: Hashable = None) -> bool:
        """Tell whether it was noted not too long ago."""
        return self._until.get(what, self.now()) > self.now()
