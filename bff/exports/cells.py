"""Write CSV that a spreadsheet shows and never runs."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# A cell beginning with one of these is read as a formula (OWASP, CSV injection); the
# full-width ones are read so by spreadsheets set to Japanese.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - see above


def safe(value: object) -> object:
    """Return *value* for a cell: texts that could be formulas get an apostrophe."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return "" if value is None else value


def row(values: Iterable[object]) -> bytes:
    """Write one CSV line (RFC 4180)."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([safe(value) for value in values])
    return out.getvalue().encode()
