"""What arrives in pieces is put together, looked through once, and bounded."""

from __future__ import annotations

import pytest

from bff import gathering
from bff.gathering import MOST_PIECES, Gathering
from graph_proxy import incoming

HEAD = b"POST /graph/x HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n"
MOST = 2000


@pytest.mark.parametrize("at", range(1, len(HEAD)))
def test_a_head_may_be_cut_anywhere(at: int) -> None:
    held = Gathering(MOST)
    assert held.feed(HEAD[:at], None) is None
    found = held.feed(HEAD[at:] + b"ab", None)
    assert found is not None
    asked, data = found
    assert data == HEAD + b"ab"
    assert asked is not None
    assert (asked.target, asked.missing) == ("/graph/x", 4)


@pytest.mark.parametrize("behind", [b"", b"G"])
def test_a_body_that_is_held_comes_whole(behind: bytes) -> None:
    held = Gathering(MOST)
    found = held.feed(HEAD, None)
    assert found is not None
    held.hold(HEAD, 6)
    for byte in b"abcde":
        assert held.feed(bytes([byte]), None) is None
    found = held.feed(b"f" + behind, None)
    assert found is not None
    asked, data = found
    assert data == HEAD + b"abcdef" + behind
    assert (asked is None) is bool(behind)
    # And the next one begins anew.
    assert held.feed(HEAD[:9], None) is None
    assert held.take() == HEAD[:9]


def test_a_head_in_many_pieces_is_given_up() -> None:
    held = Gathering(MOST)
    for at in range(MOST_PIECES):
        assert held.feed(HEAD[at : at + 1], None) is None
    found = held.feed(HEAD[MOST_PIECES : MOST_PIECES + 1], None)
    assert found == (None, HEAD[: MOST_PIECES + 1])


@pytest.mark.parametrize("first", [20, MOST - 10, MOST + 1])
def test_so_is_one_that_is_too_long(first: int) -> None:
    raw = b"GET /graph/x HTTP/1.1\r\nX: " + b"a" * MOST
    held = Gathering(MOST)
    found = held.feed(raw[:first], None)
    if first <= MOST:
        assert found is None
        found = held.feed(raw[first : MOST + 1], None)
    assert found == (None, raw[: MOST + 1])


@pytest.mark.parametrize("line", [b"GET / HTTP/1.0\r\n", b"GET  / HTTP/1.1\r\n"])
def test_a_line_that_is_not_plain_is_given_up_once_it_is_here(line: bytes) -> None:
    held = Gathering(MOST)
    assert held.feed(line[:7], None) is None
    assert held.feed(line[7:], None) == (None, line)


def test_what_was_looked_through_is_not_looked_through_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = Gathering(MOST)
    held.feed(HEAD[:40], None)
    monkeypatch.setattr(gathering, "incoming", None)  # it reads from the beginning
    for at in range(40, 50):
        assert held.feed(HEAD[at : at + 1], None) is None
    monkeypatch.setattr(gathering, "incoming", incoming)
    assert held.feed(HEAD[50:], None) is not None


def test_small_pieces_of_a_body_cost_no_more_than_their_bytes() -> None:
    held = Gathering(MOST)
    held.hold(HEAD, 100_000)
    for _ in range(40_000):
        held.feed(b"ab", None)
    assert held._data.__sizeof__() < 120_000
