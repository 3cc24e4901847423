"""The plan's own list of what must hold, step by step, and a table of how it went."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.acceptance.place import Place

    Step = Callable[[Place], Awaitable[None]]

HELD, BROKEN, SUPERSEDED = "holds", "BROKEN", "superseded"


@dataclass(frozen=True)
class Promise:
    """One line of the list; *instead* tells what counts where the line does not."""

    number: str
    says: str
    step: Step | None = None
    instead: str = ""


@dataclass
class Plan:
    """Promises in the order they are proven; a step may build on those before it."""

    promises: list[Promise] = field(default_factory=list)

    def promise(self, number: str, says: str) -> Callable[[Step], Step]:
        """Let the function below prove that line."""

        def add(step: Step) -> Step:
            self.promises.append(Promise(number, says, step))
            return step

        return add

    def superseded(self, number: str, says: str, instead: str) -> None:
        """Name a line that counts no longer, and what does."""
        self.promises.append(Promise(number, says, None, instead))


@dataclass(frozen=True)
class Line:
    """How a promise went; *said* is of a failure, or of what counts instead."""

    promise: Promise
    outcome: str
    seconds: float = 0.0
    said: str = ""


async def walk(plans: Sequence[Plan], place: Place) -> list[Line]:
    """Take every step, also those after one that failed."""
    lines = []
    for promise in (one for plan in plans for one in plan.promises):
        if promise.step is None:
            lines.append(Line(promise, SUPERSEDED, said=promise.instead))
            continue
        began = time.monotonic()
        try:
            await promise.step(place)
        except Exception:  # noqa: BLE001 - told in the table, and the test fails by it
            outcome, said = BROKEN, traceback.format_exc()
        else:
            outcome, said = HELD, ""
        lines.append(Line(promise, outcome, time.monotonic() - began, said))
    return lines


def table(lines: list[Line]) -> str:
    """Return the table in the list's order, and below it each failure's story."""
    lines = sorted(lines, key=lambda line: line.promise.number)
    wide = max(len(line.promise.says) for line in lines)
    rows = [
        f"  {line.promise.number:4} {line.promise.says:{wide}}  {_outcome(line)}"
        for line in lines
    ]
    broken = [line for line in lines if line.outcome == BROKEN]
    stories = [f"\n{line.promise.number}\n{line.said}" for line in broken]
    counted = sum(line.outcome != SUPERSEDED for line in lines)
    total = f"  {counted - len(broken)} of {counted} hold"
    return "\n".join([*rows, total, *stories])


def _outcome(line: Line) -> str:
    if line.outcome == SUPERSEDED:
        return f"{line.outcome}: {line.said}"
    return f"{line.outcome} ({line.seconds:.1f} s)"
