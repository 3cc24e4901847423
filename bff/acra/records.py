"""What a record of the register must look like, and how it is written. No I/O here.

ACRA writes ``na`` for what it does not know, and loses the leading zero of local
postal codes. Collection 2 "ACRA Information on Corporate Entities" of data.gov.sg.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

COLUMNS = (
    "uen",
    "issuance_agency_id",
    "entity_name",
    "entity_type_description",
    "business_constitution_description",
    "company_type_description",
    "paf_constitution_description",
    "entity_status_description",
    "registration_incorporation_date",
    "uen_issue_date",
    "address_type",
    "block",
    "street_name",
    "level_no",
    "unit_no",
    "building_name",
    "postal_code",
    "other_address_line1",
    "other_address_line2",
    "account_due_date",
    "annual_return_date",
    "primary_ssic_code",
    "primary_ssic_description",
    "primary_user_described_activity",
    "secondary_ssic_code",
    "secondary_ssic_description",
    "secondary_user_described_activity",
    "no_of_officers",
    *(f"former_entity_name{number}" for number in range(1, 16)),
    *(f"uen_of_audit_firm{number}" for number in range(1, 6)),
    *(f"name_of_audit_firm{number}" for number in range(1, 6)),
)
UEN, NAME = COLUMNS.index("uen"), COLUMNS.index("entity_name")
POSTAL = COLUMNS.index("postal_code")
ADDRESS_TYPE = COLUMNS.index("address_type")
INTEGERS = (COLUMNS.index("primary_ssic_code"), COLUMNS.index("no_of_officers"))

# 53312345A, 200012345A, T08LL0001A: letters and digits, a letter at the end. Loose:
# ACRA knows better than we which of them it gave out.
UEN_SHAPE = re.compile(r"(?=.*[0-9])[0-9A-Z]{7,11}[A-Z]", re.ASCII)
# Below what PostgreSQL's integer takes.
MAX_DIGITS = 9
INTEGER_SHAPE = re.compile(rf"([0-9]{{1,{MAX_DIGITS}}})(?:\.0+)?", re.ASCII)
SHORT_POSTAL = 5
# The other type of address is FOREIGN, where 90210 is a whole code; `na` may be either.
LOCAL = "LOCAL"
# The longest value known is an activity of some hundred characters.
MAX_VALUE = 4000
# How lines are written: COPY's text format, but so that most lines of a CSV file are
# such lines already. A backslash stands before what would be taken for something else.
DELIMITER, NOTHING = ",", "na"
MEMORY = 200_000  # values remembered at once; some 30 MB

LIVE = re.compile(r"live(?:\s+company)?(?:\s*\(.*\))?", re.IGNORECASE | re.DOTALL)
SPECIAL = re.compile(r"[\\\n\r,\0]")
ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", ",": r"\,"})


class Refused(Exception):
    """Say why a record, or one value of it, is not taken."""


def is_live(status: str | None) -> bool:
    """Tell whether `entity_status_description` says that the entity is in business.

    "Live Company", "Live", "Live (Receiver or Receiver and Manager appointed)".
    """
    return bool(LIVE.fullmatch(" ".join((status or "").split())))


class Cleaner:
    """Turn records into lines for COPY, in the order of COLUMNS.

    It remembers what values turned into: most of a register's values come again.
    """

    def __init__(self) -> None:
        self._text = _Memory(_text)
        self._integer = _Memory(_integer)
        self._postal = _Memory(_postal)

    def __call__(self, values: Sequence[str]) -> tuple[str, str]:
        """Return the UEN of *values* and their line, without its end.

        Raises:
            Refused: when the record must not be taken.
        """
        text = self._text
        try:
            cells = [text[value] for value in values]
            if cells[ADDRESS_TYPE].upper() == LOCAL:
                cells[POSTAL] = self._postal[values[POSTAL]]
            for place in INTEGERS:
                cells[place] = self._integer[values[place]]
        except Refused:
            raise Refused(self._why(values)) from None
        for place in (UEN, NAME):
            if cells[place] == NOTHING:
                raise Refused(f"{COLUMNS[place]}: missing")
        uen = cells[UEN] = cells[UEN].upper()
        if not UEN_SHAPE.fullmatch(uen):
            raise Refused("uen: is none")
        return uen, DELIMITER.join(cells)

    def _why(self, values: Sequence[str]) -> str:
        """Find the value that was refused, once more and by its column."""
        for place, (column, value) in enumerate(zip(COLUMNS, values, strict=True)):
            try:
                self._text[value]
                if place in INTEGERS:
                    self._integer[value]
            except Refused as error:
                return f"{column}: {error}"
        raise AssertionError("no value was refused")  # pragma: no cover


def texts(record: Mapping[str, object]) -> list[str]:
    """Return the values of a JSON *record* as a file would have them, in order."""
    return [
        "" if (value := record.get(column)) is None else str(value)
        for column in COLUMNS
    ]


class _Memory(dict[str, str]):
    """Remember what *make* made of a value; forget all when there is too much."""

    def __init__(self, make: Callable[[str], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, value: str) -> str:
        if len(self) >= MEMORY:
            self.clear()
        made = self[value] = self._make(value)
        return made


def _text(value: str) -> str:
    value = value.strip()
    if value in ("", "na"):
        return NOTHING
    if len(value) > MAX_VALUE:
        raise Refused(f"has {len(value):,} characters, more than {MAX_VALUE:,}")
    if SPECIAL.search(value):
        if "\0" in value:
            raise Refused("holds a NUL")
        return value.translate(ESCAPES)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refused("holds half a character") from None
    return value


def _integer(value: str) -> str:
    value = value.strip()
    if value.lower() in ("", "na"):
        return NOTHING
    found = INTEGER_SHAPE.fullmatch(value)
    if found is None:
        raise Refused("is no whole number")
    return str(int(found[1]))


def _postal(value: str) -> str:
    """Give back the leading zero that a local code lost; others stay as they are."""
    text = _text(value)
    short = len(text) == SHORT_POSTAL and text.isascii() and text.isdigit()
    return f"0{text}" if short else text
