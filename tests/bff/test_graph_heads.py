"""A head that is known is rewritten as it would be if it were read anew."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import bff.graph_heads
from bff.graph_heads import Heads
from bff.hardening import Hardener
from graph_proxy.answers import Framing, MalformedAnswer, read_head
from graph_proxy.headers import to_browser
from tests.bff.configs import DEV, load

NUMBER = "0123456789abcdef" * 2
HARDENER = Hardener(load(DEV))

names = st.sampled_from(
    [
        *("Content-Type", "content-length", "Content-Length", "CONTENT-LENGTH", "Date"),
        *("Vary", "Cache-Control", "Connection", "Set-Cookie", "X-Request-ID", "X-A"),
        *("Transfer-Encoding", "Location", "Server", "Content-Security-Policy"),
    ]
)
values = st.sampled_from(
    [
        *("0", "5", "005", "12", "a", "close", "content-length", "chunked", "*"),
        *("text/html", "{}", "\xe9", "", "5, 5", "content-length: 7"),
    ]
) | st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"),
    max_size=8,
)
first_lines = st.sampled_from(
    [
        *("HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 404 No", "HTTP/1.1 500 "),
        *("HTTP/1.1 204 No", "HTTP/1.1 304 X", "HTTP/1.1 307 X", "HTTP/1.0 200 OK"),
        *("HTTP/1.1 103 Early", "HTTP/1.1 101 X", "HTTP/1.1 200 X-Request-ID: {}"),
        *("HTTP/1.1 200", "HTTP/2 200 OK", "nonsense"),
    ]
)
heads = st.tuples(
    first_lines, st.lists(st.tuples(names, values), max_size=4), st.binary(max_size=14)
)


def raw(first: str, fields: list[tuple[str, str]], body: bytes) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in fields), "\r\n"]
    return "\r\n".join(lines).encode("latin-1") + body


def anew(data: bytes) -> bytes | None:
    """Write what a browser gets, or None where it cannot be said at once."""
    end = data.index(b"\r\n\r\n") + 4
    try:
        read = read_head(data[:end], "GET")
    except MalformedAnswer:
        return None
    if read is None:
        return None
    head, stays_open = read
    if head.framing is not Framing.LENGTH or head.status in range(300, 400):
        return None
    if not stays_open or len(data) - end > head.length:
        return None
    lines = HARDENER.lines(to_browser(head.headers), NUMBER)
    text = f"HTTP/1.1 {head.status} {head.reason}\r\n{lines}\r\n"
    return text.encode("utf-8", "surrogateescape") + data[end:]


def rewritten(known: Heads, data: bytes) -> bytes | None:
    found = known.rewrite(data, NUMBER.encode())
    if found is None:
        return None
    kind, written, here, missing = found
    body = data[data.index(b"\r\n\r\n") + 4 :]
    head = read_head(data[: len(data) - len(body)], "GET")
    assert head is not None
    assert kind.status == head[0].status
    assert kind.status_class == f"{kind.status // 100}xx"
    assert (here, here + missing) == (len(body), head[0].length)
    assert missing >= 0
    return written


@pytest.mark.parametrize("kept", [1, 512])
@settings(max_examples=400, deadline=None)
@given(st.lists(heads, min_size=1, max_size=6))
@example(
    [("HTTP/1.1 200 OK", [("Content-Length", "2"), ("X-A", n)], b"ok") for n in "aba"]
)
@example([("HTTP/1.1 200 OK", [("content-length", n)], b"12") for n in ("2", "3", "1")])
@example(
    [("HTTP/1.1 200 OK", [("Content-Length", "1"), ("X-A", "content-length: 0")], b"")]
)
@example([("HTTP/1.1 200 X-Request-ID: {}", [("Content-Length", "0")], b"")])
def test_what_is_known_is_written_as_if_it_were_not(
    kept: int, answers: list[tuple[str, list[tuple[str, str]], bytes]]
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bff.graph_heads, "_MOST_KINDS", kept)
        known = Heads(HARDENER)
    for answer in answers * 2:
        data = raw(*answer)
        written = rewritten(known, data)
        if written is not None:
            assert written == anew(data)


@pytest.mark.parametrize(
    "data",
    [
        raw("HTTP/1.1 200 OK", [("content-length", "2")], b"ok"),
        raw("HTTP/1.1 200 OK", [("Content-Length", "2")], b"o"),
        raw("HTTP/1.1 422 No", [("Date", "x"), ("content-length", "0")], b""),
    ],
)
def test_plain_heads_are_known(data: bytes) -> None:
    assert rewritten(Heads(HARDENER), data) == anew(data)
    assert anew(data) is not None


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n",
        raw("HTTP/1.1 200 OK", [("content-length", "2")], b"oki"),
        raw("HTTP/1.1 200 OK", [("content-length", "2"), ("content-length", "2")], b""),
        raw("HTTP/1.1 200 OK", [("content-length", "-2")], b""),
        raw("HTTP/1.1 200 OK", [("content-length", "")], b""),
        raw("HTTP/1.1 200 OK", [("content-length", "9" * 19)], b""),
        raw("HTTP/1.1 200 OK", [("content-length", "2"), ("Connection", "close")], b""),
        raw("HTTP/1.1 200 OK", [("transfer-encoding", "chunked")], b"0\r\n\r\n"),
        raw("HTTP/1.1 200 OK", [], b"\r\ncontent-length: 0\r\n\r\n"),
        raw("HTTP/1.1 307 X", [("Location", "/x"), ("content-length", "0")], b""),
        raw("HTTP/1.1 204 X", [("content-length", "0")], b""),
        raw("HTTP/1.1 103 X", [("content-length", "0")], b""),
        raw("HTTP/1.0 200 OK", [("content-length", "0")], b""),
        raw("HTTP/1.1 200 OK", [("X-A", "a" * 3000), ("content-length", "0")], b""),
        b"HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: y\r\n content-length: 0\r\n\r\n",
    ],
)
def test_others_are_left_to_be_read(data: bytes) -> None:
    assert Heads(HARDENER).rewrite(data, b"n") is None
