"""Lines taken at a glance are what the long way makes of them."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.acra.glance import glance
from bff.acra.records import COLUMNS, INTEGERS, Cleaner
from tests.bff.acra.register import line, record

VALUES = st.one_of(
    st.sampled_from(["na", "", " ", "12345", "123456", "0", "07", "x.0", "A B", "٣"]),
    st.text(st.characters(codec="utf-8"), max_size=6),
    st.text(st.sampled_from(' ,"\\\t\r\n\0na0159A\x1c\x85'), max_size=6),
)


@given(
    st.dictionaries(
        st.sampled_from(
            (
                *("uen", "entity_name", "address_type", "postal_code"),
                *("no_of_officers", *COLUMNS[-3:]),
            )
        ),
        VALUES,
        max_size=4,
    ),
    st.booleans(),
)
def test_lines_taken_at_a_glance_are_what_the_long_way_makes_of_them(
    values: dict[str, str],
    raw: bool,  # noqa: FBT001 - hypothesis gives it by position
) -> None:
    made = record(1, **values)
    _check(",".join(made) if raw else line(made).rstrip("\r\n"))


@pytest.mark.parametrize(
    "value",
    [
        *('"A","B"', '"A""B"', 'A"B"', '"A" ', ' "A"', '" A"', '"A "', '""', '"na"'),
        *(
            '"A',
            "",
            " ",
            " A",
            "A ",
            "na ",
            "NA",
            "A\\",
            "\tA",
            "A\x1c",
            "A\0",
            "É",
            "²",
        ),
        *('" A,B"', '"A,B "', 'x"A,B"', '"A,B"x', '"A,B""C,D"', '"A,B"x"C,D"'),
        *("na", '"A,B"', '"A,B","C"'),
        *("12345", '"12345"', "012345", "00000002L", "00000002l", "A" * 4001),
    ],
)
@pytest.mark.parametrize(
    "column", ["uen", "entity_name", "postal_code", "no_of_officers", COLUMNS[-1]]
)
def test_what_is_taken_is_good_whatever_stands_in_it(column: str, value: str) -> None:
    _check(",".join(record(1, **{column: value})))


@pytest.mark.parametrize(
    "kind", ["LOCAL", "local", "FOREIGN", "na", "", " LOCAL", '"LOCAL"', '"LOCAL,"']
)
def test_a_postal_code_is_mended_or_not_as_the_long_way_does(kind: str) -> None:
    text = ",".join(record(1, postal_code="90210", address_type=kind))

    _check(text)

    if (found := glance(text)) is not None:
        assert (",090210," in found[1]) is (kind.upper() == "LOCAL")


def test_a_postal_code_is_mended_beside_quotes_too() -> None:
    _check(line(record(1, postal_code="12345", entity_name="A, B")).rstrip("\n"))


def _check(text: str) -> None:

    found = glance(text)

    if found is not None:
        # What is no CSV, or has other columns, fails here.
        (parsed,) = csv.reader([text], strict=True)
        assert len(parsed) == len(COLUMNS)
        uen, long_way = Cleaner()(parsed)
        assert (found[0], _numbers(found[1])) == (uen, _numbers(long_way))


def _numbers(made: str) -> list[str]:
    """Return the cells of a line, numbers as PostgreSQL reads them."""
    cells = made.split(",")
    for place in INTEGERS:
        cells[place] = cells[place].lstrip("0") or "0"
    return cells


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"postal_code": "18956"},
        {"primary_user_described_activity": "ONE, TWO"},
        {"entity_name": "A, B", COLUMNS[-1]: "C, D"},
    ],
)
def test_most_lines_are_taken_at_a_glance(values: dict[str, str]) -> None:
    assert glance(line(record(1, **values)).rstrip("\n")) is not None
