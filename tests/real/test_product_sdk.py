"""The real langgraph-sdk talks to a real LangGraph server through the gateway."""

from __future__ import annotations

import itertools
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.errors import NotFoundError

from bff.dev.demo import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from langgraph_sdk.client import LangGraphClient

    from tests.real.product import Product

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


async def sign_in(product: Product, email: str) -> str:
    """Sign in and return the Cookie header that a browser would send."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{product.url}/auth/login",
            json={"email": email, "password": PASSWORD},
            headers={"Origin": product.url},
        ) as answer,
    ):
        body = await answer.text()
        assert answer.status == 200, body
        assert "eyJ" not in body
        assert "eyJ" not in str(answer.headers)
        return "; ".join(f"{c.key}={c.value}" for c in session.cookie_jar)


@asynccontextmanager
async def sdk(product: Product, email: str) -> AsyncGenerator[LangGraphClient]:
    """Give an SDK client with nothing but the cookies and an Origin."""
    headers = {"Cookie": await sign_in(product, email), "Origin": product.url}
    async with get_client(
        url=f"{product.url}/graph", api_key=None, headers=headers
    ) as client:
        yield client


def human(text: str) -> dict[str, Any]:
    return {"messages": [{"type": "human", "content": text}]}


async def test_tokens_arrive_one_by_one(product: Product) -> None:
    async with sdk(product, "alice@acme.test") as client:
        thread = await client.threads.create()
        arrivals: list[float] = []
        tokens: list[str] = []

        async for part in client.runs.stream(
            thread["thread_id"],
            "agent",
            input=human("long 21"),
            stream_mode="messages-tuple",
        ):
            if part.event == "messages":
                arrivals.append(time.monotonic())
                tokens.append(part.data[0]["content"])

        assert "".join(tokens).split() == [f"tok{number}" for number in range(21)]
        assert arrivals[-1] - arrivals[0] > 1
        gaps = [after - before for before, after in itertools.pairwise(arrivals)]
        bunched = sum(gap < 0.02 for gap in gaps)
        assert bunched <= 2, gaps  # the agent pauses 0.1 s between tokens


async def test_the_graph_server_knows_who_asks_and_holds_no_token(
    product: Product,
) -> None:
    async with sdk(product, "alice@acme.test") as client:
        thread = await client.threads.create()

        state = await client.runs.wait(
            thread["thread_id"], "agent", input=human("whoami")
        )

        seen = json.dumps(state)
        assert "alice@acme.test" in seen
        assert "1001" in seen
        assert "eyJ" not in seen


async def test_tenants_do_not_see_each_others_threads(product: Product) -> None:
    async with (
        sdk(product, "alice@acme.test") as acme,
        sdk(product, "bob@globex.test") as globex,
    ):
        thread = await acme.threads.create(metadata={"tenant_id": "1002"})

        with pytest.raises(NotFoundError):
            await globex.threads.get(thread["thread_id"])
        found = await globex.threads.search(limit=100)
        assert thread["thread_id"] not in {other["thread_id"] for other in found}
        mine = await acme.threads.search(limit=100)
        assert thread["thread_id"] in {own["thread_id"] for own in mine}


async def test_a_newcomer_founds_a_workspace_and_uses_the_agent(
    product: Product,
) -> None:
    cookie = await sign_in(product, "carol@initech.test")
    headers = {"Cookie": cookie, "Origin": product.url}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(f"{product.url}/graph/info") as answer:
            assert answer.status == 403
            assert (await answer.json())["code"] == "tenant_missing"
        async with session.post(
            f"{product.url}/onboarding/first_login", json={"workspace_name": "Initech"}
        ) as answer:
            assert answer.status == 202
            tenant_id = (await answer.json())["tenant_id"]
        status = ""
        async with session.get(f"{product.url}/onboarding/events") as events:
            async for line in events.content:
                if line.startswith(b"data: "):
                    status = json.loads(line[6:])["status"]
                if status in {"ready", "error"}:
                    break
        assert status == "ready"
        async with session.get(f"{product.url}/whoami") as answer:
            assert (await answer.json())["tenant_id"] == tenant_id
    async with sdk(product, "carol@initech.test") as client:
        thread = await client.threads.create()
        state = await client.runs.wait(
            thread["thread_id"], "agent", input=human("whoami")
        )
        assert str(tenant_id) in json.dumps(state)


async def test_nothing_printed_or_logged_holds_a_token(product: Product) -> None:
    await sign_in(product, "bob@globex.test")

    output = product.output()

    assert "POST" in output  # the log is at work
    assert "eyJ" not in output
    assert "nx_access=" not in output
    assert "client_secret" not in output
    graph_log = (product.folder / "bff" / "langgraph" / "langgraph.log").read_text()
    assert "eyJ" not in graph_log
