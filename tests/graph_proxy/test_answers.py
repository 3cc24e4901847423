from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph_proxy.answers import (
    MAX_HEAD,
    AnswerParser,
    Framing,
    MalformedAnswer,
    framing_of,
)

_CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
    b"3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer-Field: t\r\n\r\n"
)


def _parsed(
    *pieces: bytes, method: str = "GET", upgrade: bool = False
) -> tuple[AnswerParser, bytes]:
    parser = AnswerParser()
    parser.begin(method, upgrade=upgrade)
    body = b""
    for piece in pieces:
        parser.feed(piece)
        body += parser.take()
    return parser, body


@given(st.lists(st.integers(0, len(_CHUNKED))))
def test_an_answer_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(_CHUNKED)]
    pieces = [_CHUNKED[a:b] for a, b in itertools.pairwise(edges)]
    parser, body = _parsed(*filter(None, pieces))
    assert body == b"abc0123456789"
    assert parser.complete
    assert parser.keep_alive
    assert not parser.excess
    assert parser.head is not None
    assert parser.head.headers == [
        ("Transfer-Encoding", "chunked"),
        ("X-A", "1"),
        ("x-a", "2"),
    ]


@pytest.mark.parametrize(
    ("raw", "framing", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Framing.LENGTH, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Framing.LENGTH, False),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n",
            Framing.LENGTH,
            False,
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Framing.NONE, True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Framing.NONE, True),
    ],
)
def test_the_end_is_where_the_framing_says(
    raw: bytes,
    framing: Framing,
    keep_alive: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    parser, _ = _parsed(raw)
    assert parser.head is not None
    assert parser.head.framing is framing
    assert parser.complete
    assert parser.keep_alive is keep_alive


def test_an_answer_without_framing_ends_with_the_connection() -> None:
    parser, body = _parsed(b"HTTP/1.1 200 OK\r\n\r\nabc", b"def")
    assert not parser.complete
    parser.feed_eof()
    assert parser.complete
    assert not parser.keep_alive
    assert body == b"abcdef"


@pytest.mark.parametrize("field", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
def test_an_answer_to_head_ends_with_its_head(field: bytes) -> None:
    parser, body = _parsed(b"HTTP/1.1 200 OK\r\n" + field + b"\r\n\r\n", method="HEAD")
    assert parser.complete
    assert parser.keep_alive
    assert body == b""
    parser.begin("GET")
    parser.feed(_CHUNKED)
    assert parser.complete


def test_a_body_after_head_spoils_the_connection() -> None:
    parser, body = _parsed(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", method="HEAD"
    )
    assert parser.excess
    assert body == b""


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\n", b"garbage"])
def test_bytes_after_the_answer_spoil_the_connection(extra: bytes) -> None:
    parser, body = _parsed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + extra)
    assert parser.complete
    assert parser.excess
    assert body == b"ok"
    parser, _ = _parsed(_CHUNKED, extra)
    assert parser.excess


def test_interim_answers_are_skipped() -> None:
    parser, body = _parsed(
        b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
        b"HTTP/1.1 201 Made\r\nContent-Length: 1\r\n\r\nx",
    )
    assert parser.head is not None
    assert (parser.head.status, parser.head.reason) == (201, "Made")
    assert parser.head.headers == [("Content-Length", "1")]
    assert body == b"x"


def test_after_a_switch_bytes_pass_as_they_are() -> None:
    parser, body = _parsed(
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n"
        b"Upgrade: websocket\r\n\r\n\x81",
        b"\x00HTTP/1.1",
        upgrade=True,
    )
    assert body == b"\x81\x00HTTP/1.1"
    assert not parser.complete
    parser.feed_eof()
    assert parser.complete
    assert not parser.keep_alive


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x7fb\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"220 smtp.example\r\n",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        _parsed(raw)


@pytest.mark.parametrize(
    "fields",
    [
        [("content-length", "1"), ("Content-Length", "1")],
        [("Content-Length", "1, 1")],
        [("Content-Length", "+1")],
        [("Content-Length", "\u0661")],  # a digit, but no ASCII one
        [("Content-Length", "9" * 19)],
        [("Content-Length", "1"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_framing_is_judged_without_trusting_the_parser(
    fields: list[tuple[str, str]], method: str
) -> None:
    with pytest.raises(MalformedAnswer):
        framing_of(method, 200, fields)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 O",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
    ],
)
def test_an_end_inside_an_answer_is_no_end(raw: bytes) -> None:
    parser = AnswerParser()
    if raw:
        parser.feed(raw)
    with pytest.raises(MalformedAnswer):
        parser.feed_eof()


def test_a_head_without_end_is_refused() -> None:
    parser = AnswerParser()
    parser.feed(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(MalformedAnswer, match="too long"):  # noqa: PT012 - fed until it fails
        for _ in range(MAX_HEAD // 1000 + 1):
            parser.feed(b"X: " + b"x" * 995 + b"\r\n")


def test_values_are_utf_8_or_else_latin_1() -> None:
    parser, _ = _parsed(
        "HTTP/1.1 200 OK\r\nA: ü \r\n".encode() + b"B: \xfc\t\r\nC:\r\n\r\n"
    )
    assert parser.head is not None
    assert parser.head.headers == [("A", "ü"), ("B", "ü"), ("C", "")]


def test_a_reason_that_cannot_be_repeated_is_left_out() -> None:
    parser, _ = _parsed(b"HTTP/1.1 200 O\x01K\r\n\r\n")
    assert parser.head is not None
    assert parser.head.reason == ""
