"""An answer passed on as it comes: what is let through, and what breaks it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_proxy.answers import (
    MAX_HEAD,
    AnswerParser,
    Framing,
    MalformedAnswer,
    read_head,
)
from graph_proxy.connection import Connection
from graph_proxy.splice import Splice

if TYPE_CHECKING:
    from graph_proxy.answers import Head
    from graph_proxy.errors import UpstreamBroken
    from graph_proxy.splice import Reader

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Heard:
    """Writes down what it is told."""

    def __init__(self, method: str = "GET") -> None:
        self.connection = Connection()
        self.connection.hand_over(Splice(self.connection, method, self))
        self.head: Head | None = None
        self.body = b""
        self.ended = 0
        self.broken: UpstreamBroken | None = None

    @property
    def splice(self) -> Reader | None:
        return self.connection.splice

    def on_head(self, head: Head, body: bytes) -> None:
        assert self.head is None
        self.head = head
        self.body += body

    def on_body(self, data: bytes) -> None:
        assert self.head is not None
        assert data
        assert not self.ended
        self.body += data

    def on_end(self) -> None:
        self.ended += 1

    def on_broken(self, error: UpstreamBroken) -> None:
        assert self.broken is None
        self.broken = error

    def feed(self, *pieces: bytes) -> Heard:
        for piece in pieces:
            if self.splice is not None:
                self.splice.feed(piece)
        return self

    @property
    def reusable(self) -> bool:
        """Say what the pool will hear; a connection that stands is assumed."""
        spliced = self.connection._spliced
        assert spliced is not None
        return spliced.reusable and self.splice is None


@pytest.mark.parametrize(
    ("answer", "framing", "body"),
    [
        (OK + b"Content-Length: 5\r\n\r\nhello", Framing.LENGTH, b"hello"),
        (OK + b"Content-Length: 0\r\n\r\n", Framing.LENGTH, b""),
        (CHUNKED + b"1\r\nx\r\n0\r\n\r\n", Framing.CHUNKED, b"1\r\nx\r\n0\r\n\r\n"),
        (
            CHUNKED + b"1\r\nx\r\n0\r\nServer: y\r\n\r\n",
            Framing.CHUNKED,
            b"1\r\nx\r\n0\r\n\r\n",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Framing.NONE, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", Framing.NONE, b""),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
            + OK
            + b"Content-Length: 1\r\n\r\nx",
            Framing.LENGTH,
            b"x",
        ),
    ],
)
def test_an_answer_may_be_cut_at_every_byte(
    answer: bytes, framing: Framing, body: bytes
) -> None:
    ways = [[answer[:at], answer[at:]] for at in range(len(answer))]
    ways.append([bytes([one]) for one in answer])
    for pieces in ways:
        heard = Heard().feed(*pieces)
        assert heard.head is not None
        assert heard.head.framing is framing
        assert heard.body == body
        assert (heard.ended, heard.broken) == (1, None)
        assert heard.reusable


def test_interim_heads_leave_no_field_behind() -> None:
    heard = Heard().feed(
        b"HTTP/1.1 103 Early Hints\r\nLink: early\r\n\r\n",
        OK + b"X: y\r\nContent-Length: 0\r\n\r\n",
    )

    assert heard.head is not None
    assert heard.head.headers == [("X", "y"), ("Content-Length", "0")]


def test_the_head_comes_before_any_byte_of_the_body() -> None:
    heard = Heard().feed(CHUNKED)

    assert heard.head is not None
    assert (heard.body, heard.ended) == (b"", 0)
    assert not heard.reusable


def test_a_close_delimited_body_is_framed_and_ends_with_its_connection() -> None:
    heard = Heard().feed(OK + b"\r\nab", b"c")
    assert heard.ended == 0
    assert heard.splice is not None
    heard.splice.lost(None)

    assert heard.body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert heard.ended == 1
    assert not heard.reusable


def test_a_reset_is_no_clean_end_of_it() -> None:
    heard = Heard().feed(OK + b"\r\nab")
    assert heard.splice is not None
    heard.splice.lost(ConnectionResetError())

    assert heard.body == b"2\r\nab\r\n"
    assert heard.ended == 0
    assert heard.broken is not None


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 2\r\n\r\nab",
        CHUNKED + b"2\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
@pytest.mark.parametrize(
    "excess", [b"x", OK + b"Content-Length: 6\r\n\r\nsecret", b"\r\n", b"\0"]
)
def test_excess_is_let_through_by_no_cut_and_spoils_the_connection(
    answer: bytes, excess: bytes
) -> None:
    clean = Heard().feed(answer).body
    for at in range(1, len(answer) + 1):
        heard = Heard().feed(answer[:at], answer[at:] + excess)
        assert heard.body == clean
        # What comes after the end in a packet of its own meets nobody's exchange.
        if at < len(answer):
            assert (heard.ended, heard.broken) == (1, None)
            assert not heard.reusable


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"X: " + b"x" * MAX_HEAD + b"\r\n\r\n",
        OK + b"X: " + b"x" * MAX_HEAD,
        b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * (MAX_HEAD // 30),
        CHUNKED + b"nonsense\r\n",
    ],
)
@pytest.mark.parametrize("step", [1000, 2**20])
def test_what_cannot_be_trusted_breaks_the_answer(answer: bytes, step: int) -> None:
    pieces = [answer[at : at + step] for at in range(0, len(answer), step)]
    heard = Heard().feed(*pieces)

    assert heard.broken is not None
    assert heard.ended == 0
    assert heard.splice is None
    assert not heard.reusable
    if not answer.startswith(CHUNKED):
        assert heard.head is None
    assert heard.body == b""


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"HTTP/1.1 200",
        OK + b"Content-Length: 5\r\n\r\nhell",
        CHUNKED,
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"1\r\nx\r\n0\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
@pytest.mark.parametrize("error", [None, ConnectionResetError()])
def test_an_end_inside_the_answer_breaks_it(
    begun: bytes, error: Exception | None
) -> None:
    heard = Heard().feed(begun) if begun else Heard()
    assert heard.splice is not None
    heard.splice.lost(error)

    assert heard.broken is not None
    assert heard.broken.__cause__ is error
    assert heard.ended == 0


@pytest.mark.parametrize(
    ("fields", "first", "expected"),
    [
        (b"", OK, True),
        (b"Connection: close\r\n", OK, False),
        (b"Connection: X, Close\r\n", OK, False),
        (b"", b"HTTP/1.0 200 OK\r\n", False),
        (b"Connection: keep-alive\r\n", b"HTTP/1.0 200 OK\r\n", True),
    ],
)
def test_who_may_serve_another_request(
    fields: bytes,
    first: bytes,
    expected: bool,  # noqa: FBT001 - a table
) -> None:
    heard = Heard().feed(first + fields + b"Content-Length: 0\r\n\r\n")

    assert heard.ended == 1
    assert heard.reusable is expected


heads = st.builds(
    lambda first, sent, end: (first + "".join(sent) + end).encode("latin-1"),
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/1.2", "ICE/1.0", ""]),
            st.sampled_from([" "] * 8 + ["  ", "\t", ""]),
            st.sampled_from(["200"] * 6 + ["204", "304", "100", "101", "99", "1000"]),
            st.sampled_from([" OK", " OK", " ", "", " \xe9", " a\0b", " a\tb", "OK"]),
            st.sampled_from(["\r\n"] * 10 + ["\n", "\r", "\r\n\r\n"]),
        ),
    ),
    st.lists(
        st.builds(
            lambda name, gap, value, end: f"{name}{gap}{value}{end}",
            st.sampled_from(
                [
                    *(
                        "X-A",
                        "x.b",
                        "Content-Length",
                        "Transfer-Encoding",
                        "Connection",
                    ),
                    *("Server", "X A", "X\xe9", "", " X", "Upgrade", "(x)", "x_y!"),
                ]
            ),
            st.sampled_from([": "] * 6 + [":", ":\t ", " : ", ""]),
            st.one_of(
                st.sampled_from(["", "a", "3", "chunked", "close", "keep-alive, a"]),
                st.text(st.characters(max_codepoint=0xFF), max_size=8),
            ),
            st.sampled_from(["\r\n"] * 10 + ["\n", " \r\n", "\r\n "]),
        ),
        max_size=4,
    ),
    st.just("\r\n"),
)


@settings(max_examples=500)
@given(heads, st.sampled_from(["GET", "POST"]))
def test_a_head_is_read_as_httptools_reads_it_or_refused(
    data: bytes, method: str
) -> None:
    try:
        read = read_head(data, method)
    except MalformedAnswer:
        return
    parser = AnswerParser(method)
    if read is None:
        # What comes before an answer is left to httptools, which may refuse it.
        with suppress(MalformedAnswer):
            parser.feed(data)
        assert parser.head is None
        return
    parser.feed(data)
    assert read == (parser.head, parser.keep_alive)
