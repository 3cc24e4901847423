"""Where a body ends: never one byte later or earlier than a strict parser says."""

from __future__ import annotations

import itertools

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_proxy.framing import Chunked, Counted, MalformedBody, Unended

_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Reader:
    """What httptools makes of a chunked body."""

    def __init__(self, data: bytes) -> None:
        self.body = b""
        self.complete = False
        self.refused = False
        parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(_CHUNKED_HEAD + data)
        except httptools.HttpParserError:
            self.refused = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


def fed(body: Chunked | Counted | Unended, *pieces: bytes) -> bytes:
    return b"".join(body.feed(piece) for piece in pieces if not body.done)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pairs = itertools.pairwise(edges)
    return [data[start:end] for start, end in pairs if end > start]


tokens = st.text("abc-_!~9", min_size=1, max_size=4).map(str.encode)
extensions = st.builds(
    lambda name, value: b";" + name + (b"=" + value if value else b""),
    tokens,
    st.one_of(st.just(b""), tokens, st.sampled_from([b'"a b"', rb'"\"\\"', b'""'])),
)
chunks = st.builds(
    lambda data, spelt, extension: (
        (spelt % len(data)).encode() + extension + b"\r\n" + data + b"\r\n",
        data,
    ),
    st.one_of(st.binary(min_size=1, max_size=40), st.just(b"\r\n0\r\n\r\n")),
    st.sampled_from(["%x", "%X", "%04x"]),
    st.one_of(st.just(b""), extensions),
)
trailers = st.lists(
    st.sampled_from([b"X-Sum: 1\r\n", b"Expires:\r\n", b"a:\tb\xff \r\n"]), max_size=3
)
cuts = st.lists(st.integers(0, 2**16), max_size=12)


@settings(max_examples=60)
@given(
    st.lists(chunks, max_size=6),
    st.sampled_from([b"0\r\n", b"000\r\n", b"0;a=b\r\n"]),
    trailers,
    cuts,
)
def test_a_well_formed_body_passes_byte_for_byte_however_it_is_cut(
    sent: list[tuple[bytes, bytes]],
    last: bytes,
    trailing: list[bytes],
    where: list[int],
) -> None:
    framed = b"".join(frame for frame, _ in sent) + last
    body = Chunked()
    pieces = split(framed + b"".join(trailing) + b"\r\n", where)

    passed = fed(body, *pieces[:-1])
    assert not body.done
    passed += body.feed(pieces[-1])

    assert passed == framed + b"\r\n"
    assert body.done
    assert not body.excess
    reader = Reader(passed)
    assert reader.complete
    assert reader.body == b"".join(data for _, data in sent)


@given(st.lists(chunks, max_size=3), st.binary(min_size=1, max_size=30), cuts)
def test_what_stands_behind_the_end_does_not_pass_and_is_noted(
    sent: list[tuple[bytes, bytes]], behind: bytes, where: list[int]
) -> None:
    framed = b"".join(frame for frame, _ in sent) + b"0\r\n\r\n"
    body = Chunked()

    pieces = split(framed, where)
    passed = fed(body, *pieces[:-1], pieces[-1] + behind)

    assert passed == framed
    assert body.done
    assert body.excess


soup = st.lists(
    st.sampled_from(
        [
            b"0",
            b"1",
            b"a",
            b"F",
            b"5",
            b"00",
            b"g",
            b" ",
            b"\t",
            b";",
            b"=",
            b'"',
            b"\r\n",
            b"\r\n",
            b"\r\n",
            b"\r\n\r\n",
            b"\r",
            b"\n",
            b"x",
            b":",
            b"x:y",
            b"\\",
            b",",
            b"\x00",
            b"\x7f",
            b"\x80",
            b"-",
            b"+",
            b"0x",
            b"1\r\nx\r\n",
            b"2\r\nxy\r\n",
            b"3;a\r\nxyz\r\n",
            b"0\r\n\r\n",
            b"0\r\n",
            b'1;a="b"\r\n',
        ]
    ),
    max_size=14,
).map(b"".join)


@settings(max_examples=300)
@given(soup, cuts)
def test_ours_is_never_laxer_than_httptools(data: bytes, where: list[int]) -> None:
    body = Chunked()
    taken, passed = 0, b""
    try:
        for piece in split(data, where):
            if body.done:
                break
            passed += body.feed(piece)
            taken += len(piece)
    except MalformedBody:
        # Nothing that a browser could take for an end was let through before.
        assert not Reader(passed).complete
        return

    if body.done:
        # Trailers are left out; what passed is whole and the same.
        theirs, ours = Reader(data[:taken]), Reader(passed)
        assert theirs.complete
        assert ours.complete
        assert not ours.refused
        assert theirs.body == ours.body
    elif not body._line:
        theirs = Reader(data)
        assert not theirs.refused
        assert not theirs.complete


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\nx\r\n",
        b"1 \r\nx\r\n",
        b"1 ;a\r\nx\r\n",
        b"1; a\r\nx\r\n",
        b"1;\r\nx\r\n",
        b"1\nx\r\n",
        b"1\r\nx\n",
        b"1\r\nxy\r\n",
        b"1\r\nx\r\r\n",
        b"3\r\nx\r\n\r\n\r\n",
        b"1;a\0\r\nx\r\n",
        b'1;a="\r\n"\r\n',
        b"1,2\r\n",
        b"1_0\r\n" + b"x" * 16 + b"\r\n",
        b"f" * 16 + b"\r\n",
        b"0" * 16 + b"1\r\n",
        b"1;" + b"a" * 5000,
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\na: b\n\r\n",
        b"0\r\na: \0\r\n\r\n",
        b"0\r\n\n",
        b"0\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        b"0\r\na: " + b"b" * 5000,
    ],
)
def test_malformed_framing_is_refused_whole_and_byte_by_byte(data: bytes) -> None:
    with pytest.raises(MalformedBody):
        Chunked().feed(data)
    with pytest.raises(MalformedBody):
        fed(Chunked(), *(bytes([one]) for one in data))


@pytest.mark.parametrize("size", [1, 4096, 3_000_000])
def test_data_may_look_like_framing(size: int) -> None:
    data = (b"0\r\n\r\n" * size)[:size]
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (size, data)

    assert Chunked().feed(framed) == framed


def test_the_end_comes_with_the_last_byte_not_before() -> None:
    body = Chunked()
    for byte in b"1\r\nx\r\n0\r\nX: y\r\n\r":
        body.feed(bytes([byte]))
        assert not body.done
    assert body.feed(b"\n") == b"\r\n"
    assert body.done


@given(st.integers(1, 60), st.binary(max_size=100), cuts)
def test_a_counted_body_ends_at_its_length(
    length: int, data: bytes, where: list[int]
) -> None:
    body = Counted(length)
    pieces = split(data, where)

    passed = fed(body, *pieces)

    assert passed == data[:length]
    assert body.done == (len(data) >= length)
    if body.excess:
        assert len(data) > length


def test_a_counted_body_notes_what_is_too_much() -> None:
    exact, over, none = Counted(3), Counted(3), Counted(0)
    assert none.done
    assert none.feed(b"x") == b""
    assert none.excess
    assert exact.feed(b"abc") == b"abc"
    assert (exact.done, exact.excess) == (True, False)
    assert over.feed(b"ab") + over.feed(b"cd") == b"abc"
    assert (over.done, over.excess) == (True, True)


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_an_unended_body_becomes_chunks(pieces: list[bytes]) -> None:
    body = Unended()

    framed = fed(body, *pieces)

    assert not body.done
    reader = Reader(framed + b"0\r\n\r\n")
    assert reader.complete
    assert reader.body == b"".join(pieces)
