"""What COPY writes becomes JSON and CSV, however it comes in pieces."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.exports.formats import Array, Lines

TEXTS = st.text(max_size=5)
ROWS = st.lists(st.dictionaries(TEXTS, TEXTS, max_size=2), min_size=1, max_size=4)
PIECES = st.lists(ROWS, max_size=4)


@given(PIECES)
def test_an_array_is_the_same_however_its_rows_come(
    pieces: list[list[dict[str, str]]],
) -> None:
    shape = Array()
    told = b""
    for rows in pieces:
        told += shape.rows(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    told += shape.end()

    assert json.loads(told) == [row for rows in pieces for row in rows]


@pytest.mark.parametrize(("shape", "expected"), [(Array(), b"[]"), (Lines(), b"")])
def test_nothing_has_an_end_all_the_same(shape: Array | Lines, expected: bytes) -> None:
    assert shape.end() == expected
