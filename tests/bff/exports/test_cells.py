"""A cell shows what it holds and never runs it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.exports.cells import row, safe

DANGEROUS = "=+-@\t\r\n＝＋－＠"  # noqa: RUF001 - spreadsheets set to Japanese
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
)


@pytest.mark.parametrize("sign", DANGEROUS)
def test_texts_that_could_be_formulas_get_an_apostrophe(sign: str) -> None:
    assert safe(f"{sign}1+1") == f"'{sign}1+1"


@given(TEXTS)
def test_no_written_text_begins_a_formula_and_none_is_lost(text: str) -> None:
    (cells,) = csv.reader(io.StringIO(row([text]).decode(), newline=""))
    written = cells[0] if cells else ""

    assert not written.startswith(tuple(DANGEROUS))
    assert written.removeprefix("'") == text.removeprefix("'") or written == text


@given(st.lists(TEXTS.filter(lambda text: safe(text) == text), min_size=2))
def test_harmless_texts_come_back_as_they_were(texts: list[str]) -> None:
    (cells,) = csv.reader(io.StringIO(row(texts).decode(), newline=""))

    assert cells == texts


def test_numbers_stay_numbers_and_nothing_is_empty() -> None:
    assert row([-1.5, 7, None, True]) == b"-1.5,7,,True\r\n"


def test_commas_quotes_and_lines_are_quoted() -> None:
    assert (
        row(["a,b", 'say "x"', "two\nlines"]) == b'"a,b","say ""x""","two\nlines"\r\n'
    )
