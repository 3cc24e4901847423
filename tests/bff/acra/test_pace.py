"""The pace of calls and the pauses between tries."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bff.acra.pace import (
    LONGEST_ASKED,
    LONGEST_PAUSE,
    Pace,
    backoff,
    retry_after,
)

NOW = 1_800_000_000.0


def test_calls_within_the_limit_begin_at_once() -> None:
    pace = Pace(4, window=10)

    assert [pace.wait(100.0) for _ in range(4)] == [0, 0, 0, 0]


def test_the_next_one_waits_until_the_first_is_old_enough() -> None:
    pace = Pace(2, window=10)
    pace.wait(100.0)
    pace.wait(104.0)

    assert pace.wait(105.0) == 5
    assert pace.wait(105.0) == 9


@given(
    calls=st.integers(1, 20),
    steps=st.lists(st.floats(0, 30), min_size=1, max_size=60),
)
def test_no_window_ever_holds_more_than_the_limit(
    calls: int, steps: list[float]
) -> None:
    pace, now, begun = Pace(calls, window=10), 0.0, []
    for step in steps:
        now += step
        begun.append(now + pace.wait(now))

    assert begun == sorted(begun)
    for first, later in zip(begun, begun[calls:], strict=False):
        assert later - first >= 10 - 1e-6


def test_a_limit_that_was_hit_closes_for_every_call() -> None:
    pace = Pace(4, window=10)
    pace.hold(100.0, 30)
    pace.hold(101.0, 5)

    assert pace.wait(110.0) == 20
    assert pace.wait(131.0) == 0


@given(attempt=st.integers(1, 10_000), random=st.floats(0, 1))
def test_pauses_grow_to_a_minute_and_never_beyond(attempt: int, random: float) -> None:
    pause = backoff(attempt, random)

    assert 0.5 <= pause <= LONGEST_PAUSE
    assert backoff(attempt + 1, random) >= pause


def test_replicas_that_failed_together_part() -> None:
    assert backoff(3, 0.0) == 2
    assert backoff(3, 1.0) == 4


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("99999", LONGEST_ASKED),
        ("9" * 5000, LONGEST_ASKED),
        (formatdate(NOW + 30, usegmt=True), 30),
        (formatdate(NOW - 30, usegmt=True), 0),
        (formatdate(NOW + 10**8, usegmt=True), LONGEST_ASKED),
        ("Fri, 15 Jan 2027 08:00:20", 20),
        ("Friday, 15-Jan-27 08:00:20 GMT", 20),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("Fri, 99 Zzz 2027 99:99:99 GMT", None),
        ("Fri, 15 Jan 99999999999999 08:00:00 GMT", None),
        ("²", None),
    ],
)
def test_retry_after_is_understood_in_seconds_and_as_a_date(
    value: str | None, seconds: float | None
) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text())
@example("Mon, 01 Jan 0001 00:00:00 +2359")
def test_whatever_is_said_there_the_wait_is_bounded(value: str) -> None:
    seconds = retry_after(value, NOW)

    assert seconds is None or 0 <= seconds <= LONGEST_ASKED
