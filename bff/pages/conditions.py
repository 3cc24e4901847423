"""Decide what part and which form of a file a request gets (RFC 9110). No I/O here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Content coding, and how the name of a file in it ends; the better one first.
CODINGS = {"br": b".br", "gzip": b".gz"}
_QUALITY = re.compile(r"\s*q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*")
_LONGEST_DATE = 64
_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


class Outcome(Enum):
    """What the preconditions of a request come to."""

    GO_ON = auto()
    NOT_MODIFIED = auto()
    FAILED = auto()


class Unsatisfiable(Exception):
    """The asked-for part is not within the file (RFC 9110 section 15.5.17)."""


@dataclass(frozen=True, slots=True)
class Version:
    """What tells one version of a file from another."""

    etag: str  # without its quotes; strong
    modified: float  # seconds since the epoch


def codings(accepted: str | None) -> tuple[str, ...]:
    """Return those of our codings that the browser accepts, its favourite first.

    *accepted* is `Accept-Encoding` (section 12.5.3); one with `q=0` is refused.
    """
    if not accepted:
        return ()
    named: dict[str, float] = {}
    for member in accepted.lower().split(","):
        name, *parameters = member.split(";")
        named[name.strip()] = _quality(parameters)
    rest = named.get("*", 0.0)
    plain = named.get("identity", 0.0)
    weighed = [(named.get(name, rest), name) for name in CODINGS]
    liked = [one for one in weighed if one[0] > 0 and one[0] >= plain]
    liked.sort(key=lambda one: -one[0])  # stable: ours decides between equals
    return tuple(name for _, name in liked)


def judge(headers: Mapping[str, str], version: Version) -> Outcome:
    """Return what the preconditions of a GET or HEAD come to (section 13.2.2)."""
    second = int(version.modified)
    if (tags := headers.get("If-Match")) is not None:
        if not _names(tags, version.etag, weakly=False):
            return Outcome.FAILED
    elif (at := _date(headers.get("If-Unmodified-Since"))) is not None and second > at:
        return Outcome.FAILED
    if (tags := headers.get("If-None-Match")) is not None:
        known = _names(tags, version.etag, weakly=True)
        return Outcome.NOT_MODIFIED if known else Outcome.GO_ON
    at = _date(headers.get("If-Modified-Since"))
    return Outcome.NOT_MODIFIED if at is not None and second <= at else Outcome.GO_ON


def part(
    headers: Mapping[str, str], size: int, version: Version
) -> tuple[int, int] | None:
    """Return offset and length of the one part that a GET asks for; None: all of it.

    Several ranges, other units and nonsense are ignored, as section 14.2 allows.

    Raises:
        Unsatisfiable: when it is not within *size* bytes.
    """
    match = _RANGE.fullmatch(headers.get("Range", ""))
    if match is None or not _same(headers.get("If-Range"), version):
        return None
    first, last = match[1], match[2]
    if not first and not last:
        return None
    if not first:
        length = min(int(last), size)
        if not length:
            raise Unsatisfiable
        return size - length, length
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise Unsatisfiable
    end = min(int(last), size - 1) if last else size - 1
    return int(first), end - int(first) + 1


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if match := _QUALITY.fullmatch(parameter):
            return float(match[1])
        if parameter.strip().startswith("q"):
            return 0.0  # not understood: plain bytes suit everybody
    return 1.0


def _names(tags: str, etag: str, *, weakly: bool) -> bool:
    if tags.strip() == "*":
        return True
    return any(tag == etag and (weakly or not weak) for weak, tag in _TAG.findall(tags))


def _same(condition: str | None, version: Version) -> bool:
    """Tell whether a part may be added to what the browser has (section 13.1.5)."""
    if condition is None:
        return True
    if (match := _TAG.fullmatch(condition.strip())) is not None:
        return not match[1] and match[2] == version.etag
    return _date(condition) == int(version.modified)


def _date(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        at = parsedate_to_datetime(text[:_LONGEST_DATE])
        return at.replace(tzinfo=at.tzinfo or UTC).timestamp()
    except (OverflowError, ValueError):
        return None


def written_date(modified: float) -> str:
    """Return *modified*, seconds since the epoch, as HTTP writes it (section 5.6.7)."""
    return datetime.fromtimestamp(int(modified), UTC).strftime(
        "%a, %d %b %Y %H:%M:%S GMT"
    )
