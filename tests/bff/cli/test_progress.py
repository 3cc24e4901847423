"""Progress on a terminal and in a log."""

from __future__ import annotations

import io

from bff.acra.load import Progress
from bff.acra.report import Counts
from bff.cli.progress import Display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def told(read: int, part: float | None, refused: int = 0) -> Progress:
    return Progress("a.csv", Counts(read=read, refused=refused), part)


def test_a_log_gets_a_line_now_and_then() -> None:
    stream, clock = io.StringIO(), Clock()
    display = Display(stream, clock=clock)

    for read in range(0, 30_001, 1000):
        display.show(told(read, read / 60_000, refused=2))
        clock.now += 1

    lines = stream.getvalue().splitlines()
    assert lines == [
        "a.csv: 17%, 10,000 records, 2 refused, 1,000/s, 0:50 left",
        "a.csv: 33%, 20,000 records, 2 refused, 1,000/s, 0:40 left",
        "a.csv: 50%, 30,000 records, 2 refused, 1,000/s, 0:30 left",
    ]


def test_a_terminal_gets_one_line_that_changes() -> None:
    stream, clock = Terminal(), Clock()
    display = Display(stream, clock=clock)

    for read in (0, 50_000, 99_999):
        display.show(told(read, read / 100_000))
        clock.now += 1
    display.say("a sentence")

    assert "\n" not in stream.getvalue()[:-12]
    *changes, blank, last = stream.getvalue().split("\r")[1:]
    assert changes[-1].startswith("a.csv: 100%, 99,999 records, 50,000/s, 0:00 left")
    assert not blank.strip()
    assert last == "a sentence\n"


def test_what_was_read_before_a_resumed_run_counts_for_no_rate() -> None:
    stream, clock = io.StringIO(), Clock()
    display = Display(stream, clock=clock)

    display.show(told(50_000, 0.5))
    clock.now += 10
    display.show(told(60_000, 0.6))

    assert stream.getvalue() == "a.csv: 60%, 60,000 records, 1,000/s, 0:40 left\n"


def test_without_a_known_end_there_is_no_time_left() -> None:
    stream, clock = io.StringIO(), Clock()
    display = Display(stream, clock=clock)
    display.show(told(0, None))
    clock.now += 20

    display.show(told(2000, None))

    assert stream.getvalue() == "a.csv: 2,000 records, 100/s\n"
