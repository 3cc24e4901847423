"""Leave a server alone for a moment that did not answer several times in a row."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from odoo.errors import BadAnswer, OutcomeUnknown, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

FAILURES, REST_SECONDS = 5, 10.0


class Breaker:
    """What is known of one server's health; `now` is a monotonic clock in seconds.

    After *failures* calls in a row without an answer, calls fail at once for *rest*
    seconds. Then one is let through: its answer ends the rest, its failure begins
    another one. Any HTTP answer is one, but for that to a look at the server's health:
    a server whose PostgreSQL hangs still gives it.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        failures: int = FAILURES,
        rest: float = REST_SECONDS,
    ) -> None:
        self._now = now
        self._most = failures
        self._rest = rest
        self._failed = 0
        self._until = 0.0
        self._is_tried = False

    @contextmanager
    def call(self, *, is_look: bool = False) -> Generator[None]:
        """Watch one call, or a look at the server's health; errors come through.

        Raises:
            Unreachable: The server is left alone; nothing may be sent.
        """
        trial = self._admitted()
        try:
            yield
        except BadAnswer:
            self._answered(is_look=is_look)
            raise
        except (Unreachable, OutcomeUnknown):
            self._failed += 1
            # Calls that began before the rest do not prolong it.
            if trial or self._failed == self._most:
                self._until = self._now() + self._rest
            raise
        else:
            self._answered(is_look=is_look)
        finally:
            # Also of a trial that was cancelled: the next call is one then.
            if trial:
                self._is_tried = False

    def _answered(self, *, is_look: bool) -> None:
        if not is_look:
            self._failed = 0

    def _admitted(self) -> bool:
        """Return whether the call is a trial."""
        if self._failed < self._most:
            return False
        if self._is_tried or self._now() < self._until:
            raise Unreachable("the server is left alone for a moment")
        self._is_tried = True
        return True
