"""Only the plainest request is read here; aiohttp's parser must agree on each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_proxy import incoming

if TYPE_CHECKING:
    from collections.abc import Generator

    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader

HOST = "Host: localhost:8080"


def written(first: str, *fields: str, body: str = "") -> bytes:
    return ("\r\n".join([first, *fields]) + "\r\n\r\n" + body).encode("latin-1")


def test_a_plain_request_is_read_as_it_stands() -> None:
    raw = written(
        "POST /graph/threads?a=%2F&b HTTP/1.1",
        HOST,
        "ACCEPT: */*",
        "X-Empty:",
        "Content-Length: 4",
        body="{}\r\n",
    )

    asked = incoming.read(raw)

    assert asked is not None
    assert (asked.method, asked.target) == ("POST", "/graph/threads?a=%2F&b")
    assert asked.fields == {
        "host": b"localhost:8080",
        "accept": b"*/*",
        "x-empty": b"",
        "content-length": b"4",
    }
    assert (asked.body, asked.missing, asked.raw) == (b"{}\r\n", 0, raw)
    assert asked.get("Accept") == "*/*"
    assert asked.get("Cookie") is None
    assert "HOST" in asked
    assert "cookie" not in asked


PLAIN = {
    "one field": written("GET / HTTP/1.1", HOST),
    "keep-alive": written("GET / HTTP/1.1", HOST, "Connection: keep-alive"),
    "Keep-Alive": written("GET / HTTP/1.1", HOST, "Connection: Keep-Alive"),
    "an empty Connection": written("GET / HTTP/1.1", HOST, "Connection:"),
    "a long name": written("GET / HTTP/1.1", HOST, "x" * 200 + ": y"),
    "bytes beyond ASCII in a value": written("GET / HTTP/1.1", HOST, "X: \xe9\xff"),
    "length zero": written("POST / HTTP/1.1", HOST, "Content-Length: 0"),
    "length with zeros": written(
        "POST / HTTP/1.1", HOST, "Content-Length: 002", body="ab"
    ),
    "a hundred fields": written(
        "GET / HTTP/1.1", HOST, *(f"X{n}: y" for n in range(99))
    ),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_what_is_plain(kind: str) -> None:
    asked = incoming.read(PLAIN[kind])

    assert asked is not None
    assert asked.missing == 0


@pytest.mark.parametrize(
    ("size", "there"), [(1, 0), (10, 9), (10**17, 3), (10**18 - 1, 0)]
)
def test_a_body_may_be_missing(size: int, there: int) -> None:
    asked = incoming.read(
        written("POST / HTTP/1.1", HOST, f"Content-Length: {size}", body="x" * there)
    )

    assert asked is not None
    assert asked.missing == size - there


def line(field: str, body: str = "") -> bytes:
    return written("POST / HTTP/1.1", HOST, field, body=body)


ODD = {
    "an empty line before it": b"\r\n" + written("GET / HTTP/1.1", HOST),
    "two request lines": written(
        "POST /graph/b HTTP/1.1", "GET /graph/a HTTP/1.1", HOST
    ),
    "Transfer-Encoding": line("Transfer-Encoding: chunked", "0\r\n\r\n"),
    "Transfer-Encoding identity": line("transfer-encoding: identity"),
    "Transfer-Encoding twisted": line("Transfer-Encoding: xchunked"),
    "both lengths": written(
        "POST / HTTP/1.1",
        HOST,
        "Transfer-Encoding: chunked",
        "Content-Length: 3",
        body="abc",
    ),
    "Expect": line("Expect: 100-continue"),
    "Upgrade": line("Upgrade: websocket"),
    "Upgrade with Connection": written(
        "GET / HTTP/1.1", HOST, "Connection: Upgrade", "Upgrade: websocket"
    ),
    "h2c": written(
        "GET / HTTP/1.1", HOST, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"
    ),
    "TE": line("TE: trailers"),
    "Trailer": line("Trailer: X"),
    "Connection close": line("Connection: close"),
    "a Connection list": line("Connection: keep-alive, X-Tenant-ID"),
    "a Connection that names a field": line("Connection: cookie"),
    "a field twice": written("GET / HTTP/1.1", HOST, "Cookie: a=b", "cookie: c=d"),
    "two hosts": written("GET / HTTP/1.1", HOST, HOST),
    "two equal lengths": written(
        "POST / HTTP/1.1", HOST, "Content-Length: 1", "Content-Length: 1", body="x"
    ),
    "HTTP/1.0": written("GET / HTTP/1.0", HOST),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2.0": written("GET / HTTP/2.0", HOST),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two requests": written("GET / HTTP/1.1", HOST) * 2,
    "a byte behind": written("GET / HTTP/1.1", HOST) + b"\n",
    "a body unannounced": written("POST / HTTP/1.1", HOST, body="abc"),
    "a byte behind the body": line("Content-Length: 1", "ab"),
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare LF, then an end": b"GET / HTTP/1.1\nHost: a\n\nGET /b HTTP/1.1\r\n\r\n",
    "one bare LF": b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    "a folded first field": b"GET / HTTP/1.1\r\n X: y\r\n\r\n",
    "a blank before the colon": line("X : y"),
    "no colon": line("X"),
    "no name": line(": y"),
    "a name beyond ASCII": line("X\xe9: y"),
    "a name with a semicolon": line("X;: y"),
    "NUL in a value": line("X: a\0b"),
    "a control character in a value": line("X: a\x01b"),
    "NUL in the target": written("GET /\0 HTTP/1.1", HOST),
    "a blank in the target": written("GET /a b HTTP/1.1", HOST),
    "a tab in the target": written("GET /a\tb HTTP/1.1", HOST),
    "a target beyond ASCII": written("GET /\xe9 HTTP/1.1", HOST),
    "a lower-case method": written("get / HTTP/1.1", HOST),
    "an unknown method": written("NONE / HTTP/1.1", HOST),
    "CONNECT": written("CONNECT a:1 HTTP/1.1", HOST),
    "another protocol": written("GET / ICE/1.0"),
    "length +5": line("Content-Length: +5", "hello"),
    "length -5": line("Content-Length: -5", "hello"),
    "length 5,5": line("Content-Length: 5,5", "hello"),
    "length 5 5": line("Content-Length: 5 5", "hello"),
    "length 0x5": line("Content-Length: 0x5", "hello"),
    "length 5_0": line("Content-Length: 5_0"),
    "length in other digits": line("Content-Length: \xb2"),
    "no length": line("Content-Length:"),
    "length of 19 digits": line("Content-Length: 1" + "0" * 18),
    "length of 19 digits, zeros first": line(
        "Content-Length: " + "0" * 18 + "5", "hello"
    ),
    "a blank behind the length": line("Content-Length: 5 ", "hello"),
    "no host": written("GET / HTTP/1.1"),
    "101 fields": written("GET / HTTP/1.1", HOST, *(f"X{n}: y" for n in range(100))),
    "half a head": b"GET / HTTP/1.1\r\nHost: a\r\n",
    "only an end": b"\r\n\r\n",
    "an end first": b"\r\n\r\n" + written("GET / HTTP/1.1", HOST),
    "nothing": b"",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("kind", ODD)
def test_whatever_is_odd_is_left_to_others(kind: str) -> None:
    assert incoming.read(ODD[kind]) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"G", True),
        (b"GET /graph", True),
        (b"GET /graph HTTP/1.1\r", True),
        (b"GET /graph HTTP/1.1\r\nHost: a\r\n", True),
        (b"GET /graph HTTP/1.1\r\nHost: a\r\n\r\n", False),
        (b"GET /graph HTTP/1.0\r\n", False),
        (b"GET graph HTTP/1.1\r\n", False),
        (b"HELO there\r\n", False),
        (b"\x16\x03\x01", False),
        (b"\r\n", False),
        (b"\0", False),
        (b"1", False),
    ],
)
def test_what_may_become_plain(data: bytes, expected: bool) -> None:  # noqa: FBT001 - a table
    assert incoming.may_become_plain(data) is expected


def test_every_beginning_of_a_plain_request_may_become_one() -> None:
    raw = written("DELETE /graph/threads/t HTTP/1.1", HOST, "X: y")
    for end in range(1, len(raw)):
        assert incoming.read(raw[:end]) is None
        assert incoming.may_become_plain(raw[:end])


@pytest.fixture(scope="module")
def loop() -> Generator[asyncio.AbstractEventLoop]:
    """Give a loop that nothing runs in."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def by_aiohttp(
    data: bytes, loop: asyncio.AbstractEventLoop
) -> list[tuple[RawRequestMessage, StreamReader]]:
    parser = HttpRequestParser(
        BaseProtocol(loop),
        loop,
        2**16,
        max_line_size=2**16,
        max_field_size=2**16,
        auto_decompress=False,
    )
    messages, upgraded, tail = parser.feed_data(data)
    assert not upgraded
    assert tail == b""
    return list(messages)


names = st.sampled_from(
    [
        "Host",
        "host",
        "X-A",
        "x-a",
        "Cookie",
        "Connection",
        "Content-Length",
        "Accept",
        "Content-Type",
        "Keep-Alive",
        "TE",
        "Upgrade",
        "X_A",
        "X.A",
        "Content-Encoding",
        "Transfer-Encoding",
        "Expect",
        "Sec-Fetch-Site",
        "X A",
        "Xé",
        "",
        "Origin",
    ]
)
values = st.one_of(
    st.sampled_from(
        [
            "",
            "localhost",
            "0",
            "1",
            "3",
            "03",
            "3 ",
            " 3",
            "\t",
            "a\tb",
            "chunked",
            "gzip",
            "keep-alive",
            "close",
            "a, b",
            "é",
            "a\x00b",
            "a\x7fb",
            "a\r\n b",
            "100-continue",
        ]
    ),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=12),
)
fields = st.builds(
    lambda name, gap, value, end: f"{name}:{gap}{value}{end}",
    names,
    st.sampled_from(["", " ", " ", " ", "\t", "  "]),
    values,
    st.sampled_from(["\r\n"] * 12 + ["\n", "\r", " \r\n"]),
)
firsts = st.builds(
    lambda before, method, gap, target, version, end: (
        f"{before}{method}{gap}{target}{version}{end}"
    ),
    st.sampled_from([""] * 8 + ["\r\n", "\n", " "]),
    st.sampled_from(
        ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "get", "M-SEARCH"]
    ),
    st.sampled_from([" "] * 8 + ["  ", "\t"]),
    st.one_of(
        st.sampled_from(
            ["/", "/a?b=c", "/%2F", "*", "http://a/b", "/a#b", "//a", "/\xe9"]
        ),
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=8).map(
            lambda tail: f"/{tail}"
        ),
    ),
    st.sampled_from([" HTTP/1.1"] * 8 + [" HTTP/1.0", " HTTP/1.1 ", "", " HTTP/2.0"]),
    st.sampled_from(["\r\n"] * 8 + ["\n"]),
)
requests = st.builds(
    lambda first, host, length, sent, end, body: (
        first
        + host
        + (f"Content-Length: {len(body)}\r\n" if length else "")
        + "".join(sent)
        + end
        + body
    ).encode("latin-1"),
    firsts,
    st.sampled_from([f"{HOST}\r\n"] * 8 + [""]),
    st.booleans(),
    st.lists(fields, max_size=4),
    st.sampled_from(["\r\n"] * 8 + ["\n", "\r\n\r\n"]),
    st.sampled_from(["", "", "", "abc", "a", "GET / HTTP/1.1\r\n\r\n"]),
)


@settings(max_examples=400)
@given(requests)
def test_aiohttp_reads_the_very_same_in_all_that_is_taken(
    loop: asyncio.AbstractEventLoop, data: bytes
) -> None:
    asked = incoming.read(data)
    if asked is None or asked.missing or not asked.target.startswith("/"):
        return  # other targets name no path of ours

    assert_agreed(asked, data, loop)


@settings(max_examples=300)
@given(firsts, requests, st.sampled_from(["", "", "abc", "a", "\r\n"]))
def test_what_is_known_of_the_fields_changes_nothing(
    first: str, before: bytes, body: str
) -> None:
    earlier = incoming.read(before)
    known = earlier.block if earlier is not None else incoming.Block(b"", {}, 0)
    for data in (first.encode("latin-1") + known.raw + body.encode(), before):
        assert_equal(incoming.read(data, known), incoming.read(data))


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("last", [PLAIN["one field"], PLAIN["length with zeros"]])
def test_nothing_odd_becomes_plain_by_what_is_known(kind: str, last: bytes) -> None:
    earlier = incoming.read(last)
    assert earlier is not None
    assert incoming.read(ODD[kind], earlier.block) is None


def test_the_same_fields_are_the_same_block_and_no_others() -> None:
    fields = (HOST, "Cookie: a=b", "Content-Length: 1")
    first = incoming.read(written("POST /a HTTP/1.1", *fields, body="x"))
    assert first is not None
    for again, same in [
        (written("PUT /b?c HTTP/1.1", *fields, body="y"), True),
        (written("PUT /b?c HTTP/1.1", *fields), True),
        (written("POST /a HTTP/1.1", HOST, "Cookie: a=c", fields[2], body="x"), False),
        (written("POST /a HTTP/1.1", "X: y", *fields, body="x"), False),
        (written("POST /a HTTP/1.1", *fields[:2]), False),
    ]:
        asked = incoming.read(again, first.block)
        assert asked is not None
        assert (asked.block is first.block) is same
        assert_equal(asked, incoming.read(again))


def assert_equal(
    one: incoming.Incoming | None, other: incoming.Incoming | None
) -> None:
    if one is None or other is None:
        assert one is other
        return
    assert (one.method, one.target, one.raw) == (other.method, other.target, other.raw)
    assert (one.body, one.missing) == (other.body, other.missing)
    assert one.block.raw == other.block.raw
    assert one.fields == other.fields
    assert one.block.length == other.block.length


@pytest.mark.parametrize("kind", PLAIN)
def test_aiohttp_reads_the_very_same_in_each_plain_request(
    loop: asyncio.AbstractEventLoop, kind: str
) -> None:
    asked = incoming.read(PLAIN[kind])
    assert asked is not None
    assert_agreed(asked, PLAIN[kind], loop)


def assert_agreed(
    asked: incoming.Incoming, data: bytes, loop: asyncio.AbstractEventLoop
) -> None:
    ((message, payload),) = by_aiohttp(data, loop)

    assert message.method == asked.method
    assert message.path == asked.target
    assert (message.version.major, message.version.minor) == (1, 1)
    assert not (message.should_close)
    assert not (message.chunked)
    assert not (message.upgrade)
    assert sorted(
        (name.lower().decode(), value.strip(b" \t"))
        for name, value in message.raw_headers
    ) == sorted((name, value.strip(b" \t")) for name, value in asked.fields.items())
    assert payload.is_eof() or asked.body
    assert (payload.read_nowait() if asked.body else b"") == asked.body


def test_the_comparison_can_fail(loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(HttpProcessingError):
        by_aiohttp(ODD["no colon"], loop)
    assert len(by_aiohttp(ODD["two requests"], loop)) == 2
