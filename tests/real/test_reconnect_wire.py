"""What LangGraph's SDKs resume by passes the gateway as it is."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.bff.waiting import until
from tests.real.restarting import breakable
from tests.real.streamers import cookie_of, python_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from langgraph_sdk.client import LangGraphClient

    from tests.real.product import Product

pytestmark = [pytest.mark.acceptance, pytest.mark.real, pytest.mark.timeout(120)]


@asynccontextmanager
async def client(product: Product) -> AsyncGenerator[LangGraphClient]:
    """Give an SDK client that is signed in."""
    cookie = await cookie_of(product.url)
    async with python_client(product.url, product.url, cookie) as one:
        yield one


@asynccontextmanager
async def page(url: str) -> AsyncGenerator[aiohttp.ClientSession]:
    """Give what sends plain requests as a signed-in page does."""
    headers = {"Cookie": await cookie_of(url), "Origin": url}
    async with aiohttp.ClientSession(f"{url}/graph/", headers=headers) as session:
        yield session


def run(text: str, **more: Any) -> dict[str, Any]:
    message = {"type": "human", "content": text}
    return {"assistant_id": "agent", "input": {"messages": [message]}, **more}


async def thread_of(session: aiohttp.ClientSession) -> str:
    async with session.post("threads", json={}) as answer:
        return str((await answer.json())["thread_id"])


@pytest.mark.parametrize(
    ("on_disconnect", "fate"), [("cancel", "interrupted"), ("continue", "success")]
)
async def test_a_client_that_leaves_decides_what_becomes_of_its_run(
    product: Product, on_disconnect: str, fate: str
) -> None:
    async with client(product) as here:
        thread = (await here.threads.create())["thread_id"]
        async with AsyncExitStack() as stack:
            leaving = await stack.enter_async_context(page(product.url))
            answer = await leaving.post(
                f"threads/{thread}/runs/stream",
                json=run(
                    "long 20", stream_mode="messages-tuple", on_disconnect=on_disconnect
                ),
            )
            heard = b""
            while heard.count(b"event: messages") < 3:
                heard += await answer.content.readany()
            answer.close()

        async def over() -> str | None:
            status = (await here.runs.list(thread))[0]["status"]
            return None if status in {"pending", "running"} else status

        assert await until(over, seconds=30) == fate


async def test_waiting_for_a_run_is_kept_alive_by_the_graph_servers_newlines(
    product: Product,
) -> None:
    async with page(product.url) as session:
        thread = await thread_of(session)
        async with session.post(
            f"threads/{thread}/runs/wait", json=run("slow 6")
        ) as answer:
            assert answer.status == 200
            first = await answer.content.readany()
            rest = await answer.read()

    assert first.strip() == b""
    assert first
    assert json.loads(rest)["messages"][-1]["content"] == "Good morning."


async def test_where_a_run_is_found_again_is_not_rewritten(product: Product) -> None:
    """Both SDKs append Location to their own base URL, which ends in /graph."""
    async with page(product.url) as session:
        thread = await thread_of(session)
        for ask, join in (("stream", "stream"), ("wait", "join")):
            async with session.post(
                f"threads/{thread}/runs/{ask}", json=run("long 1")
            ) as answer:
                place = answer.headers["Content-Location"]
                assert place.startswith(f"/threads/{thread}/runs/")
                assert answer.headers["Location"] == f"{place}/{join}"
                await answer.read()


async def test_the_last_event_id_is_honoured_with_get_and_arrives_with_post(
    product: Product, tmp_path: Path
) -> None:
    async with (
        breakable(product, tmp_path) as (gateway, breaker),
        page(gateway.url) as session,
    ):
        thread = await thread_of(session)
        path = f"threads/{thread}/runs/stream"
        asked = run("long 5", stream_mode="messages-tuple", stream_resumable=True)
        last = {"Last-Event-ID": "-1"}
        async with session.post(path, json=asked, headers=last) as answer:
            place = answer.headers["Location"].lstrip("/")
            first = events(await answer.text())
        async with session.get(place, headers={"Last-Event-ID": first[2]}) as answer:
            assert events(await answer.text()) == first[3:]
        async with session.get(place, headers=last) as answer:
            assert events(await answer.text()) == first

        by_path = {one.path: one for one in breaker.asked}
        assert by_path[f"/{path}"].header("last-event-id") == "-1"
        # WebSockets aside, the newer protocol asks for its events by POST.
        async with session.post(
            f"threads/{thread}/stream/events",
            json={"channels": ["messages"]},
            headers={"Last-Event-ID": "7"},
            timeout=aiohttp.ClientTimeout(sock_read=20),
        ) as answer:
            assert answer.status == 200, await answer.text()
        (events_asked,) = [
            one for one in breaker.asked if one.path.endswith("stream/events")
        ]
        assert events_asked.header("last-event-id") == "7"


def events(text: str) -> list[str]:
    """List the ids of a stream's events."""
    lines = text.replace("\r\n", "\n").split("\n")
    return [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]
