"""Make a JSON array or a CSV file of what COPY writes. No I/O here.

Both come in COPY's CSV format, whole rows at a time, each ended by one line feed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypedDict

from bff.exports import queries

if TYPE_CHECKING:
    from collections.abc import Callable

    from bff.exports.queries import Asked


class CopyOptions(TypedDict, total=False):
    """Options of COPY, as asyncpg names them."""

    header: bool
    delimiter: str
    quote: str


class Shape(Protocol):
    """Rows on their way: put into the form of the answer."""

    def rows(self, data: bytes) -> bytes:
        """Return the form of some whole rows; *data* is not empty."""

    def end(self) -> bytes:
        """Return what comes last."""


class Lines:
    """Leave the rows as they are."""

    def rows(self, data: bytes) -> bytes:
        """Return *data*."""
        return data

    def end(self) -> bytes:
        """Return nothing."""
        return b""


class Array:
    """Make one array of an object a line."""

    def __init__(self) -> None:
        self._before = b"["

    def rows(self, data: bytes) -> bytes:
        """Return the objects of *data* with commas between them.

        Inside an object PostgreSQL escapes line feeds.
        """
        before, self._before = self._before, b",\n"
        return before + data[:-1].replace(b"\n", b",\n")

    def end(self) -> bytes:
        """Close the array."""
        return b"]" if self._before != b"[" else b"[]"


@dataclass(frozen=True, slots=True)
class Format:
    """How an export is asked of PostgreSQL and answered."""

    name: str
    headers: dict[str, str]
    query: Callable[[Asked], str]
    options: CopyOptions
    shape: Callable[[], Shape]


CSV = Format(
    "csv",
    {
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": 'attachment; filename="latest_scores.csv"',
    },
    queries.for_cells,
    {"header": True},
    Lines,
)
# With a delimiter and a quote that JSON never holds unescaped (RFC 8259 section 7), the
# objects pass untouched; COPY's text format would double every backslash.
JSON = Format(
    "json",
    {"Content-Type": "application/json"},
    queries.for_json,
    {"delimiter": "\x02", "quote": "\x01"},
    Array,
)
