"""Records and files that look like the register's."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from bff.acra.records import COLUMNS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from bff.acra.source import Page

HEADER = ",".join(COLUMNS) + "\n"


def uen(number: int) -> str:
    return f"{number:09}K"


def record(number: int, **values: str) -> list[str]:
    """Return a good record, with *values* in place of its own."""
    found = dict.fromkeys(COLUMNS, "na")
    found |= {
        "uen": uen(number),
        "entity_name": f"COMPANY {number} PTE. LTD.",
        "entity_status_description": "Live Company",
        "primary_ssic_code": "62011",
        "address_type": "LOCAL",
        "postal_code": "068914",
    }
    unknown = values.keys() - found.keys()
    assert not unknown, unknown
    return list((found | values).values())


def line(values: Sequence[str]) -> str:
    """Return *values* as a line of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def text_of(records: Iterable[Sequence[str]]) -> str:
    """Return a whole file."""
    return HEADER + "".join(line(values) for values in records)


async def read_into(found: list[Page], pages: AsyncIterator[Page]) -> None:
    """Read *pages* to their end, or to a failure that leaves in *found* what came."""
    while (page := await anext(pages, None)) is not None:
        found.append(page)
