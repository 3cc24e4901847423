"""Show how far a long reading is: one line that changes, or a line now and then."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from bff.acra.load import Progress

# Seconds between two lines where nobody watches, and where somebody does.
SELDOM, OFTEN = 10.0, 0.2


@dataclass(slots=True)
class _Begun:
    """Where a dataset was when we first heard of it: a resumed one is not at 0."""

    at: float
    read: int
    part: float


class Display:
    """Write progress to *stream*, as it suits a terminal or a log."""

    def __init__(
        self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._live = stream.isatty()
        self._dataset = ""
        self._begun = _Begun(clock(), 0, 0.0)
        self._shown_at = clock()
        self._width = 0

    def show(self, progress: Progress) -> None:
        """Tell *progress*, unless something was told a moment ago."""
        now = self._clock()
        if progress.dataset != self._dataset:
            self.clear()
            self._dataset = progress.dataset
            self._begun = _Begun(now, progress.counts.read, progress.part or 0.0)
        if now - self._shown_at < (OFTEN if self._live else SELDOM):
            return
        self._shown_at = now
        line = line_of(progress, self._begun, now)
        if self._live:
            self._stream.write(f"\r{line:{self._width}}")
            self._width = len(line)
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def say(self, sentence: str) -> None:
        """Write *sentence* on a line of its own."""
        self.clear()
        self._stream.write(f"{sentence}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Make room on the terminal for a line of others."""
        if self._width:
            self._stream.write(f"\r{'':{self._width}}\r")
            self._stream.flush()
            self._width = 0


def line_of(progress: Progress, begun: _Begun, now: float) -> str:
    """Return *progress* in words: part, records, rate, refusals and the time left."""
    counts, seconds = progress.counts, now - begun.at
    words = [f"{counts.read:,} records"]
    if progress.part is not None:
        words.insert(0, f"{progress.part:.0%}")
    if counts.refused:
        words.append(f"{counts.refused:,} refused")
    if seconds > 0:
        words.append(f"{(counts.read - begun.read) / seconds:,.0f}/s")
        done = (progress.part or 0.0) - begun.part
        if progress.part is not None and done > 0:
            left = round((1 - progress.part) * seconds / done)
            words.append(f"{left // 60}:{left % 60:02} left")
    return f"{progress.dataset}: {', '.join(words)}"
