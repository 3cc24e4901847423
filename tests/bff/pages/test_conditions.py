"""What part and which form of a file a request gets (RFC 9110)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.pages.conditions import (
    Outcome,
    Unsatisfiable,
    Version,
    codings,
    judge,
    part,
    written_date,
)

AT = 1_700_000_000.75
VERSION = Version("abc", AT)
THEN = written_date(AT)
BEFORE, AFTER = written_date(AT - 1), written_date(AT + 1)


@pytest.mark.parametrize(
    ("accepted", "liked"),
    [
        (None, ()),
        ("", ()),
        ("identity", ()),
        ("gzip", ("gzip",)),
        ("gzip, br", ("br", "gzip")),
        ("gzip, deflate, br, zstd", ("br", "gzip")),
        ("GZIP,BR", ("br", "gzip")),
        ("br;q=0, gzip", ("gzip",)),
        ("br;q=0.000, gzip;q=0.0", ()),
        ("br;q=0.5, gzip;q=0.9", ("gzip", "br")),
        ("br ; q = 0.5 , gzip ; q=1.000", ("gzip", "br")),
        ("*", ("br", "gzip")),
        ("*;q=0, gzip", ("gzip",)),
        ("br, *;q=0", ("br",)),
        ("gzip;q=0.5, identity", ()),
        ("gzip;q=0.5, identity;q=0.4", ("gzip",)),
        ("br;q=nonsense", ()),
        ("br;q=2", ()),
        ("br;q=-1", ()),
        ("brotli, gzipped", ()),
        ("br;level=4", ("br",)),
        (",,;;,", ()),
    ],
)
def test_a_coding_is_used_only_where_it_is_welcome(
    accepted: str | None, liked: tuple[str, ...]
) -> None:
    assert codings(accepted) == liked


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({}, Outcome.GO_ON),
        ({"If-None-Match": '"abc"'}, Outcome.NOT_MODIFIED),
        ({"If-None-Match": 'W/"abc"'}, Outcome.NOT_MODIFIED),
        ({"If-None-Match": '"x", "abc"'}, Outcome.NOT_MODIFIED),
        ({"If-None-Match": "*"}, Outcome.NOT_MODIFIED),
        ({"If-None-Match": '"other"'}, Outcome.GO_ON),
        ({"If-None-Match": "abc"}, Outcome.GO_ON),
        ({"If-None-Match": '"ab'}, Outcome.GO_ON),
        ({"If-None-Match": '"x"', "If-Modified-Since": THEN}, Outcome.GO_ON),
        ({"If-Modified-Since": THEN}, Outcome.NOT_MODIFIED),
        ({"If-Modified-Since": AFTER}, Outcome.NOT_MODIFIED),
        ({"If-Modified-Since": BEFORE}, Outcome.GO_ON),
        ({"If-Modified-Since": "yesterday"}, Outcome.GO_ON),
        ({"If-Match": '"abc"'}, Outcome.GO_ON),
        ({"If-Match": "*"}, Outcome.GO_ON),
        ({"If-Match": 'W/"abc"'}, Outcome.FAILED),
        ({"If-Match": '"other"'}, Outcome.FAILED),
        ({"If-Match": '"abc"', "If-Unmodified-Since": BEFORE}, Outcome.GO_ON),
        ({"If-Unmodified-Since": BEFORE}, Outcome.FAILED),
        ({"If-Unmodified-Since": THEN}, Outcome.GO_ON),
        ({"If-Match": '"abc"', "If-None-Match": '"abc"'}, Outcome.NOT_MODIFIED),
    ],
)
def test_preconditions_come_in_their_order(
    headers: dict[str, str], outcome: Outcome
) -> None:
    assert judge(headers, VERSION) is outcome


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 10)),
        ("bytes=90-1000", (90, 10)),
        ("bytes=-10", (90, 10)),
        ("bytes=-1000", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=99-99", (99, 1)),
        ("Bytes= 5-6 ", (5, 2)),
        ("bytes=-", None),
        ("bytes=9-8", None),
        ("bytes=0-1,3-4", None),
        ("bytes=a-b", None),
        ("bytes=\u0661-\u0662", None),
        ("items=0-1", None),
        ("", None),
        ("bytes=" + "9" * 19 + "-", None),
    ],
)
def test_one_range_is_answered_and_nonsense_ignored(
    asked: str, found: tuple[int, int] | None
) -> None:
    assert part({"Range": asked}, 100, VERSION) == found


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_part_beyond_the_file_is_refused(asked: str) -> None:
    with pytest.raises(Unsatisfiable):
        part({"Range": asked}, 100, VERSION)


@pytest.mark.parametrize(
    ("condition", "counts"),
    [
        ('"abc"', True),
        (THEN, True),
        ('W/"abc"', False),
        ('"other"', False),
        (BEFORE, False),
        (AFTER, False),
        ("nonsense", False),
        ("", False),
    ],
)
def test_a_part_of_another_version_is_not_given(
    condition: str, *, counts: bool
) -> None:
    asked = {"Range": "bytes=0-9", "If-Range": condition}

    assert part(asked, 100, VERSION) == ((0, 10) if counts else None)


_NAMES = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")


@given(st.dictionaries(st.sampled_from(_NAMES), st.text(max_size=100)))
def test_any_precondition_has_an_outcome(headers: dict[str, str]) -> None:
    assert judge(headers, VERSION) in Outcome


@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 10**6))
def test_any_range_lies_within_the_file(asked: str, condition: str, size: int) -> None:
    for text in (asked, f"bytes={asked}"):
        for headers in ({"Range": text}, {"Range": text, "If-Range": condition}):
            try:
                found = part(headers, size, VERSION)
            except Unsatisfiable:
                continue
            if found is not None:
                begin, length = found
                assert begin >= 0 < length
                assert begin + length <= size


@given(st.text(max_size=100))
def test_any_list_of_codings_is_read(text: str) -> None:
    assert set(codings(text)) <= {"br", "gzip"}
