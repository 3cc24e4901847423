"""What a connection and an answer hold, and for how long."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from bff.graph_passage import Passage
from bff.graph_passing import Passing
from tests.bff.lanes import Lanes, request
from tests.graph_proxy.world import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.front import Front

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
PATH = "/graph/threads/1/state"


@pytest.fixture
async def lanes() -> AsyncGenerator[Lanes]:
    made = Lanes("ann")
    yield made
    made.close()


def get(lanes: Lanes, *fields: str) -> bytes:
    return request("GET", PATH, lanes.host, lanes.jars["ann"], *fields)


def post(lanes: Lanes, body: bytes, host: str = Lanes.host) -> bytes:
    return request("POST", "/graph/threads", host, lanes.jars["ann"], body=body)


def answered(lanes: Lanes, *fields: str) -> Front:
    """Return a connection that had an answer."""
    front, _, _ = lanes.browser()
    front.data_received(get(lanes, *fields))
    assert lanes.up.take()
    lanes.kept.data_received(OK)
    return front


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_request_is_held_only_if_it_may_be_sent_again(
    lanes: Lanes, method: str
) -> None:
    front, _, _ = lanes.browser()
    path = "/graph/threads" if method == "POST" else "/graph/threads/t"
    raw = request(method, path, lanes.host, lanes.jars["ann"], body=b"x" * 100)
    front.data_received(raw)
    exchange: Any = front._exchange
    assert lanes.up.take().endswith(b"x" * 100)
    is_held = method == "GET"
    assert (exchange._raw == raw) is is_held
    assert bool(exchange._body) is bool(exchange._lines) is is_held
    assert bool(exchange._raw) is is_held
    # It is still waited for, and no longer once it is over.
    assert list(lanes.proxy.heads_due._due) == [exchange]
    exchange.cut()
    assert not lanes.proxy.heads_due._due


async def test_who_has_a_websocket_is_forgotten(lanes: Lanes) -> None:
    front = answered(lanes)
    assert isinstance(front.memo, Passage)
    front.data_received(b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n")
    assert front._given_away
    assert front.memo is None
    assert not lanes.ended._live


async def test_a_session_that_ends_is_forgotten_on_connections_that_rest(
    lanes: Lanes,
) -> None:
    fronts = [answered(lanes), answered(lanes)]
    sid = lanes.tickets["ann"].sid
    assert lanes.ended.count(sid) == 2
    fronts[0].connection_lost(None)
    assert lanes.ended.count(sid) == 1
    lanes.ended.end(sid)
    assert fronts[1].memo is None
    assert not fronts[1]._quiet
    assert not lanes.ended._live


async def test_other_fields_take_the_place_of_the_last(lanes: Lanes) -> None:
    front = answered(lanes)
    front.data_received(get(lanes, "Accept: a/b"))
    lanes.kept.data_received(OK)
    assert lanes.ended.count(lanes.tickets["ann"].sid) == 1


async def test_long_fields_are_not_remembered(lanes: Lanes) -> None:
    assert answered(lanes, "X: " + "x" * 5000).memo is not None
    assert answered(lanes, "X: " + "x" * 8192).memo is None


async def test_a_body_is_awaited_for_whoever_would_be_answered(lanes: Lanes) -> None:
    front, _, elsewhere = lanes.browser()
    raw = post(lanes, b"x" * 1000)
    front.data_received(raw[:-10])
    assert not elsewhere.take()
    assert not lanes.up.take()
    front.data_received(raw[-10:])
    assert lanes.up.take().endswith(b"x" * 1000)
    assert front._timer is not None
    front._timer.cancel()


@pytest.mark.parametrize("wrong", ["host", "cookie", "path", "session", "size"])
async def test_a_body_that_would_be_refused_is_not_held(
    lanes: Lanes, wrong: str
) -> None:
    front, _, elsewhere = lanes.browser()
    raw = post(lanes, b"x" * (300_000 if wrong == "size" else 1000))
    if wrong == "host":
        raw = post(lanes, b"x" * 1000, "elsewhere.test")
    elif wrong == "cookie":
        raw = raw.replace(b"Cookie: ", b"Cookie: x")
    elif wrong == "path":
        raw = raw.replace(b"/graph/threads ", b"/graph/internal ")
    elif wrong == "session":
        lanes.ended.end(lanes.tickets["ann"].sid)
    front.data_received(raw[:-10])
    assert elsewhere.take() == raw[:-10]
    front.data_received(raw[-10:])
    assert elsewhere.take() == raw[-10:]
    assert not front._given_away


def fails(*_: object) -> None:
    raise RuntimeError("a test's own")


@pytest.mark.parametrize("broken", [False, True])
async def test_an_answer_that_cannot_be_counted_out_breaks_the_browsers_connection(
    lanes: Lanes,
    broken: bool,  # noqa: FBT001 - a switch
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    front, wire, _ = lanes.browser()
    front.data_received(post(lanes, b"{}"))
    monkeypatch.setattr(Passing, "_leave", fails)
    end = partial(lanes.kept.data_received, OK)
    if broken:
        end = partial(lanes.kept.connection_lost, None)
    with pytest.raises(RuntimeError, match="a test's own"):
        end()
    assert wire.closed
    assert not front.busy


async def test_nor_does_one_that_was_never_asked_for_wait_for_ever(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    front, _, elsewhere = lanes.browser()
    raw = get(lanes)
    front.data_received(raw)
    monkeypatch.setattr(Passing, "_leave", fails)
    lanes.kept.connection_lost(None)  # nobody is there to be asked again
    await until(lambda: elsewhere.got)
    assert elsewhere.take() == raw
    assert not front.busy


@pytest.mark.parametrize(
    ("peer", "address"),
    [("::ffff:192.0.2.7", "192.0.2.7"), ("192.0.2.7", "192.0.2.7"), ("::1", "::1")],
)
@pytest.mark.parametrize("fields", [[], ["X-Forwarded-For: 198.51.100.1"]])
async def test_the_address_that_goes_up_is_written_as_everywhere(
    lanes: Lanes, peer: str, address: str, fields: list[str]
) -> None:
    front, _, _ = lanes.browser()
    front.peer = peer
    front.data_received(get(lanes, *fields))
    assert f"X-Forwarded-For: {address}\r\n".encode() in lanes.up.take()
