"""Streams through /graph/*: limited, cut with their session, drained."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from typing import TYPE_CHECKING

import aiohttp
import pytest

from bff.graph import LIVE
from bff.serve import drain
from tests.bff.proxied import BOTH_WAYS, STREAM, streaming, with_proxy
from tests.bff.rawserver import listening
from tests.bff.waiting import until

if TYPE_CHECKING:
    from tests.databases import Databases
    from tests.world import World

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@BOTH_WAYS
async def test_a_session_s_streams_are_limited(
    databases: Databases, heartbeat: float | None
) -> None:
    async with (
        with_proxy(
            databases, heartbeat=heartbeat, max_streams_per_session=1
        ).running() as world,
        world.signed_in() as browser,
        world.signed_in("dave@acme.test") as other,
    ):
        async with streaming(browser):
            answer = await browser.get(STREAM)
            assert (answer.status, (await answer.json())["code"]) == (
                429,
                "too_many_streams",
            )
            assert answer.headers["Retry-After"]
            async with streaming(other):
                pass

        async def free() -> bool:
            return not world.app[LIVE].by_session

        await until(free)
        async with streaming(browser):
            pass


async def test_a_tenant_s_streams_are_limited_over_all_its_people(
    databases: Databases,
) -> None:
    async with (
        with_proxy(databases, max_streams_per_tenant=1).running() as world,
        world.signed_in() as browser,
        world.signed_in("dave@acme.test") as colleague,
        world.signed_in("bob@globex.test") as foreigner,
        streaming(browser),
    ):
        assert (await colleague.get(STREAM)).status == 429
        async with streaming(foreigner):
            pass


@BOTH_WAYS
async def test_answers_that_have_not_begun_count_as_well(
    databases: Databases, heartbeat: float | None
) -> None:
    asked = asyncio.Event()

    async def thinking(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    async with (
        listening(thinking) as place,
        with_proxy(
            databases, heartbeat=heartbeat, upstreams=[place], max_streams_per_session=1
        ).running() as world,
        world.signed_in() as browser,
    ):
        waiting = asyncio.ensure_future(browser.post("/graph/threads/t/runs/wait"))
        await asked.wait()
        assert (await browser.post("/graph/threads/t/runs/wait")).status == 429
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

        async def free() -> bool:
            return not world.app[LIVE].by_session

        await until(free)


@BOTH_WAYS
async def test_a_session_that_ends_while_the_graph_thinks_gets_no_answer(
    databases: Databases, heartbeat: float | None
) -> None:
    asked, answer_now = asyncio.Event(), asyncio.Event()

    async def thinking(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await answer_now.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        await reader.read()

    async with (
        listening(thinking) as place,
        with_proxy(
            databases, heartbeat=heartbeat, upstreams=[place]
        ).running() as world,
        world.signed_in() as browser,
    ):
        waiting = asyncio.ensure_future(browser.post("/graph/threads/t/runs/wait"))
        await asked.wait()
        assert (await browser.post("/auth/logout")).status == 204
        answer_now.set()
        with pytest.raises(aiohttp.ClientError):
            await (await waiting).read()


@BOTH_WAYS
async def test_signing_out_cuts_the_open_stream(
    databases: Databases, heartbeat: float | None
) -> None:
    async with (
        with_proxy(databases, heartbeat=heartbeat).running() as world,
        world.signed_in() as browser,
        streaming(browser) as answer,
    ):
        assert (await browser.post("/auth/logout")).status == 204

        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(answer.read(), 5)


@BOTH_WAYS
async def test_draining_refuses_the_new_and_gives_the_open_their_time(
    databases: Databases, heartbeat: float | None
) -> None:
    async with (
        with_proxy(databases, heartbeat=heartbeat).running() as world,
        world.signed_in() as browser,
        streaming(browser) as answer,
    ):
        loop = asyncio.get_running_loop()
        began = loop.time()
        draining = asyncio.ensure_future(drain(world.app, 0.5))
        await asyncio.sleep(0.05)

        refused = await browser.get(STREAM)
        assert refused.status == 503
        assert (await refused.json())["code"] == "shutting_down"
        assert refused.headers["Retry-After"]
        assert await answer.content.readany()  # still alive

        await draining
        assert loop.time() - began >= 0.49
        world.app[LIVE].cut_all()
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(answer.read(), 5)


async def test_draining_is_over_with_the_last_stream(world: World) -> None:
    async with world.signed_in() as browser:
        async with streaming(browser):
            draining = asyncio.ensure_future(drain(world.app, 30))
            await asyncio.sleep(0.05)
            assert not draining.done()
        await asyncio.wait_for(draining, 5)
    await asyncio.wait_for(drain(world.app, 30), 1)  # nothing streams: at once


@BOTH_WAYS
async def test_at_shutdown_what_may_not_be_sent_twice_is_said_to_be_lost(
    databases: Databases, heartbeat: float | None
) -> None:
    asked = asyncio.Event()

    async def thinking(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        del writer
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    async with (
        listening(thinking) as place,
        with_proxy(
            databases, upstreams=[place], heartbeat=heartbeat
        ).running() as world,
        world.signed_in() as browser,
    ):
        waiting = asyncio.ensure_future(browser.post("/graph/threads/t/runs/wait"))
        await asked.wait()
        world.app[LIVE].draining = True
        world.app[LIVE].cut_all()
        answer = await waiting
        # A broken connection would let a browser send it to the next replica.
        assert (answer.status, (await answer.json())["code"]) == (409, "answer_lost")
        assert not world.app[LIVE].total


async def test_beyond_what_a_process_can_hold_it_says_503(
    databases: Databases,
) -> None:
    async with (
        with_proxy(databases, max_in_flight=1).running() as world,
        world.signed_in() as browser,
        world.signed_in("bob@globex.test") as another,
        streaming(browser),
    ):
        answer = await another.get("/graph/threads/t/stream")

    assert (answer.status, (await answer.json())["code"]) == (503, "too_busy")
    assert answer.headers["Retry-After"]


async def test_a_websocket_on_another_replica_is_cut_when_its_session_ends(
    databases: Databases,
) -> None:
    gone = asyncio.Event()

    async def socket_server(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = re.findall(rb"(?i)sec-websocket-key: (\S+)", head)[0]
        # RFC 6455, 4.2.2: a checksum that proves nothing.
        proof = hashlib.sha1(key + GUID, usedforsecurity=False).digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
            % base64.b64encode(proof)
        )
        await reader.read()
        gone.set()

    async with (
        listening(socket_server) as place,
        with_proxy(databases, upstreams=[place]).running() as world,
        world.another_gateway() as other,
        world.signed_in() as browser,
        world.browser(other) as second,
    ):
        second.set_cookies(browser.cookies)
        host = world.url.removeprefix("http://")
        async with second.session.ws_connect(
            f"{other}/graph/threads/t/stream/events",
            headers={"Origin": world.url, "Host": host},
        ) as tunnel:
            assert (await browser.post("/auth/logout")).status == 204
            async with asyncio.timeout(5):  # promised: one second
                said = await tunnel.receive()
                await gone.wait()

    assert said.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
