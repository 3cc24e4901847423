"""Write the heads of small answers, each kind once.

A server's answers differ in their length and little else. What becomes of such a head
is worked out when it first comes, and holds for every other that is the same byte for
byte but for the digits of its Content-Length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from graph_proxy.answers import Framing, MalformedAnswer, read_head
from graph_proxy.headers import to_browser

if TYPE_CHECKING:
    from bff.hardening import Hardener

_HEAD_END = b"\r\n\r\n"
_LENGTHS = (b"\r\ncontent-length: ", b"\r\nContent-Length: ")
_LENGTH_SIZE = len(_LENGTHS[0])
_MOST_DIGITS = 15
_WRITTEN = re.compile(r"(?<=\r\n)(content-length: )0\r\n", re.IGNORECASE)
_NUMBER = "\r\nX-Request-ID: {}\r\n"
# Longer heads are rare and say something new each time; a date does once a second.
_LONGEST = 2048
_MOST_KINDS = 512
_REDIRECTS = range(300, 400)


@dataclass(slots=True, frozen=True)
class Kind:
    """What browsers get for one kind of head, around its two numbers."""

    status: int
    status_class: str
    before: bytes  # the request's
    between: bytes
    after: bytes  # the length


class Heads:
    """Know the heads that may pass at once.

    Those with a Content-Length, of no redirect, whose connection stays open. For any
    other answer everything must be considered, which is not done here.
    """

    def __init__(self, hardener: Hardener) -> None:
        self._hardener = hardener
        self._kind = lru_cache(maxsize=_MOST_KINDS)(self._learn)

    def rewrite(
        self, data: bytes, number: bytes, own: bytes = b""
    ) -> tuple[Kind, bytes, int, int] | None:
        """Return the head's kind, what to send, and the body's bytes here and missing.

        *data* is what came first of an answer, *number* the request's, *own* its field
        lines, each behind a break. None: this one must be looked at closely.
        """
        body = data.find(_HEAD_END, 0, _LONGEST) + len(_HEAD_END)
        for name in _LENGTHS:
            begin = data.find(name, 0, body) + _LENGTH_SIZE
            if begin >= _LENGTH_SIZE:
                break
        else:
            return None
        end = data.index(b"\r", begin)
        length = data[begin:end]
        if not length.isdigit() or len(length) > _MOST_DIGITS:
            return None
        here = len(data) - body
        missing = int(length) - here
        kind = self._kind(data[:begin], data[end:body])
        if kind is None or missing < 0:
            return None
        return (
            kind,
            b"%b%b%b%b%b%b%b"
            % (kind.before, number, own, kind.between, length, kind.after, data[body:]),
            here,
            missing,
        )

    def _learn(self, before: bytes, after: bytes) -> Kind | None:
        try:
            read = read_head(before + b"0" + after, "GET")
        except MalformedAnswer:
            return None
        if read is None:
            return None
        head, stays_open = read
        if (
            not stays_open
            or head.framing is not Framing.LENGTH
            or head.status in _REDIRECTS
        ):
            return None
        lines = self._hardener.lines(to_browser(head.headers), "{}")
        text = f"HTTP/1.1 {head.status} {head.reason}\r\n{lines}\r\n"
        # Ours comes before any field of the server's, which may say the same.
        first, _, rest = text.partition(_NUMBER)
        between, name, last = _WRITTEN.split(f"\r\n{rest}", maxsplit=1)
        parts = (f"{first}\r\nX-Request-ID: ", between + name, f"\r\n{last}")
        return Kind(
            head.status,
            f"{head.status // 100}xx",
            *(part.encode("utf-8", "surrogateescape") for part in parts),
        )
