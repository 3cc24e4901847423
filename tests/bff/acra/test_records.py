"""What a record must look like."""

from __future__ import annotations

import csv

import pytest

from bff.acra.records import (
    COLUMNS,
    MAX_VALUE,
    Cleaner,
    Refused,
    is_live,
    texts,
)
from tests.bff.acra.register import record


def cell(column: str, value: str) -> str:
    """Return what becomes of *value* in *column*, as COPY reads it."""
    _, made = Cleaner()(record(1, **{column: value}))
    (cells,) = csv.reader([made], quoting=csv.QUOTE_NONE, escapechar="\\")
    return cells[COLUMNS.index(column)]


@pytest.mark.parametrize("value", ["na", "", "   ", " na ", "\t"])
@pytest.mark.parametrize("column", ["block", "postal_code", "no_of_officers"])
def test_what_acra_does_not_know_is_null(column: str, value: str) -> None:
    assert cell(column, value) == "na"


@pytest.mark.parametrize(
    ("column", "value", "kept"),
    [
        ("street_name", "  BEACH ROAD ", "BEACH ROAD"),
        ("street_name", "NA STREET", "NA STREET"),
        ("building_name", "NA", "NA"),
        ("postal_code", "18956", "018956"),
        ("postal_code", " 018956 ", "018956"),
        ("postal_code", "1895", "1895"),
        ("postal_code", "SW1A 1AA", "SW1A 1AA"),
        ("postal_code", "१२३४५", "१२३४५"),
        ("primary_ssic_code", "01111", "1111"),
        ("primary_ssic_code", " 62011.0 ", "62011"),
        ("no_of_officers", "NA", "na"),
        ("uen", " 53312345a ", "53312345A"),
        ("entity_name", "A\\B, C", "A\\B, C"),
        ("entity_name", "CAFÉ 貓", "CAFÉ 貓"),
    ],
)
def test_values_are_trimmed_and_mended(column: str, value: str, kept: str) -> None:
    assert cell(column, value) == kept


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("LOCAL", "090210"),
        (" Local ", "090210"),
        ("FOREIGN", "90210"),
        ("na", "90210"),
        ("", "90210"),
    ],
)
def test_a_zero_is_given_back_to_local_addresses_only(kind: str, kept: str) -> None:
    _, made = Cleaner()(record(1, address_type=kind, postal_code="90210"))

    assert made.split(",")[COLUMNS.index("postal_code")] == kept


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("uen", "na", "uen: missing"),
        ("uen", "NOT A UEN", "uen: is none"),
        ("uen", "ABCDEFGHI", "uen: is none"),
        ("uen", "1234", "uen: is none"),
        ("entity_name", " na", "entity_name: missing"),
        ("primary_ssic_code", "62,011", "primary_ssic_code: is no whole number"),
        ("no_of_officers", "-1", "no_of_officers: is no whole number"),
        ("no_of_officers", "4294967296", "no_of_officers: is no whole number"),
        ("no_of_officers", "३", "no_of_officers: is no whole number"),
        ("block", "1\0A", "block: holds a NUL"),
        ("block", "\ud800", "block: holds half a character"),
        ("building_name", "x" * (MAX_VALUE + 1), "building_name: has 4,001 characters"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_column(
    column: str, value: str, reason: str
) -> None:
    with pytest.raises(Refused) as caught:
        Cleaner()(record(1, **{column: value}))

    assert str(caught.value).startswith(reason)


def test_a_value_refused_once_is_refused_again() -> None:
    cleaner = Cleaner()

    for _ in range(2):
        with pytest.raises(Refused, match=r"block: holds a NUL"):
            cleaner(record(1, block="\0"))


def test_records_of_json_have_the_same_rules() -> None:
    made = texts({"uen": "53312345A", "entity_name": "A", "no_of_officers": 3, "x": 1})

    assert len(made) == len(COLUMNS)
    assert made[COLUMNS.index("no_of_officers")] == "3"
    assert made[COLUMNS.index("block")] == ""


@pytest.mark.parametrize(
    ("status", "live"),
    [
        ("Live Company", True),
        ("Live", True),
        (" LIVE  company ", True),
        ("Live (Receiver or Receiver and Manager appointed)", True),
        ("Live Company (Receiver or Receiver and Manager appointed)", True),
        ("Struck Off", False),
        ("Ceased Registration", False),
        ("In Liquidation - Compulsory Winding Up", False),
        ("Not Live", False),
        ("Lively", False),
        ("Livestock", False),
        ("", False),
        (None, False),
    ],
)
def test_only_live_words_are_live(status: str | None, *, live: bool) -> None:
    assert is_live(status) is live
