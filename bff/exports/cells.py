"""Say which texts a spreadsheet would run, and show them instead.

The cells are written by PostgreSQL, so the rule is an SQL expression.
"""

from __future__ import annotations

# A cell beginning with one of these is read as a formula (OWASP, CSV injection); the
# full-width ones are read so by spreadsheets set to Japanese.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - see above
_LISTED = ", ".join(str(ord(sign)) for sign in FORMULA)


def safe(column: str) -> str:
    """Return SQL for the text *column* in a cell: an apostrophe before formulas.

    `ascii` gives the code point of the first character (of a UTF-8 database, which ours
    is), and 0 for an empty text.
    """
    is_formula = f"ascii({column}) IN ({_LISTED})"
    return f"CASE WHEN {is_formula} THEN '''' || {column} ELSE {column} END"
