"""See at a glance that a line of a CSV file is a good record already. No I/O here.

Most lines need nothing done to them but a zero before a postal code; looking at each
of their 53 values would take four times as long as PostgreSQL takes to store them.
"""

from __future__ import annotations

from bff.acra.records import (
    ADDRESS_TYPE,
    COLUMNS,
    INTEGERS,
    LOCAL,
    MAX_DIGITS,
    MAX_VALUE,
    NAME,
    NOTHING,
    POSTAL,
    SHORT_POSTAL,
    UEN,
    UEN_SHAPE,
)

COMMAS = len(COLUMNS) - 1
LOOKED_AT = max(INTEGERS) + 1
# Stands for what is within quotes while the rest is looked at.
QUOTED = "x"


def glance(line: str) -> tuple[str, str] | None:
    """Return the UEN of a *line* without its end, and the line for COPY.

    It is what `Cleaner` makes of the record. None says nothing against a line, but that
    it has to be read value by value.
    """
    if (
        not (line.isascii() and line.isprintable())
        or "\\" in line
        or not 0 < len(line) <= MAX_VALUE
    ):
        return None
    if '"' not in line:
        return _judged(line)
    # A doubled quote leaves nothing between two others.
    parts = line.split('"')
    outside, inside = parts[::2], parts[1::2]
    if (
        len(outside) == len(inside)
        or not all(part and part[0] == "," == part[-1] for part in outside[1:-1])
        or outside[0][-1:] not in ("", ",")
        or outside[-1][:1] not in ("", ",")
        # What is quoted without need may be `na`, or half a postal code.
        or not all("," in part and part[0] != " " != part[-1] for part in inside)
    ):
        return None
    skeleton = QUOTED.join(outside)
    found = _judged(skeleton)
    if found is None or found[1] is not skeleton:
        return None
    parts[1::2] = [part.replace(",", r"\,") for part in inside]
    return found[0], "".join(parts)


def _judged(line: str) -> tuple[str, str] | None:
    """Judge a *line* without quotes and signs that mean something to COPY."""
    if (
        line.count(",") != COMMAS
        or ",," in line
        or " ," in line
        or ", " in line
        or line[-1] in " ,"
    ):
        return None
    cells = line.split(",", LOOKED_AT)
    uen, postal = cells[UEN], cells[POSTAL]
    for place in INTEGERS:
        number = cells[place]
        if number != NOTHING and not (number.isdigit() and len(number) <= MAX_DIGITS):
            return None
    if cells[NAME] == NOTHING or not UEN_SHAPE.fullmatch(uen):
        return None
    if (
        len(postal) == SHORT_POSTAL
        and postal.isdigit()
        and cells[ADDRESS_TYPE].upper() == LOCAL
    ):
        cells[POSTAL] = f"0{postal}"
        line = ",".join(cells)
    return uen, line
