"""What is remembered of a request is used for the very same fields and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import bff.graph_direct
from tests.bff.lanes import Lanes, request
from tests.bff.proxied import with_proxy
from tests.bff.tabs import Ways, tab
from tests.fakes.upstream import fake_upstream

if TYPE_CHECKING:
    from bff.front import Front
    from tests.bff.lanes import Elsewhere, Wire
    from tests.databases import Databases
    from tests.fakes.upstream import Peer

PEOPLE = ("alice", "bob", "carol")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-For: %b\r\n\r\n%b"


@dataclass(frozen=True)
class Asked:
    """A request, on which connection, and what becomes of it."""

    who: str
    method: str = "GET"
    path: str = "/graph/ok"
    field: str = "Accept: a/b"
    body: bytes = b""
    connection: int = 0
    allowed: bool = True


GOOD = [
    ("GET", "/graph/ok", b""),
    ("GET", "/graph/threads/t?x=1", b""),
    ("GET", "/graph/threads/%74", b""),
    ("GET", "/graph/threads/t", b"ab"),
    ("POST", "/graph/threads", b"{}"),
    ("POST", "/graph/threads", b"[]"),
    ("POST", "/graph/threads", b"\r\n\r\n"),
    ("DELETE", "/graph/threads/t", b""),
    ("GET", f"/graph/threads/{'t' * 300}", b""),
]
BAD = [
    ("GET", "/graph/internal/x", b""),
    ("GET", "/graphs/ok", b""),
    ("PUT", "/graph/threads/t", b""),
    ("GET", "/graph//ok", b""),
]
FIELDS = ["Accept: a/b", "Accept: a/c", "Accept: a/b ", "Accept : a/b", "X: y"]


def asked(who: str, what: tuple[str, str, bytes], field: str, connection: int) -> Asked:
    method, path, body = what
    allowed = what in GOOD and field != "Accept : a/b"
    return Asked(who, method, path, field, body, connection, allowed)


requests = st.builds(
    asked,
    st.sampled_from(PEOPLE),
    st.sampled_from(GOOD) | st.sampled_from(BAD),
    st.sampled_from(FIELDS),
    st.integers(0, 1),
)
steps = st.lists(
    requests
    | st.sampled_from(PEOPLE)  # whose session ends
    | st.just(271.0),  # seconds that pass: every token wants renewing
    max_size=30,
)


class Model:
    """Knows what should become of each request, by the simplest rules."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.browsers: dict[int, tuple[Front, Wire, Elsewhere]] = {}
        self.numbers: set[bytes] = set()

    def step(self, one: Asked | str | float) -> None:
        if isinstance(one, str):
            self.lanes.ended.end(self.lanes.tickets[one].sid)
        elif isinstance(one, float):
            self.lanes.now += one
        else:
            self.ask(one)
        assert self.lanes.live.total == 0
        assert not self.lanes.live.streams
        assert self.lanes.proxy.outstanding == 0

    def ask(self, one: Asked) -> None:
        lanes = self.lanes
        if one.connection not in self.browsers:
            self.browsers[one.connection] = lanes.browser()
        front, wire, elsewhere = self.browsers[one.connection]
        raw = request(
            one.method,
            one.path,
            lanes.host,
            lanes.jars[one.who],
            one.field,
            body=one.body,
        )
        ticket = lanes.tickets[one.who]
        goes_up = (
            one.allowed
            and not front._given_away
            and ticket.sid.int not in lanes.ended._ended
            and not ticket.should_refresh(lanes.now)
        )
        front.data_received(raw)
        sent = lanes.up.take()
        assert bool(sent) is goes_up, one
        assert elsewhere.take() == (b"" if goes_up else raw)
        if goes_up:
            self.goes_up(one, sent)
            body = one.who.encode()
            lanes.kept.data_received(ANSWER % (len(body), body, body))
            told = wire.take()
            assert told.endswith(b"\r\n\r\n" + body)
            assert b"\r\nX-For: " + body + b"\r\n" in told
            assert b"\r\nContent-Length: %d\r\n" % len(body) in told

    def goes_up(self, one: Asked, sent: bytes) -> None:
        head, _, body = sent.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in lines)
        assert len(fields) == len(lines)
        path = one.path.removeprefix("/graph").replace("%74", "t")
        assert first == f"{one.method} {path} HTTP/1.1".encode()
        assert body == one.body
        assert fields.get(b"content-length") == (b"%d" % len(body) if body else None)
        ticket = self.lanes.tickets[one.who]
        assert fields[b"authorization"] == f"bearer token-of-{one.who}".encode()
        assert fields[b"x-tenant-id"] == b"%d" % (ticket.tenant_id or 0)
        name, value = (part.strip() for part in one.field.lower().split(":"))
        if name == "accept":
            assert fields[b"accept"].strip() == value.encode()
        else:
            assert name.encode() not in fields
        assert fields[b"x-request-id"] not in self.numbers
        self.numbers.add(fields[b"x-request-id"])


SAME = [Asked("alice")] * 3


@pytest.mark.parametrize("kept", [2, 2048])
@settings(max_examples=150, deadline=None)
@given(steps)
@example([*SAME, Asked("bob"), *SAME])
@example([*SAME, "alice", *SAME, Asked("bob")])
@example([*SAME, 271.0, *SAME])
@example([*SAME, Asked("alice", "POST", "/graph/threads", body=b"{}")] * 2)
def test_every_request_goes_up_as_whoever_sent_it(
    kept: int, happens: list[Asked | str | float]
) -> None:
    async def scene() -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(bff.graph_direct, "_MOST_ERRANDS", kept)
            lanes = Lanes(*PEOPLE)
            model = Model(lanes)
            for one in happens:
                model.step(one)
            lanes.close()

    asyncio.run(scene())


def test_the_same_fields_again_are_not_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        lanes = Lanes(*PEOPLE)
        model = Model(lanes)
        model.step(Asked("alice"))
        read = AssertionError("the request was read again")
        monkeypatch.setattr(
            lanes.express, "take", lambda *_: (_ for _ in ()).throw(read)
        )
        model.step(Asked("alice"))
        model.step(Asked("alice", path="/graph/threads/another"))
        lanes.close()

    asyncio.run(scene())


RAW = ("GET", "/graph/ok", Lanes.host)


def test_one_byte_of_difference_is_another_request() -> None:
    """Whatever is remembered, it is decided on as on a fresh connection."""

    async def scene() -> None:
        lanes = Lanes("alice")
        raw = request(*RAW, lanes.jars["alice"], body=b"body")
        outcomes = set()
        for place in range(len(raw)):
            other = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
            known, fresh = lanes.browser(), lanes.browser()
            for _ in range(2):
                assert upstream_got(lanes, known, raw)
            expected = upstream_got(lanes, fresh, other), fresh[2].take()
            assert (upstream_got(lanes, known, other), known[2].take()) == expected
            outcomes.add(bool(expected[0]))
        assert outcomes == {True, False}
        lanes.close()

    asyncio.run(scene())


def upstream_got(
    lanes: Lanes, browser: tuple[Front, Wire, Elsewhere], data: bytes
) -> bytes:
    """Send a request and return what arrives, without its number."""
    front, wire, _ = browser
    front.data_received(data)
    sent = lanes.up.take()
    if sent:
        lanes.kept.data_received(ANSWER % (0, b"x", b""))
        assert wire.take()
    before, _, after = sent.partition(b"X-Request-ID: ")
    return before + after[32:]


@pytest.mark.parametrize("behind", [b"x", b"GET /graph/ok HTTP/1.1\r\n", b"\r\n"])
def test_with_anything_behind_it_nothing_is_known(behind: bytes) -> None:
    async def scene() -> None:
        lanes = Lanes("alice")
        front, _, elsewhere = lanes.browser()
        raw = request(*RAW, lanes.jars["alice"])
        front.data_received(raw)
        lanes.kept.data_received(ANSWER % (0, b"x", b""))
        assert lanes.up.take()
        front.data_received(raw + behind)
        assert lanes.up.take() == b""
        assert elsewhere.take() == raw + behind
        lanes.close()

    asyncio.run(scene())


def test_limits_and_draining_hold_for_what_is_known_as_well() -> None:
    async def scene() -> None:
        lanes = Lanes("alice")
        front, _, elsewhere = lanes.browser()
        raw = request(*RAW, lanes.jars["alice"])
        front.data_received(raw)
        lanes.kept.data_received(ANSWER % (0, b"x", b""))
        assert lanes.up.take()
        (line,) = lanes.express._lanes
        lanes.live.total += line.target.max_in_flight
        front.data_received(raw)
        assert elsewhere.take() == raw
        lanes.live.total -= line.target.max_in_flight
        lanes.live.draining = True
        front.data_received(raw)
        assert elsewhere.take() == raw
        assert lanes.up.take() == b""
        lanes.close()

    asyncio.run(scene())


def test_who_cannot_be_heard_of_is_not_known() -> None:
    async def scene() -> None:
        lanes = Lanes("alice")
        front, _, elsewhere = lanes.browser()
        raw = request(*RAW, lanes.jars["alice"])
        front.data_received(raw)
        lanes.kept.data_received(ANSWER % (0, b"x", b""))
        assert lanes.up.take()
        lanes.ended._listener.hears = False
        front.data_received(raw)
        assert lanes.up.take() == b""
        assert elsewhere.take() == raw
        lanes.close()

    asyncio.run(scene())


def test_an_answer_that_streams_leaves_nothing_remembered() -> None:
    async def scene() -> None:
        lanes = Lanes("alice")
        front, _, _ = lanes.browser()
        front.data_received(request(*RAW, lanes.jars["alice"]))
        assert front.memo is not None
        lanes.kept.data_received(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert front.memo is None
        front.data_received(b"early")
        lanes.kept.data_received(b"0\r\n\r\n")
        assert not front._quiet
        lanes.close()

    asyncio.run(scene())


async def test_requests_of_a_kind_go_the_short_way_in_a_real_gateway(
    databases: Databases,
) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer()

    async with (
        fake_upstream(script) as upstream,
        with_proxy(databases, upstreams=[upstream.url]).running() as world,
        world.signed_in() as alice,
        tab(world, alice) as one,
    ):
        ways = Ways(world.app)
        for path in ("/graph/ok", "/graph/info", "/graph/threads/t", "/graph/ok"):
            await one.ask(path)
            assert (await one.answer())[0] == 200
        assert ways.repeats == 3
        await one.ask("/graph/docs")
        assert (await one.answer())[0] == 404
        await one.ask("/graph/ok")
        assert (await one.answer())[0] == 200
        assert ways.repeats == 3  # aiohttp answered in between
        await one.ask("/graph/ok")
        assert (await one.answer())[0] == 200
        assert ways.repeats == 4


def test_what_may_be_read_may_not_be_changed_for_that() -> None:
    """A browser that does not say where it is may read; CSRF is what else it might."""

    async def scene() -> None:
        lanes = Lanes("alice")
        front, _, elsewhere = lanes.browser()
        for method in ("GET", "DELETE", "GET", "DELETE"):
            raw = request(
                method, "/graph/threads/t", lanes.host, lanes.jars["alice"]
            ).replace(b"Sec-Fetch-Site: same-origin\r\n", b"")
            front.data_received(raw)
            sent = lanes.up.take()
            assert bool(sent) is (method == "GET")
            if sent:
                lanes.kept.data_received(ANSWER % (0, b"x", b""))
            assert elsewhere.take() == (b"" if sent else raw)
            if sent:
                # The next one finds the connection at rest, and its fields known.
                assert front._quiet
        lanes.close()

    asyncio.run(scene())


def test_a_browser_that_fetches_nothing_is_not_served_on_for_being_known() -> None:
    async def scene() -> None:
        lanes = Lanes("alice")
        front, _, _ = lanes.browser()
        raw = request(*RAW, lanes.jars["alice"])
        front.data_received(raw)
        assert lanes.up.take()
        front.pause_writing()
        lanes.kept.data_received(ANSWER % (0, b"x", b""))
        front.data_received(raw)
        assert lanes.up.take() == b""
        front.resume_writing()
        await asyncio.sleep(0)
        assert lanes.up.take()
        front.connection_lost(None)
        lanes.close()

    asyncio.run(scene())


def test_what_is_known_does_not_overtake_what_came_before_it() -> None:
    async def scene() -> None:
        lanes = Lanes("alice")
        front, _, _ = lanes.browser()
        first, second, third = (
            request("GET", f"/graph/threads/{name}", lanes.host, lanes.jars["alice"])
            for name in ("first", "second", "third")
        )
        front.data_received(first)
        assert lanes.up.take().startswith(b"GET /threads/first ")
        front.data_received(second[:20])
        lanes.kept.data_received(ANSWER % (0, b"x", b""))
        # In one turn of the loop, before anybody has looked at what is early.
        front.data_received(second[20:])
        assert lanes.up.take() == b""
        await asyncio.sleep(0)
        assert lanes.up.take().startswith(b"GET /threads/second ")
        lanes.kept.data_received(ANSWER % (0, b"x", b""))
        front.data_received(third)
        assert lanes.up.take().startswith(b"GET /threads/third ")
        lanes.kept.data_received(ANSWER % (0, b"x", b""))
        front.connection_lost(None)
        lanes.close()

    asyncio.run(scene())


def test_a_whole_request_does_not_overtake_either() -> None:
    async def scene() -> None:
        lanes = Lanes("alice")
        front, _, elsewhere = lanes.browser()
        first, second, third = (
            request("GET", f"/graph/threads/{name}", lanes.host, lanes.jars["alice"])
            for name in ("first", "second", "third")
        )
        front.data_received(first)
        assert lanes.up.take()
        front.data_received(second)
        lanes.kept.data_received(ANSWER % (0, b"x", b""))
        front.data_received(third)
        assert lanes.up.take() == b""
        await asyncio.sleep(0)
        # Both at once: where one ends is for aiohttp to say.
        assert lanes.up.take() == b""
        assert elsewhere.take() == second + third
        lanes.close()

    asyncio.run(scene())
