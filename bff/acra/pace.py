"""How fast to call, and how long to wait before a call is made again. No I/O here.

data.gov.sg counts calls in ten seconds, by kind of call and by key
(guide.data.gov.sg, API rate limits); beyond them it answers 429.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC
from email.utils import parsedate_to_datetime

WINDOW = 10.0
# Our ten seconds and theirs do not pass alike: calls travel.
MARGIN = 0.5
# A second, two, four … each half of it at least, and a minute at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
# Whoever asks for more patience than this is not waited for.
LONGEST_ASKED = 300.0
DIGITS = 9


class Pace:
    """Give each call its moment: no more than *calls* in any *window* of seconds."""

    def __init__(self, calls: int, window: float = WINDOW + MARGIN) -> None:
        self._calls = calls
        self._window = window
        self._begun: deque[float] = deque(maxlen=calls)
        self._closed_until = 0.0

    def wait(self, now: float) -> float:
        """Book the next call and return the seconds until it may begin.

        *now* is of a clock that never goes back.
        """
        moment = max(now, self._closed_until)
        if len(self._begun) == self._calls:
            moment = max(moment, self._begun[0] + self._window)
        self._begun.append(moment)
        return moment - now

    def hold(self, now: float, seconds: float) -> None:
        """Let no further call begin for *seconds*: all of them share one limit."""
        self._closed_until = max(self._closed_until, now + seconds)


def backoff(attempt: int, random: float) -> float:
    """Return seconds to wait after the failed *attempt*, counted from 1.

    *random* is from 0 to 1: replicas that failed together part.
    """
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 1, 16))
    return pause * (0.5 + random / 2)


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After asks for, None if it asks for nothing.

    *now* is the time of day, in seconds since 1970. Seconds and HTTP dates are
    understood (RFC 9110 section 10.2.3); five minutes at most.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        # Longer numbers ask for years.
        seconds = float(text) if len(text) <= DIGITS else LONGEST_ASKED
        return min(seconds, LONGEST_ASKED)
    try:
        moment = parsedate_to_datetime(text)
        # A date without a zone is GMT, as every date of HTTP.
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, min(at - now, LONGEST_ASKED))
