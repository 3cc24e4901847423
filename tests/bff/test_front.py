"""Which way each request of a connection goes, and that no byte is lost between."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp import WSMsgType, web

import bff.front
import bff.wire
from bff import config
from bff.express import EXPRESS
from bff.gathering import MOST_PIECES
from bff.wire import GatewayRunner, QuietServer
from tests.graph_proxy.world import SOON, Browser, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.config import Config
    from bff.front import Front
    from graph_proxy.incoming import Incoming


def told(method: str, target: str, body: bytes) -> bytes:
    """Say what was asked for, in a few bytes."""
    digest = hashlib.sha256(body).hexdigest()
    return f"{method} {target} {len(body)} {digest}".encode()


class Answer:
    """Answers on the direct way as its target tells it to."""

    def __init__(self, front: Front, asked: Incoming, express: Straight) -> None:
        self.front, self.asked, self.express = front, asked, express
        self.paused = False
        self.was_cut = False

    def start(self) -> None:
        self.express.under_way.append(self)
        if self.asked.target.endswith("/leave"):
            asyncio.get_running_loop().call_soon(self.leave)
        elif self.asked.target.endswith("/break"):
            self.front.break_off()
        elif not self.asked.target.endswith("/slow"):
            self.finish()

    def finish(self, body: bytes | None = None) -> None:
        asked = self.asked
        if body is None:
            body = told(asked.method, asked.target, asked.body)
        head = b"HTTP/1.1 200 OK\r\nX-Way: direct\r\nContent-Length: %d\r\n\r\n"
        self.front.send(head % len(body) + body)
        self.front.answered()

    def leave(self) -> None:
        self.front.leave(self.asked.raw)

    def cut(self) -> None:
        self.was_cut = True
        self.front.break_off(at_once=True)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False


class Straight:
    """Takes what begins with /direct."""

    max_head = 32 * 1024

    def __init__(self) -> None:
        self.under_way: list[Answer] = []

    def take(self, front: Front, asked: Incoming) -> Answer | None:
        if not asked.target.startswith("/direct"):
            return None
        return Answer(front, asked, self)

    def wants(self, _: Front, asked: Incoming) -> bool:
        return asked.target.startswith("/direct")

    def again(self, front: Front, data: bytes) -> Answer | None:
        raise AssertionError(front, data)  # nothing was left to remember


class Here:
    """A server whose requests go both ways."""

    def __init__(self, runner: GatewayRunner, express: Straight) -> None:
        self.runner = runner
        self.express = express
        self.browsers: list[Browser] = []

    @property
    def server(self) -> QuietServer:
        server = self.runner.server
        assert isinstance(server, QuietServer)
        return server

    async def browser(self) -> Browser:
        port = self.runner.addresses[0][1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        browser = Browser(reader, writer)
        self.browsers.append(browser)
        return browser


async def front_of(here: Here) -> Front:
    await until(lambda: here.server._fronts)
    (front,) = here.server._fronts
    return front


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.Response(
        body=told(request.method, request.raw_path, body), headers={"X-Way": "aiohttp"}
    )


async def large(_: web.Request) -> web.StreamResponse:
    stream = web.StreamResponse()
    await stream.prepare(_)
    for _n in range(2000):
        await stream.write(b"x" * 65536)
    return stream


async def sleepy(request: web.Request) -> web.Response:
    await asyncio.sleep(0.05)
    return await echo(request)


async def talk(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
    return socket


@pytest.fixture
async def here() -> AsyncGenerator[Here]:
    express = Straight()
    async with serving(express) as made:
        yield made


class serving:  # noqa: N801 - used like a function
    """Serve an application with or without a direct way."""

    def __init__(self, express: Straight | None) -> None:
        self.express = express

    async def __aenter__(self) -> Here:
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/large", large)
        app.router.add_get("/talk", talk)
        app.router.add_route("*", "/sleepy", sleepy)
        app.router.add_route("*", "/{tail:.*}", echo)
        if self.express is not None:
            app[EXPRESS] = self.express
        settings: Config = config.Config.model_construct()
        self.runner = GatewayRunner(app, settings.server)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.here = Here(self.runner, self.express or Straight())
        return self.here

    async def __aexit__(self, *_: object) -> None:
        for browser in self.here.browsers:
            await browser.leave()
        await self.runner.cleanup()


async def heard(browser: Browser, way: str, expected: bytes) -> None:
    status, headers, body = await browser.answer()
    assert (status, headers.get("x-way"), body) == (200, way, expected)


def request(target: str, body: bytes | None = None, *fields: str) -> bytes:
    method = "GET" if body is None else "POST"
    lines = [f"{method} {target} HTTP/1.1", "Host: x", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "\r\n"]).encode() + (body or b"")


async def asked(
    browser: Browser, way: str, target: str, body: bytes | None = None
) -> None:
    await browser.send(request(target, body))
    await heard(
        browser, way, told("GET" if body is None else "POST", target, body or b"")
    )


async def test_requests_alternate_on_one_connection(here: Here) -> None:
    browser = await here.browser()
    for _ in range(3):
        await asked(browser, "direct", "/direct/1")
        await asked(browser, "direct", "/direct/2", b"{}")
        await asked(browser, "aiohttp", "/other")
        await asked(browser, "aiohttp", "/sleepy", b"body")
        await asked(browser, "direct", "/direct/3")
        await asked(browser, "aiohttp", "/other", b"x" * 100_000)
        await asked(browser, "aiohttp", "/direct", b"x" * 500_000)
    await asked(browser, "direct", "/direct/4")


@pytest.mark.parametrize(
    ("way", "target", "body"),
    [
        ("direct", "/direct/x", None),
        ("direct", "/direct/x", b"some\r\n\r\nbody"),
        ("aiohttp", "/other", None),
        ("aiohttp", "/other", b"some\r\n\r\nbody"),
    ],
)
async def test_a_request_may_be_cut_at_every_byte(
    here: Here, way: str, target: str, body: bytes | None
) -> None:
    browser = await here.browser()
    raw = request(target, body, "Cookie: a=b")
    expected = told("GET" if body is None else "POST", target, body or b"")
    for at in range(1, len(raw)):
        browser.writer.write(raw[:at])
        await asyncio.sleep(0.001)
        browser.writer.write(raw[at:])
        await heard(browser, way, expected)


async def test_a_head_in_many_pieces_is_aiohttps(here: Here) -> None:
    browser = await here.browser()
    await browser.send(b"GET /direct/1 HTTP/1.1\r\n")
    front = await front_of(here)
    await until(lambda: front._gathering._data)
    for _ in range(MOST_PIECES):
        # As the transport would call it: no two pieces come as one.
        front.data_received(b"X")
    assert front._given_away
    front.data_received(b": y\r\nHost: x\r\n\r\n")
    await heard(browser, "aiohttp", told("GET", "/direct/1", b""))


async def test_an_odd_request_stays_with_aiohttp_and_so_do_those_behind_it(
    here: Here,
) -> None:
    browser = await here.browser()
    await asked(browser, "direct", "/direct/1")
    await browser.send(
        b"POST /direct/2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n"
    )
    await browser.send(b"0\r\n\r\n")
    await heard(browser, "aiohttp", told("POST", "/direct/2", b"abc"))
    await asked(browser, "aiohttp", "/direct/3")


async def test_pipelined_requests_are_answered_in_order(here: Here) -> None:
    targets = ["/direct/1", "/other", "/direct/2", "/sleepy", "/direct/3"]
    browser = await here.browser()
    await browser.send(b"".join(map(request, targets)))
    for target in targets:
        await heard(browser, "aiohttp", told("GET", target, b""))


@pytest.mark.parametrize("size", [0, 10, 60_000])
async def test_a_request_behind_an_unfinished_direct_answer_waits_its_turn(
    here: Here, size: int
) -> None:
    browser = await here.browser()
    body = os.urandom(size)
    raw = request("/direct/2", body)
    for at in (1, 30, len(raw) // 2, len(raw)):
        await browser.send(request("/direct/slow"))
        await until(lambda: here.express.under_way)
        sending = asyncio.create_task(browser.send(raw[:at]))
        await asyncio.sleep(0.02)
        (slow,) = here.express.under_way
        here.express.under_way.clear()
        browser.writer.write(raw[at:])
        slow.finish()
        await sending
        await heard(browser, "direct", told("GET", "/direct/slow", b""))
        await heard(browser, "direct", told("POST", "/direct/2", body))
        here.express.under_way.clear()


async def test_what_comes_in_the_moment_an_answer_ends_stays_behind_the_earlier(
    here: Here,
) -> None:
    browser = await here.browser()
    await browser.send(request("/direct/slow"))
    await until(lambda: here.express.under_way)
    (slow,) = here.express.under_way
    raw = request("/direct/2", b"abcdef")
    # As the transport would call it, without a turn of the loop in between.
    slow.front.data_received(raw[:20])
    slow.finish()
    slow.front.data_received(raw[20:])
    await heard(browser, "direct", told("GET", "/direct/slow", b""))
    await heard(browser, "direct", told("POST", "/direct/2", b"abcdef"))


async def test_a_request_behind_an_unfinished_aiohttp_answer_waits_too(
    here: Here,
) -> None:
    browser = await here.browser()
    await browser.send(request("/sleepy"))
    await asyncio.sleep(0.01)
    await browser.send(request("/direct/1"))
    await heard(browser, "aiohttp", told("GET", "/sleepy", b""))
    await heard(browser, "aiohttp", told("GET", "/direct/1", b""))


@pytest.mark.parametrize(("size", "way"), [(1000, "direct"), (5_000_000, "aiohttp")])
async def test_a_body_may_arrive_later(here: Here, size: int, way: str) -> None:
    browser = await here.browser()
    body = os.urandom(size)
    raw = request("/direct/x", body)
    end = len(raw) - size
    for _ in range(2):
        await browser.send(raw[:end])
        await asyncio.sleep(0.02)
        half = end + size // 2
        await browser.send(raw[end:half])
        await asyncio.sleep(0.02)
        await browser.send(raw[half:])
        await heard(browser, way, told("POST", "/direct/x", body))
    await asked(browser, "direct", "/direct/y")


async def test_what_stands_behind_a_large_body_is_aiohttps(here: Here) -> None:
    browser = await here.browser()
    body = os.urandom(400_000)
    raw = request("/direct/1", body)
    await browser.send(raw[:300_000])
    await asyncio.sleep(0.02)
    await browser.send(raw[300_000:] + request("/direct/2"))
    await heard(browser, "aiohttp", told("POST", "/direct/1", body))
    await heard(browser, "aiohttp", told("GET", "/direct/2", b""))


async def test_what_is_left_goes_to_aiohttp_with_all_behind_it(here: Here) -> None:
    browser = await here.browser()
    await asked(browser, "aiohttp", "/direct/leave")
    await asked(browser, "direct", "/direct/1")
    await asked(browser, "aiohttp", "/direct/leave", b"body")

    await browser.send(request("/direct/slow"))
    await until(lambda: len(here.express.under_way) == 4)
    slow = here.express.under_way[-1]
    early = request("/direct/2", os.urandom(60_000))
    sending = asyncio.create_task(browser.send(early))
    await asyncio.sleep(0.05)
    slow.leave()
    await sending
    await heard(browser, "aiohttp", told("GET", "/direct/slow", b""))
    await heard(browser, "aiohttp", told("POST", "/direct/2", early[-60_000:]))


async def test_a_browser_that_sends_much_ahead_is_broken_off(here: Here) -> None:
    browser = await here.browser()
    await browser.send(request("/direct/slow"))
    await until(lambda: here.express.under_way)
    (slow,) = here.express.under_way
    browser.writer.write(request("/other", b"x" * 300_000))
    await until(lambda: slow.was_cut)
    await until(lambda: not here.server._fronts)


async def test_one_that_left_having_sent_a_little_ahead_is_noticed(
    here: Here,
) -> None:
    browser = await here.browser()
    await browser.send(request("/direct/slow"))
    await until(lambda: here.express.under_way)
    (slow,) = here.express.under_way
    await browser.send(request("/other", b"x" * 60_000))
    await until(lambda: len(slow.front._early) > 60_000)
    browser.writer.transport.abort()
    await until(lambda: slow.was_cut)


async def test_nobody_reads_on_behind_aiohttps_back(here: Here) -> None:
    browser = await here.browser()
    await browser.send(request("/direct/slow"))
    await until(lambda: here.express.under_way)
    (slow,) = here.express.under_way
    front = slow.front
    front.data_received(request("/other", b"x")[:-1])
    transport = front.transport
    assert transport is not None
    slow.finish()
    # Twice it is said to go on; in between aiohttp has enough for now.
    asyncio.get_running_loop().call_soon(transport.pause_reading)
    front.pause_writing()
    front.resume_writing()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not transport.is_reading()
    transport.resume_reading()
    await browser.send(b"x")
    await heard(browser, "direct", told("GET", "/direct/slow", b""))
    await heard(browser, "aiohttp", told("POST", "/other", b"x"))


async def test_a_browsers_host_that_vanished_is_noticed_in_minutes(
    here: Here,
) -> None:
    browser = await here.browser()
    await asked(browser, "direct", "/direct/1")
    transport = (await front_of(here)).transport
    assert transport is not None
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 5


async def test_a_body_that_would_be_refused_is_not_waited_for(here: Here) -> None:
    browser = await here.browser()
    raw = request("/other", b"x" * 1000)
    await browser.send(raw[:-900])
    front = await front_of(here)
    await until(lambda: front._missing == 900)
    await browser.send(raw[-900:])
    await heard(browser, "aiohttp", told("POST", "/other", b"x" * 1000))


async def test_an_answer_that_breaks_off_breaks_the_connection(here: Here) -> None:
    browser = await here.browser()
    await browser.send(request("/direct/break"))
    assert (await browser.rest())[0] == b""


@pytest.mark.parametrize("at_once", [False, True])
async def test_what_was_sent_before_a_break_arrives_unless_it_is_at_once(
    here: Here,
    at_once: bool,  # noqa: FBT001 - a switch
) -> None:
    browser = await here.browser()
    await browser.send(request("/direct/slow"))
    await until(lambda: here.express.under_way)
    front = here.express.under_way[0].front
    front.send(b"x" * 30_000_000)
    front.break_off(at_once=at_once)
    sent, _ = await browser.rest()
    assert (len(sent) == 30_000_000) is not at_once
    await until(lambda: not here.server._fronts)


async def test_a_browser_that_leaves_cuts_its_answer(here: Here) -> None:
    browser = await here.browser()
    await browser.send(request("/direct/slow"))
    await until(lambda: here.express.under_way)
    await browser.leave()
    await until(lambda: here.express.under_way[0].was_cut)
    await until(lambda: not here.server._fronts)


async def test_a_slow_reader_pauses_whoever_answers_now(here: Here) -> None:
    browser = await here.browser()
    await browser.send(request("/direct/slow"))
    await until(lambda: here.express.under_way)
    (slow,) = here.express.under_way
    slow.front.send(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n")
    slow.front.send(b"x" * 30_000_000)
    assert slow.paused
    slow.front.answered()
    # While the browser does not fetch what is there, nobody is asked for more.
    slow.front.data_received(request("/direct/slow"))
    assert len(here.express.under_way) == 1
    status, _, body = await browser.answer()
    assert (status, len(body)) == (200, 30_000_000)
    await until(lambda: len(here.express.under_way) > 1)
    second = here.express.under_way[1]
    second.front.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    second.front.send(b"ok")
    second.front.answered()
    assert (await browser.answer())[2] == b"ok"


async def test_aiohttp_waits_as_well_for_what_a_direct_answer_left(here: Here) -> None:
    browser = await here.browser()
    await browser.send(request("/direct/slow"))
    await until(lambda: here.express.under_way)
    (slow,) = here.express.under_way
    slow.front.send(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n")
    slow.front.send(b"x" * 30_000_000)
    slow.front.answered()
    slow.front.data_received(request("/large"))
    transport = slow.front.transport
    assert transport is not None
    await asyncio.sleep(0.3)
    assert transport.get_write_buffer_size() < 31_000_000
    assert len((await browser.answer())[2]) == 30_000_000
    assert len((await browser.answer())[2]) == 2000 * 65536


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\0\x01\0\r\n\r\n",
        b"HELO there\r\n\r\n",
        b"GET / ICE/1.0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("before", [False, True])
async def test_garbage_is_answered_400(
    here: Here,
    garbage: bytes,
    before: bool,  # noqa: FBT001 - a switch
) -> None:
    browser = await here.browser()
    if before:
        await asked(browser, "direct", "/direct/1")
    await browser.send(garbage)
    status, headers, _ = await browser.answer()
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert (await browser.rest())[0] == b""


async def test_a_head_without_end_is_answered_431(here: Here) -> None:
    browser = await here.browser()
    await browser.send(
        b"GET /direct/1 HTTP/1.1\r\nHost: x\r\nCookie: " + b"x" * 300_000
    )
    status, _, _ = await browser.answer()
    assert status == 431


@pytest.mark.parametrize(
    "begun", [b"", b"GET /direct HTTP/1.1\r\nHost: x\r\n", b"HELO", b"\r\n"]
)
async def test_half_a_head_is_waited_for_so_long(
    here: Here, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bff.front, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(bff.wire, "HEAD_SECONDS", 0.2)
    browser = await here.browser()
    await browser.send(begun)
    assert (await browser.rest())[0] == b""


@pytest.mark.parametrize("first", ["/direct/1", "/other"])
async def test_half_a_head_behind_an_answer_as_well(
    here: Here, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bff.front, "HEAD_SECONDS", 0.2)
    browser = await here.browser()
    await browser.send(request(first))
    await browser.answer()
    await browser.send(b"GET /direct HTTP/1.1\r\nHost: x\r\n")
    assert (await browser.rest())[0] == b""


async def test_a_half_head_gets_all_of_its_time_whatever_came_before(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bff.front, "HEAD_SECONDS", 1.0)
    browser = await here.browser()
    raw = request("/direct/1")
    for _ in range(4):
        await browser.send(raw[:30])
        await asyncio.sleep(0.4)
        await browser.send(raw[30:])
        await heard(browser, "direct", told("GET", "/direct/1", b""))


async def test_a_connection_between_requests_may_rest(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bff.front, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(bff.wire, "HEAD_SECONDS", 0.1)
    browser = await here.browser()
    for way, target in (("direct", "/direct/1"), ("aiohttp", "/other")):
        await asked(browser, way, target)
        await asyncio.sleep(0.3)
    await asked(browser, "direct", "/direct/1")


async def test_but_not_for_ever(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bff.front, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(bff.front, "IDLE_SECONDS", 0.3)
    browser = await here.browser()
    await asked(browser, "direct", "/direct/1")
    assert (await browser.rest())[0] == b""


async def test_a_silent_answer_is_not_idleness(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bff.front, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(bff.front, "IDLE_SECONDS", 0.1)
    browser = await here.browser()
    await browser.send(request("/direct/slow"))
    await asyncio.sleep(0.4)
    here.express.under_way[0].finish(b"late")
    await heard(browser, "direct", b"late")


async def test_without_a_direct_way_a_connection_rests_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bff.front, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(bff.wire, "HEAD_SECONDS", 0.1)
    async with serving(None) as here:
        browser = await here.browser()
        for _ in range(2):
            await asked(browser, "aiohttp", "/direct/1")
            await asyncio.sleep(0.3)
        silent = await here.browser()
        assert (await silent.rest())[0] == b""


async def test_a_slow_body_goes_to_aiohttp_piece_by_piece(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bff.front, "HEAD_SECONDS", 0.1)
    browser = await here.browser()
    raw = request("/direct/x", b"abcdef")
    for _ in range(2):
        await browser.send(raw[:-4])
        await asyncio.sleep(0.3)
        await browser.send(raw[-4:-2])
        await asyncio.sleep(0.05)
        await browser.send(raw[-2:])
        await heard(browser, "aiohttp", told("POST", "/direct/x", b"abcdef"))
        await asked(browser, "direct", "/direct/y")


async def test_a_websocket_may_follow_direct_requests(here: Here) -> None:
    browser = await here.browser()
    await asked(browser, "direct", "/direct/1")
    await asked(browser, "aiohttp", "/other")
    key = base64.b64encode(b"0123456789abcdef").decode()
    await browser.ask(
        "/talk",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    )
    assert (await browser.head())[0] == 101
    # A text that would be a request, masked with zeros as a browser never would.
    text = request("/direct/x")
    assert len(text) < 126
    for _ in range(2):
        await browser.send(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
        assert await browser.reader.readexactly(2 + len(text)) == (
            bytes([0x81, len(text)]) + text
        )
    assert len(here.express.under_way) == 1


async def test_shutting_down_closes_what_is_idle_on_either_way(here: Here) -> None:
    fresh, direct, other, half = [await here.browser() for _ in range(4)]
    await asked(direct, "direct", "/direct/1")
    await asked(other, "aiohttp", "/other")
    await half.send(b"GET /direct HTTP/1.1\r\n")
    await until(lambda: len(here.server._fronts) == 4)

    await here.runner.shutdown()
    await asyncio.wait_for(here.server.shutdown(1.0), SOON + 1)

    for browser in (fresh, direct, other, half):
        assert (await browser.rest())[0] == b""
    await until(lambda: not here.server._fronts)
