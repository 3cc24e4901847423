"""T24: one request is one request, for the gateway and for the upstream alike.

Raw bytes at both kinds of route: the gateway's own and those it hands on. The upstream
reads strictly and takes down everything; a second request hidden in the first must
never be one (aiohttp CVE-2023-37276, 2024-52304, 2025-53643, 2026-34516 and others).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.attacks.outside import hostile
from tests.attacks.smuggling import SMUGGLED, Net, caught, statuses, throw

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases

INNER = f"GET /graph/threads/{SMUGGLED} HTTP/1.1\r\nX-Evil: 1\r\nFoo: "
HIDDEN = f"0\r\n\r\n{INNER}x\r\n\r\n"
SIZE = len(HIDDEN)

# Framing fields that no two readers agree about, each with a body that hides a
# request: refused, whatever follows.
AMBIGUOUS: dict[str, tuple[str, ...]] = {
    "length and chunks": (f"Content-Length: {SIZE}", "Transfer-Encoding: chunked"),
    "chunks and length": ("Transfer-Encoding: chunked", f"Content-Length: {SIZE}"),
    "chunks and a short length": ("Transfer-Encoding: chunked", "Content-Length: 4"),
    "two lengths": ("Content-Length: 5", f"Content-Length: {SIZE}"),
    "the same length twice": (f"Content-Length: {SIZE}",) * 2,
    "lengths in a list": (f"Content-Length: {SIZE}, {SIZE}",),
    "two lengths in a list": (f"Content-Length: 5, {SIZE}",),
    "a length with a sign": ("Content-Length: +5",),
    "a negative length": ("Content-Length: -5",),
    "a length in hex": ("Content-Length: 0x5",),
    "a length with a blank": ("Content-Length: 5 5",),
    "a length with a score": ("Content-Length: 1_0",),
    "a length with a dot": ("Content-Length: 5.0",),
    "no length in the length": ("Content-Length: ",),
    "a length in other digits": ("Content-Length: \u0665",),
    "a length beyond numbers": (f"Content-Length: {'9' * 40}",),
    "a blank before the colon": (f"Content-Length : {SIZE}",),
    "a tab before the colon": (f"Content-Length\t: {SIZE}",),
    "chunks, a blank before the colon": ("Transfer-Encoding : chunked",),
    "chunks of another kind": ("Transfer-Encoding: xchunked",),
    "chunks inside identity": ("Transfer-Encoding: chunked, identity",),
    "identity": ("Transfer-Encoding: identity",),
    "chunks twice": ("Transfer-Encoding: chunked, chunked",),
    "chunks in two lines": ("Transfer-Encoding: chunked", "Transfer-Encoding: x"),
    "chunks quoted": ('Transfer-Encoding: "chunked"',),
    "chunks with a parameter": ("Transfer-Encoding: chunked;q=1",),
    "chunks and a vertical tab": ("Transfer-Encoding: \x0bchunked",),
    "chunks and a nul": ("Transfer-Encoding: chunked\0",),
    "chunks, folded": ("Transfer-Encoding:\r\n chunked",),
    "a folded field": ("X-A: b\r\n Transfer-Encoding: chunked",),
    "a name that is folded": ("X-A: b\r\n\tX-Evil: 1",),
    "a bare carriage return": ("X-A: b\rTransfer-Encoding: chunked",),
    "a bare line feed": ("X-A: b\nX-Evil: 1\nTransfer-Encoding: chunked",),
    "a nul in a value": ("X-A: b\0c",),
    "a nul in a name": ("X-\0A: b",),
    "a name with a blank": ("X A: b",),
    "a name of nothing": (": b",),
    "a line without a colon": ("Transfer-Encoding chunked",),
    "a name in brackets": ("X(A): b",),
    "a name beyond ASCII": ("X-\u00c4: b",),
    "two hosts": ("Host: evil.test",),
    "expectations of another kind": ("Expect: 200-maybe",),
}
# Whether it is refused or read, nothing hidden may come through.
DOUBTFUL: dict[str, tuple[str, ...]] = {
    "chunks in capitals": ("Transfer-Encoding: CHUNKED",),
    "chunks after an empty one": ("Transfer-Encoding: , chunked",),
    "chunks between blanks": ("Transfer-Encoding:  \t chunked \t ",),
    "chunks with a score": ("Transfer_Encoding: chunked", f"Content-Length: {SIZE}"),
    "length with a score": ("Content_Length: 5", f"Content-Length: {SIZE}"),
    "leading zeros": (f"Content-Length: 000{SIZE}",),
    "packed and chunked": ("Transfer-Encoding: gzip, chunked",),
    "connection drops the length": ("Connection: content-length",),
    "connection drops the chunks": (
        "Connection: transfer-encoding",
        "Transfer-Encoding: chunked",
    ),
    "upgrade to h2c": (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    ),
    "upgrade to a websocket of no version": (
        "Connection: Upgrade",
        "Upgrade: websocket",
        f"Content-Length: {SIZE}",
    ),
    "a continuation is awaited": (
        "Expect: 100-continue",
        f"Content-Length: {SIZE}",
    ),
    "trailers promised": ("Trailer: X-Evil", "Transfer-Encoding: chunked"),
    "te": ("TE: trailers, chunked", "Transfer-Encoding: chunked"),
}
# Bodies in chunks that no two readers agree about.
CHUNKS = {
    "a size in hex with a mark": "0x5\r\nhello\r\n0\r\n\r\n",
    "a size with a sign": "+5\r\nhello\r\n0\r\n\r\n",
    "a negative size": "-5\r\nhello\r\n0\r\n\r\n",
    "a size with a score": "0_5\r\nhello\r\n0\r\n\r\n",
    "a size that overflows": "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "no size": "\r\nhello\r\n0\r\n\r\n",
    "a size of words": "five\r\nhello\r\n0\r\n\r\n",
    "a blank before the size": " 5\r\nhello\r\n0\r\n\r\n",
    "a line feed alone": "5\nhello\n0\n\n",
    "a carriage return alone": "5\rhello\r0\r\r",
    "no end of a chunk": f"5\r\nhelloXX0\r\n\r\n{INNER}",
    "a chunk longer than it says": "3\r\nhello\r\n0\r\n\r\n",
    "a line feed in an extension": f"5;a\nx\r\nhello\r\n0\r\n\r\n{INNER}",
    "a nul in an extension": "5;a\0\r\nhello\r\n0\r\n\r\n",
    "a trailer with a blank": "5\r\nhello\r\n0\r\nX Evil: 1\r\n\r\n",
    "a folded trailer": "5\r\nhello\r\n0\r\nX-A: 1\r\n X-Evil: 1\r\n\r\n",
}
GOOD_CHUNKS = {
    "plain": ("5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "an extension": ("5;name=value\r\nhello\r\n0\r\n\r\n", b"hello"),
    "trailers": ("5\r\nhello\r\n0\r\nX-Evil: 1\r\nX-More: 9\r\n\r\n", b"hello"),
    "leading zeros": ("0005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "a request inside": (
        f"{len(INNER):x}\r\n{INNER}\r\n0\r\n\r\n",
        INNER.encode(),
    ),
}
LINES = {
    "no version": "GET /graph/threads/x\r\n\r\n",
    "version 0.9": "GET /graph/threads/x HTTP/0.9\r\n",
    "version 2": "GET /graph/threads/x HTTP/2.0\r\n",
    "version 1.10": "GET /graph/threads/x HTTP/1.10\r\n",
    "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two targets": "GET /graph/threads/x /graph/threads/y HTTP/1.1\r\n",
    "a feed in the target": "GET /graph/threads/x\nX-Evil:1 HTTP/1.1\r\n",
    "a return in the target": "GET /graph/threads/x\rX-Evil:1 HTTP/1.1\r\n",
    "a nul in the target": "GET /graph/threads/x\0 HTTP/1.1\r\n",
    "a blank before the method": " GET /graph/threads/x HTTP/1.1\r\n",
    "a tab after the method": "GET\t/graph/threads/x\tHTTP/1.1\r\n",
    "a method with a feed": "GE\nT /graph/threads/x HTTP/1.1\r\n",
    "a method of no letters": "G@T /graph/threads/x HTTP/1.1\r\n",
    "no target": "GET  HTTP/1.1\r\n",
    "another address": "GET http://evil.test/graph/threads/x HTTP/1.1\r\n",
    "an authority": "CONNECT evil.test:80 HTTP/1.1\r\n",
    "a star": "OPTIONS * HTTP/1.1\r\n",
    "a fragment": "GET /graph/threads/x#/../../internal HTTP/1.1\r\n",
}


@pytest.fixture
async def net(databases: Databases) -> AsyncGenerator[Net]:
    async with caught(databases) as made:
        yield made


OWN, HANDED_ON = "POST /auth/logout", "POST /graph/threads"
ROUTES = (OWN, HANDED_ON)


async def thrown(net: Net, *texts: str, patience: float = 8.0) -> list[int]:
    """Throw texts, each as one packet, and check what came through.

    Most end with the connection; *patience* is for those that end in silence.
    """
    parts = [text.encode("utf-8", "surrogateescape") for text in texts]
    found = statuses(await throw(net.world.url, *parts, patience=patience))
    net.check()
    return found


async def several(*acts: object) -> list[list[int]]:
    """Let attacks that may end in silence wait side by side."""
    return await asyncio.gather(*acts)  # type: ignore[call-overload,no-any-return] # coroutines, all of them


async def test_ambiguous_framing_is_refused_and_ends_the_connection(net: Net) -> None:
    json = "Content-Type: application/json"
    for route in ROUTES:
        heads = [net.head(route, json, *fields) for fields in AMBIGUOUS.values()]
        whole = await several(
            *(thrown(net, f"{one}\r\n{HIDDEN}{INNER}") for one in heads)
        )
        split = await several(
            *(thrown(net, f"{one}\r\n", f"{HIDDEN}{INNER}") for one in heads)
        )
        late = await several(
            *(thrown(net, one[:-30], f"{one[-30:]}\r\n{HIDDEN}") for one in heads)
        )
        for found in (whole, split, late):
            for name, one in zip(AMBIGUOUS, found, strict=True):
                assert one in ([400], [417], [421]), (route, name, one)
    assert net.seen == []


async def test_a_name_given_twice_is_refused_in_either_order(net: Net) -> None:
    """Readers differ about which of two hosts counts (CVE-2026-34525)."""
    for route in ("GET /auth/session", "GET /graph/threads/x"):
        top = net.head(route) + "\r\n"
        ours = next(line for line in top.split("\r\n") if line.startswith("Host"))
        evil = "Host: evil.test"
        for lines in (f"{evil}\r\n{ours}", f"{ours}\r\n{evil}", f"{ours}\r\n{ours}"):
            assert await thrown(net, top.replace(ours, lines)) in ([400], [421])
    assert net.seen == []


async def test_doubtful_framing_hides_nothing(net: Net) -> None:
    json = "Content-Type: application/json"
    for route in ROUTES:
        heads = [net.head(route, json, *fields) for fields in DOUBTFUL.values()]
        for cut in (0, 3):
            await several(
                *(
                    thrown(
                        net, f"{one}\r\n{HIDDEN[:cut]}", f"{HIDDEN[cut:]}", patience=0.4
                    )
                    for one in heads
                )
            )
    net.check()
    for one in net.seen:
        assert one.body in (b"", HIDDEN.encode()), "one body, whole or none"


async def test_broken_chunks_are_refused_and_end_the_connection(net: Net) -> None:
    fields = "Content-Type: application/json", "Transfer-Encoding: chunked"
    for route in ROUTES:
        top = net.head(route, *fields) + "\r\n"
        whole = await several(
            *(thrown(net, top + one, patience=1) for one in CHUNKS.values())
        )
        split = await several(
            *(thrown(net, top, one, patience=1) for one in CHUNKS.values())
        )
        for found in (whole, split):
            for name, one in zip(CHUNKS, found, strict=True):
                # A break is honest too, once an upstream has heard the beginning.
                assert one in ([], [400], [400, 400]), (route, name, one)
    assert [one for one in net.seen if one.body not in {b"", b"hello"}] == []


@pytest.mark.parametrize("packets", [1, 2, 3])
async def test_good_chunks_arrive_as_they_were_meant(net: Net, packets: int) -> None:
    for name, (text, body) in GOOD_CHUNKS.items():
        top = net.head(
            HANDED_ON,
            "Content-Type: application/json",
            "Transfer-Encoding: chunked",
            "Connection: close",
        )
        whole = f"{top}\r\n{text}"
        step = len(whole) // packets + 1
        cut = [whole[at : at + step] for at in range(0, len(whole), step)]
        before = len(net.seen)

        assert await thrown(net, *cut) == [200], name

        (came,) = net.seen[before:]
        assert came.body == body
        assert came.all("x-evil") == came.all("trailer") == []


async def test_a_request_line_that_is_none_is_refused(net: Net) -> None:
    rest = net.head("").partition("\r\n")[2]
    found = await several(
        *(
            thrown(net, f"{line}{rest}\r\n{INNER}", patience=1)
            for line in LINES.values()
        )
    )
    for name, one in zip(LINES, found, strict=True):
        # What follows was never read as a request of its own.
        assert len(one) <= 2, (name, one)
        assert not [status for status in one if status < 400], (name, one)
    assert net.seen == []


@pytest.mark.parametrize("route", ["GET /auth/session", "GET /graph/threads/x"])
async def test_lines_of_line_feeds_only_are_no_head(net: Net, route: str) -> None:
    top = f"{net.head(route, 'Connection: close')}\r\n"

    found = await several(
        thrown(net, top.replace("\r\n", "\n"), patience=1),
        thrown(net, top.replace("\r\n", "\r"), patience=1),
        thrown(net, top.replace("\r\n", "\n\r"), patience=1),
        thrown(net, top[:-4] + "\n\n", patience=1),
        thrown(net, top[:-4] + "\n\r\n", patience=1),
    )

    # A lone line feed may end a line (RFC 9112 section 2.2); it never makes two.
    assert all(one in ([], [200], [400]) for one in found), found
    assert len(net.seen) <= 2


@pytest.mark.parametrize("route", ["GET /auth/session", "GET /graph/threads/x"])
async def test_long_fields_pass_whole_or_are_refused(net: Net, route: str) -> None:
    for size, expected in (
        (8190, [200]),
        (8191, [200]),
        (8193, [200]),
        (16_385, [200]),
        (32_700, [200]),
        (32_769, [431]),
        (40_000, [431]),
        (70_000, [431]),
        (300_000, [431]),
    ):
        for field in (f"X-Long: {'a' * size}", f"Accept: {'a' * (size - 1)}\t"):
            one = await thrown(
                net, net.head(route, field, "Connection: close") + "\r\n"
            )
            assert one in (expected, []), (size, one)
            if expected == [200]:
                assert one == [200], size
    many = [f"X-{number}: {'a' * 1000}" for number in range(100)]
    one = await thrown(net, net.head(route, *many, "Connection: close") + "\r\n")
    assert one in ([200], [400], [431], []), one


async def test_requests_in_a_row_are_answered_in_that_row(net: Net) -> None:
    body = '{"a": "' + f"GET /graph/threads/{SMUGGLED} HTTP/1.1" + '"}'
    length = f"Content-Length: {len(body)}"
    json = "Content-Type: application/json"
    row = [
        f"{net.head('GET /graph/threads/1')}\r\n",
        f"{net.head('GET /auth/session')}\r\n",
        f"{net.head('POST /graph/threads', json, length)}\r\n{body}",
        f"{net.head('GET /nowhere')}\r\n",
        (
            f"{net.head('POST /graph/threads', json, 'Transfer-Encoding: chunked')}\r\n"
            f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
        ),
        f"{net.head('GET /graph/threads/2', 'Content-Length: 0')}\r\n",
        f"{net.head('GET /graph/threads/3', 'Connection: close')}\r\n",
    ]
    expected = [200, 200, 200, 404, 200, 200, 200]
    whole = "".join(row)
    for cut in ([whole], row, [whole[at : at + 97] for at in range(0, len(whole), 97)]):
        net.seen.clear()
        parts = [one.encode() for one in cut]
        got = await throw(net.world.url, *parts, patience=3)
        assert statuses(got) == expected
        net.check()
        assert [one.target for one in net.seen] == [
            "/threads/1",
            "/threads",
            "/threads",
            "/threads/2",
            "/threads/3",
        ]
        assert [one.body for one in net.seen if one.body] == [body.encode()] * 2
    # After a refusal of the framing nothing that follows is read.
    bad = net.head(HANDED_ON, json, "Content-Length: 3", "Content-Length: 4")
    net.seen.clear()
    assert (await thrown(net, row[0] + bad + "\r\nabc" + row[0]))[-1:] == [400]
    assert len(net.seen) <= 1


async def test_a_body_that_is_refused_is_not_read_as_the_next_request(
    net: Net,
) -> None:
    """The gateway answers without reading: what it did not read must not be parsed."""
    inner = f"GET /graph/threads/{SMUGGLED} HTTP/1.1\r\n{net.head('x')}\r\n"
    inner = inner.replace("x HTTP/1.1\r\n", "")
    length = f"Content-Length: {len(inner)}"
    for line in (
        "POST /nowhere",
        "POST /whoami",
        "PUT /graph/threads",
        "POST /graph/internal",
        "POST /auth/login",
        "GET /auth/session",
        "GET /graph/threads/x",
        "HEAD /graph/threads/x",
        "DELETE /graph/threads/x",
    ):
        top = f"{net.head(line, length)}\r\n"
        found = await several(
            thrown(net, top + inner, patience=0.4),
            thrown(net, top, inner, patience=0.4),
            thrown(net, top, patience=0.4),
        )
        for one in found:
            assert len(one) <= 1, (line, one)
    chunked = net.head("POST /nowhere", "Transfer-Encoding: chunked")
    await thrown(
        net, f"{chunked}\r\n{len(inner):x}\r\n{inner}\r\n0\r\n\r\n", patience=0.4
    )


@hostile(100)
@given(data=st.data())
async def test_no_spoilt_bytes_make_two_requests_of_one(
    net: Net, data: st.DataObject
) -> None:
    """Insert, replace and cut bytes of a good request that hides another."""
    hidden = INNER + "x\r\n\r\n"
    route = data.draw(st.sampled_from(ROUTES))
    chunked = data.draw(st.booleans())
    if chunked:
        framing, body = (
            "Transfer-Encoding: chunked",
            f"{len(hidden):x}\r\n{hidden}\r\n0\r\n\r\n",
        )
    else:
        framing, body = f"Content-Length: {len(hidden)}", hidden
    top = net.head(route, "Content-Type: application/json", framing)
    raw = bytearray(f"{top}\r\n{body}".encode())
    # Anywhere but in the cookie and the hidden request: there it would prove nothing.
    start = len(top) - len(framing) - 2
    stop = len(raw) - len(hidden)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(start, stop))
        piece = data.draw(st.sampled_from(PIECES) | st.binary(min_size=1, max_size=2))
        raw[at : at + data.draw(st.integers(0, 2))] = piece
    cut = data.draw(st.integers(1, len(raw)))
    net.check()  # what came late of the example before
    net.seen.clear()

    got = await throw(net.world.url, bytes(raw[:cut]), bytes(raw[cut:]), patience=0.1)

    found = statuses(got)
    assert not [one for one in found if one >= 500], found
    net.check()
    assert len(net.seen) <= 1
    allowed = hidden.encode()
    for one in net.seen:
        assert len(one.body) <= len(allowed) + 40


PIECES = (
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\0",
    b"\x0b",
    b"0\r\n\r\n",
    b"\r\n\r\n",
    b";",
    b"0",
    b"f",
    b"-",
    b"+",
    b"_",
    b",",
    b":",
    b"\r\nTransfer-Encoding: chunked",
    b"\r\nContent-Length: 0",
    b"\r\nContent-Length: 5",
    b"chunked",
    b"\xff",
)
