"""A real LangGraph server is killed, stopped, silent, cut off or slow in mid-stream.

And the gateway between it and the browser is killed, with another one at hand.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import pytest

from bff.dev import demo
from bff.dev.provider import Provider, Realm, serving
from tests.faults.own_langgraph import GATEWAY_KEY, OwnLangGraph, own_langgraph
from tests.faults.shim import Weather
from tests.faults.stage import Stage, goes_on, heals, refuses, stage
from tests.replicas import PATIENT, time_to_break
from tests.world import PEOPLE, SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.databases import Databases
    from tests.world import Browser

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]
# How long the gateway waits for the head of an answer here.
HEAD = 2.0
TOKENS = 40
IDS = re.compile(rb"(?m)^id: *(\S+?)\r?$")


@dataclass
class Scene:
    """The stage, its graph server, and Alice in front of it."""

    stage: Stage
    server: OwnLangGraph
    alice: Browser


@asynccontextmanager
async def scene(
    databases: Databases, folder: Path, count: int = 1
) -> AsyncGenerator[Scene]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        provider = Provider(Realm(), PEOPLE, [demo.client(SECRET, ())])
        issuer = await enter(serving(provider))
        server = await enter(own_langgraph(folder / "langgraph", issuer))
        here = await enter(
            stage(
                databases,
                folder,
                issuer=issuer,
                graph=server.url,
                count=count,
                to_graph={"head_timeout": HEAD, "gateway_key": GATEWAY_KEY},
            )
        )
        yield Scene(here, server, await enter(here.signed_in()))


async def begin(alice: Browser) -> tuple[str, aiohttp.ClientResponse, bytes]:
    """Start a run; return its place, its stream, and what of it has been heard."""
    made = await alice.post("/graph/threads", json={})
    thread = (await made.json())["thread_id"]
    message = {"type": "human", "content": f"long {TOKENS}"}
    stream = await alice.post(
        f"/graph/threads/{thread}/runs/stream",
        json={
            "assistant_id": "agent",
            "input": {"messages": [message]},
            "stream_mode": "messages-tuple",
            "stream_resumable": True,
        },
        timeout=PATIENT,
    )
    assert stream.status == 200, await stream.text()
    heard = b""
    while heard.count(b"event: messages") < 3:
        heard += await stream.content.readany()
    return stream.headers["Location"], stream, heard


def is_whole(text: bytes) -> bool:
    return all(b"tok%d" % number in text for number in range(TOKENS))


async def joined(browser: Browser, place: str, heard: bytes) -> bytes:
    """Return all of a run: what was heard, and what is missed of it."""
    whole = heard[
        : heard.rindex(b"\r\n\r\n") + 4
    ]  # events that came in part do not count
    last = IDS.findall(whole)[-1].decode()
    again = await browser.get(
        f"/graph{place}", headers={"Last-Event-ID": last}, timeout=PATIENT
    )
    assert again.status == 200, await again.text()
    rest = await again.read()
    ids = IDS.findall(whole + rest)
    assert len(set(ids)) >= len(ids) - 1  # `langgraph dev` may repeat one at the seam
    return whole + rest


async def is_lost(alice: Browser) -> None:
    """Expect reading to break and writing to say that nobody knows."""
    async with asyncio.timeout(20):
        with pytest.raises(aiohttp.ClientError):
            await alice.get("/graph/ok")
    await refuses(alice.post("/graph/threads", json={}), 409, "answer_lost")


async def others_go_on(here: Scene) -> None:
    await goes_on(here.alice, "/whoami", "/auth/sessions")
    async with here.stage.signed_in("bob@globex.test") as bob:
        await goes_on(bob, "/whoami")


async def test_a_killed_langgraph_is_502_until_it_is_back(
    databases: Databases, tmp_path: Path
) -> None:
    async with scene(databases, tmp_path) as here:
        _, stream, _ = await begin(here.alice)
        breaking = asyncio.ensure_future(time_to_break(stream))
        await here.server.kill()
        await here.stage.graph.down()  # where nobody listens nobody accepts

        await asyncio.wait_for(breaking, 5)
        await refuses(here.alice.get("/graph/ok"), 502, "graph_unavailable")
        asked = here.alice.post("/graph/threads", json={})
        await refuses(asked, 502, "graph_unavailable")
        await others_go_on(here)

        await here.server.start()
        await here.stage.graph.up()
        await heals(here.alice, "/graph/ok")
        _, stream, heard = await begin(here.alice)
        assert is_whole(heard + await stream.read())
        here.stage.ran_well()


async def test_a_stopped_langgraph_stalls_streams_and_loses_none(
    databases: Databases, tmp_path: Path
) -> None:
    async with scene(databases, tmp_path) as here:
        _, stream, heard = await begin(here.alice)
        here.server.freeze()
        try:
            await is_lost(here.alice)
            await others_go_on(here)
        finally:
            here.server.thaw()

        assert is_whole(heard + await stream.read())
        await heals(here.alice, "/graph/ok")
        here.stage.ran_well()


async def test_a_half_open_langgraph_holds_nobody_who_signs_out(
    databases: Databases, tmp_path: Path
) -> None:
    async with scene(databases, tmp_path) as here:
        _, stream, _ = await begin(here.alice)
        here.stage.graph.silence()

        await is_lost(here.alice)
        await others_go_on(here)
        breaking = asyncio.ensure_future(time_to_break(stream))
        assert (await here.alice.post("/auth/logout")).status == 204
        await asyncio.wait_for(breaking, 5)

        await here.stage.graph.up()
        async with here.stage.signed_in() as again:
            await heals(again, "/graph/ok")
            _, stream, heard = await begin(again)
            assert is_whole(heard + await stream.read())
        here.stage.ran_well()


async def test_a_connection_to_langgraph_reset_in_mid_stream_is_joined_again(
    databases: Databases, tmp_path: Path
) -> None:
    async with scene(databases, tmp_path) as here:
        place, stream, heard = await begin(here.alice)
        breaking = asyncio.ensure_future(time_to_break(stream))
        await here.stage.graph.reset()

        await asyncio.wait_for(breaking, 5)
        assert is_whole(await joined(here.alice, place, heard))
        here.stage.ran_well()


async def test_a_slow_langgraph_is_only_slow(
    databases: Databases, tmp_path: Path
) -> None:
    async with scene(databases, tmp_path) as here:
        here.stage.graph.weather = Weather(
            latency=0.05, jitter=0.1, loss=0.05, rate=50_000
        )
        _, stream, heard = await begin(here.alice)
        assert is_whole(heard + await stream.read())
        here.stage.ran_well()


async def test_a_gateway_killed_in_mid_stream_is_replaced_by_another(
    databases: Databases, tmp_path: Path
) -> None:
    async with scene(databases, tmp_path, count=2) as here:
        place, stream, heard = await begin(here.alice)
        first, second = here.stage.replicas.each
        breaking = asyncio.ensure_future(time_to_break(stream))
        first.kill()

        await asyncio.wait_for(breaking, 5)
        async with here.stage.replicas.browser(second, here.alice.cookies) as there:
            assert is_whole(await joined(there, place, heard))
            await goes_on(there, "/whoami", "/auth/sessions")
            assert (await there.post("/auth/refresh")).status == 200
        assert "Traceback" not in second.output()
