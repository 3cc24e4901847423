"""A browser's plain request, read without a server's machinery. No I/O here.

Only the plain case is read: one request with nothing behind it. Whatever is out of the
ordinary is None, and the server proper reads the same bytes again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import httptools

from graph_proxy.errors import BadPath

_HEAD_END = b"\r\n\r\n"
# A field that changes who reads the next byte, or what it means.
_UNUSUAL = frozenset({"expect", "te", "trailer", "transfer-encoding", "upgrade"})
_PLAIN_CONNECTION = frozenset({b"", b"keep-alive", b"Keep-Alive"})
# Longer ones are no business of this path.
_MOST_FIELDS = 100
_LONG_NAME = 64
_MOST_DIGITS = 18
_FIRST_LINE = re.compile(rb"([A-Z]{3,7}) (/[\x21-\x7e]*) HTTP/1\.1\r\n")
# The same, with the methods that are read again and again on one connection.
_SAME = re.compile(rb"(GET|POST|PUT|PATCH|DELETE) (/[\x21-\x7e]*) HTTP/1\.1\r\n")


@dataclass(slots=True, eq=False)
class Block:
    """The header fields of a request; no field comes twice, names are lower-case.

    A browser sends the same ones with request after request: what was read, and what
    was decided about it, holds as long as the bytes are the same.
    """

    raw: bytes
    fields: dict[str, bytes]
    length: int


@dataclass(slots=True)
class Incoming:
    """A request whose head is here."""

    method: str
    target: str
    block: Block
    raw: bytes
    body: bytes
    missing: int  # bytes of the body that have not arrived

    @property
    def fields(self) -> dict[str, bytes]:
        """Return the header fields by lower-case name."""
        return self.block.fields

    def get(self, name: str) -> str | None:
        """Return a field's value as text, None when it is missing; any case will do."""
        value = self.block.fields.get(name.lower())
        return None if value is None else value.decode("latin-1")

    def __contains__(self, name: str) -> bool:
        """Say whether there is such a field."""
        return name.lower() in self.block.fields


class _Head:
    """Gather what httptools reads."""

    __slots__ = ("complete", "fields", "repeated", "target")

    def __init__(self) -> None:
        self.target = b""
        self.fields: dict[str, bytes] = {}
        self.repeated = False
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = _key(name) if len(name) < _LONG_NAME else _lower(name)
        if key in self.fields:
            self.repeated = True
        self.fields[key] = value

    def on_headers_complete(self) -> None:
        self.complete = True


def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()


# Browsers send the same dozen names over and over.
_key = lru_cache(maxsize=1024)(_lower)


def may_become_plain(data: bytes) -> bool:
    """Say whether *data* may be the start of a plain request's head."""
    if _HEAD_END in data:
        return False
    if b"\n" in data:
        return _FIRST_LINE.match(data) is not None
    return data[:1].isalpha()


def request_line(line: bytes) -> tuple[str, str]:
    """Return method and target of a whole request line.

    Raises:
        BadPath: It is none of a plain request.
    """
    match = _FIRST_LINE.fullmatch(line)
    if match is None:
        raise BadPath("the request line is none of a plain request")
    return match[1].decode("ascii"), match[2].decode("ascii")


def read(data: bytes, known: Block | None = None) -> Incoming | None:
    """Return the one request that *data* begins, or None if it is anything else.

    *known* is the block of the connection's last request: the same bytes are not read
    again.
    """
    size = data.find(_HEAD_END) + len(_HEAD_END)
    if size < len(_HEAD_END):
        return None
    if known is not None:
        begin = size - len(known.raw)
        match = _SAME.fullmatch(data, 0, begin)
        if match is not None and data.startswith(known.raw, begin):
            method, target = match[1].decode("ascii"), match[2].decode("ascii")
            return _whole(method, target, known, data, size)
    return _read(data, size)


def _read(data: bytes, size: int) -> Incoming | None:
    if _FIRST_LINE.match(data) is None:
        return None  # an empty line before it, for one
    head = _Head()
    parser = httptools.HttpRequestParser(head)
    try:
        parser.feed_data(data if size == len(data) else data[:size])
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    fields = head.fields
    if (
        not head.complete
        or head.repeated
        or "host" not in fields
        or len(fields) > _MOST_FIELDS
        or parser.get_http_version() != "1.1"
        or not _UNUSUAL.isdisjoint(fields)
        or fields.get("connection", b"") not in _PLAIN_CONNECTION
    ):
        return None
    length = fields.get("content-length", b"0")
    if not length.isdigit() or len(length) > _MOST_DIGITS or not head.target.isascii():
        return None
    block = Block(data[data.find(b"\r\n") + 2 : size], fields, int(length))
    method = parser.get_method().decode("ascii")
    return _whole(method, head.target.decode("ascii"), block, data, size)


def _whole(
    method: str, target: str, block: Block, data: bytes, size: int
) -> Incoming | None:
    missing = size + block.length - len(data)
    if missing < 0:
        return None
    return Incoming(method, target, block, data, data[size:], missing)
