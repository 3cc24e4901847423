"""Bytes of an upstream's connection in, one answer after another out. No I/O here."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import httptools

from graph_proxy.headers import tokens

if TYPE_CHECKING:
    from graph_proxy.headers import Header

# Far more than any browser takes from us; a stop for a head that never ends.
MAX_HEAD = 256 * 1024

_LONG_LINE = 256
_SWITCHING = 101
_DIGITS = re.compile(r"[0-9]{1,18}")
_WHOLE_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n"
)
_PRINTABLE = re.compile(r"[\x20-\x7e]*")


class MalformedAnswer(Exception):
    """The upstream's bytes are no acceptable HTTP/1 answer, or end inside one."""


class Framing(enum.Enum):
    """What ends the body (RFC 9112, 6.3)."""

    NONE = enum.auto()
    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    CLOSE = enum.auto()


@dataclass(frozen=True, slots=True)
class Head:
    """A final answer's status line and header fields, none of them dropped yet."""

    status: int
    reason: str
    headers: list[Header]
    framing: Framing
    length: int = 0  # of the body, in bytes, where the framing says it


class AnswerParser:
    """Parse the answers of one connection; `begin` announces each.

    `head` is set once it has arrived, decoded body bytes pile up until `take`, and
    `complete` tells that the answer is over.
    """

    def __init__(self, method: str = "GET") -> None:
        self.begin(method)

    def begin(self, method: str, *, upgrade: bool = False) -> None:
        """Expect the answer to a request; `upgrade` allows a 101."""
        self.head: Head | None = None
        self.complete = False
        self.keep_alive = False
        self.excess = False
        self.buffered = 0
        self._method = method
        self._upgrade = upgrade
        self._tunnel = False
        self._body: list[bytes] = []
        self._headers: list[Header] = []
        self._reason = ""
        self._head_size = 0
        # A new one each time: after HEAD the old one would still await a body.
        self._http = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            MalformedAnswer: They cannot be trusted to mean what the upstream meant.
        """
        if self._tunnel:
            self._append(data)
            return
        if self.complete:
            self.excess = True
            return
        try:
            self._http.feed_data(data)
        except httptools.HttpParserUpgrade as switch:
            self._tunnel = True
            self._append(data[switch.args[0] :])
        except httptools.HttpParserError as error:
            if self.complete:
                self.excess = True  # after the answer: not this exchange's trouble
                return
            cause = error.__context__
            raise MalformedAnswer(str(cause or error)) from error
        if self.head is None:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                raise MalformedAnswer("the head of the answer is too long")

    def feed_eof(self) -> None:
        """Note that the upstream closed its side in good order.

        Raises:
            MalformedAnswer: It did so inside an answer.
        """
        if self._tunnel or (self.head and self.head.framing is Framing.CLOSE):
            self.complete = True
        if not self.complete:
            raise MalformedAnswer("the upstream's connection ended inside the answer")

    def take(self) -> bytes:
        """Return the body bytes gathered since the last call."""
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self.buffered = 0
        return data

    def _append(self, data: bytes) -> None:
        if data:
            self._body.append(data)
            self.buffered += len(data)

    # What httptools calls.

    def on_message_begin(self) -> None:
        """Start over after an interim answer; nothing may follow the final one."""
        if self.complete:
            self.excess = True
        elif self.head is None:
            self._headers = []
            self._reason = ""

    def on_status(self, reason: bytes) -> None:
        """Gather the reason phrase."""
        self._reason += reason.decode("latin-1")

    def on_header(self, name: bytes, value: bytes | None) -> None:
        """Gather a header field."""
        if self.head is None:  # later ones are trailers, which nobody is promised
            self._headers.append((name.decode("ascii"), _text(value or b"")))

    def on_headers_complete(self) -> None:
        """Judge the head, unless it is an interim one."""
        if self.head is not None:
            return
        status = self._http.get_status_code()
        version = self._http.get_http_version()
        if status == _SWITCHING:
            if not self._upgrade:
                raise MalformedAnswer("the upstream switches protocols unasked")
        elif status < 200:  # noqa: PLR2004 - 1xx are interim (RFC 9110, 15.2)
            return
        if version not in {"1.0", "1.1"}:
            raise MalformedAnswer(f"the upstream speaks HTTP/{version}")
        framing, length = framing_of(self._method, status, self._headers)
        self.keep_alive = _stays_open(version, status, framing, self._headers)
        reason = self._reason if _PRINTABLE.fullmatch(self._reason) else ""
        self.head = Head(status, reason, self._headers, framing, length)
        # httptools does not know that an answer to HEAD stops here.
        self.complete = self._method == "HEAD" and status != _SWITCHING

    def on_body(self, data: bytes) -> None:
        """Gather body bytes."""
        if self.complete:
            self.excess = True
        else:
            self._append(data)

    def on_message_complete(self) -> None:
        """Note the end of the final answer."""
        if self.head is not None and self.head.status != _SWITCHING:
            self.complete = True


def read_head(data: bytes, method: str) -> tuple[Head, bool] | None:
    """Read a whole head, blank line included; None for an interim one.

    The flag tells whether the connection stays open after the answer. A switch of
    protocols is not expected here.

    Raises:
        MalformedAnswer: The bytes cannot be trusted to mean what the upstream meant.
    """
    match = _WHOLE_HEAD.fullmatch(data)
    if match is None:
        raise MalformedAnswer("the head of the answer is malformed")
    version, status = f"1.{match[1].decode()}", int(match[2])
    if status == _SWITCHING:
        raise MalformedAnswer("the upstream switches protocols unasked")
    if status < 200:  # noqa: PLR2004 - 1xx are interim (RFC 9110, 15.2)
        return None
    headers = [
        _field(line) if len(line) < _LONG_LINE else _field_of(line)
        for line in match[4].split(b"\r\n")[:-1]
    ]
    framing, length = framing_of(method, status, headers)
    keep_alive = _stays_open(version, status, framing, headers)
    reason = match[3].decode("latin-1") if match[3] else ""
    if not _PRINTABLE.fullmatch(reason):
        reason = ""
    return Head(status, reason, headers, framing, length), keep_alive


def _field_of(line: bytes) -> Header:
    name, _, value = _text(line).partition(":")
    return name, value.strip(" \t")


# A server says much the same in answer after answer.
_field = lru_cache(maxsize=2048)(_field_of)


def _stays_open(
    version: str, status: int, framing: Framing, headers: list[Header]
) -> bool:
    if framing is Framing.CHUNKED and version == "1.0":
        raise MalformedAnswer("HTTP/1.0 knows no Transfer-Encoding")
    options = tokens(headers, "connection")
    return (
        framing is not Framing.CLOSE
        and status != _SWITCHING
        and "close" not in options
        and (version == "1.1" or "keep-alive" in options)
    )


def framing_of(method: str, status: int, headers: list[Header]) -> tuple[Framing, int]:
    """Decide what ends the body (RFC 9112, 6.3), stricter than the standard allows.

    The number is the body's length in bytes, where that is what ends it.

    Raises:
        MalformedAnswer: Two readers could disagree about it.
    """
    lengths, codings = [], []
    for name, value in headers:
        if (key := name.lower()) == "content-length":
            lengths.append(value)
        elif key == "transfer-encoding":
            codings.append(value.lower())
    if codings and (lengths or codings != ["chunked"]):
        raise MalformedAnswer("Transfer-Encoding is not chunked alone")
    if lengths and (len(lengths) > 1 or not _DIGITS.fullmatch(lengths[0])):
        raise MalformedAnswer("Content-Length is not one number")
    if method == "HEAD" or status in {101, 204, 304}:
        return Framing.NONE, 0
    if codings:
        return Framing.CHUNKED, 0
    return (Framing.LENGTH, int(lengths[0])) if lengths else (Framing.CLOSE, 0)


def _text(value: bytes) -> str:
    # aiohttp writes UTF-8; what is not UTF-8 already is taken for Latin-1, so that
    # no character is lost on the way.
    value = value.rstrip(b" \t")
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
