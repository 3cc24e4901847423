"""Where an answer's body ends, without taking it apart. No I/O here.

Bytes pass as they came, chunk framing included; only the end has to be known, so that
the connection can serve another request and nothing behind the answer slips through.
"""

from __future__ import annotations

import re

# A size line with a chunk extension nobody needs; far more than any server sends.
_LONGEST_LINE = 4096
_MOST_TRAILERS = 100
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
# RFC 9112, 7.1, without blanks; fifteen digits are more bytes than anybody will send.
_SIZE = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:;%b(?:=(?:%b|%b))?)*\r\n" % (_TOKEN, _TOKEN, _QUOTED)
)
_TRAILER_FIELD = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*\r\n" % _TOKEN)
_SIZE_LINE, _AFTER_DATA, _TRAILER = range(3)


class MalformedBody(Exception):
    """The chunk framing of a body is broken."""


class Chunked:
    """Follow a chunked body to its end (RFC 9112, 7.1); trailer fields are left out."""

    __slots__ = ("_left", "_line", "_state", "_trailers", "done", "excess")

    def __init__(self) -> None:
        self.done = False
        self.excess = False
        self._state = _SIZE_LINE
        self._left = 0  # bytes of the present chunk's data still to come
        self._line = b""
        self._trailers = 0

    def feed(self, data: bytes) -> bytes:
        """Return what of *data* is to be passed on.

        Raises:
            MalformedBody: Two readers could disagree about where a chunk ends.
        """
        if self._state == _SIZE_LINE and not self._line and _is_whole(data):
            return data
        at, size = 0, len(data)
        passed = size
        if self._state == _TRAILER:
            passed = 0
        while at < size:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                at += step
                continue
            end = data.find(b"\n", at) + 1
            line = self._line + data[at : end or size]
            if len(line) > _LONGEST_LINE:
                raise MalformedBody("a line of the chunk framing is too long")
            if not end:
                self._line = line
                break
            self._line, at = b"", end
            if self._take(line):
                passed = min(passed, at)
            if self.done:
                self.excess = at < size
                return data[:passed] + b"\r\n"
        return data if passed == size else data[:passed]

    def _take(self, line: bytes) -> bool:
        """Take one whole line; say whether the last chunk's has just been it."""
        if self._state == _SIZE_LINE:
            match = _SIZE.fullmatch(line)
            if match is None:
                raise MalformedBody("a chunk's size is malformed")
            self._left = int(match[1], 16)
            self._state = _AFTER_DATA if self._left else _TRAILER
            return not self._left
        if self._state == _AFTER_DATA:
            if line != b"\r\n":
                raise MalformedBody("a chunk is longer than it says")
            self._state = _SIZE_LINE
            return False
        self.done = line == b"\r\n"
        if not self.done:
            self._trailers += 1
            if self._trailers > _MOST_TRAILERS or not _TRAILER_FIELD.fullmatch(line):
                raise MalformedBody("the trailer section is malformed")
        return False


def _is_whole(data: bytes) -> bool:
    """Say whether *data* is just one chunk, and not the last: nearly every event is."""
    match = _SIZE.match(data)
    if match is None:
        return False
    length = int(match[1], 16)
    end = match.end() + length
    return (
        length > 0
        and end + 2 == len(data)
        and data.endswith(b"\r\n")
        and match.end() <= _LONGEST_LINE
    )


class Counted:
    """Follow a body of so many bytes to its end."""

    __slots__ = ("_left", "done", "excess")

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = not length
        self.excess = False

    def feed(self, data: bytes) -> bytes:
        """Return what of *data* is to be passed on."""
        self.excess = len(data) > self._left
        if self.excess:
            data = data[: self._left]
        self._left -= len(data)
        self.done = not self._left
        return data


class Unended:
    """Frame a body that only the end of the connection ends into chunks."""

    __slots__ = ("done", "excess")

    def __init__(self) -> None:
        self.done = False
        self.excess = False

    def feed(self, data: bytes) -> bytes:
        """Return *data* as one chunk."""
        return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


Body = Chunked | Counted | Unended
LAST_CHUNK = b"0\r\n\r\n"
