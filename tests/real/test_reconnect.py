"""LangGraph's SDKs get every token of a resumable run, whatever breaks on the way.

What each does by itself, and what an application has to do, is the table in
docs/streaming.md. Whatever breaks, no run is started twice.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.breaking import Breaker, How, Plan, Where
from tests.parts import node_sdks
from tests.real.restarting import AWAY, breakable
from tests.real.sdks import VERSIONS
from tests.real.streamers import (
    ALL,
    CUT_SHORT,
    PYTHON,
    TOLD,
    Cell,
    Outcome,
    cookie_of,
    python_client,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from langgraph_sdk.client import LangGraphClient

    from tests.real.product import Product
    from tests.real.restarting import Gateway

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.real,
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore:Reconnecting without a Last-Event-ID"),
]
OLD, NEW, LATEST = VERSIONS
PATIENCE = 90  # seconds, for a busy machine
# An SDK that has seen no event yet joins without a Last-Event-ID, and gets only what
# is still to come; a header of its own makes it ask for everything.
FROM_THE_START = {"Last-Event-ID": "-1"}


@dataclass
class Matrix:
    """Runs to be streamed, and what may come of each."""

    gateway: Gateway
    breaker: Breaker
    client: LangGraphClient
    cookie: str
    plans: list[Plan] = field(default_factory=list)
    allowed: dict[Cell, set[str]] = field(default_factory=dict)

    async def add(
        self,
        client: str,
        where: Where,
        how: How,
        *allowed: str,
        url: str | None = None,
        **headers: str,
    ) -> None:
        """Have *client* stream a run that breaks off; say what may come of it."""
        thread = (await self.client.threads.create())["thread_id"]
        name = " ".join([where.value, *headers, *(["elsewhere"] if url else [])])
        cell = Cell(client, name, url or self.gateway.url, thread, headers)
        self.plans.append(Plan(where, how))
        self.breaker.plans[_start(cell)] = self.plans[-1]
        self.allowed[cell] = set(allowed)

    async def stream(self) -> dict[Cell, Outcome]:
        """Stream all, and await what became of it."""
        return await stream(self.gateway.url, self.cookie, list(self.allowed))

    async def all_broken(self, streaming: asyncio.Task[dict[Cell, Outcome]]) -> None:
        """Wait until each run is where it is to break off."""
        reached = asyncio.gather(*(plan.reached.wait() for plan in self.plans))
        either: list[asyncio.Future[Any]] = [streaming, reached]
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        assert not streaming.done(), streaming.result()

    async def check(self, outcomes: dict[Cell, Outcome]) -> None:
        """Compare with what may be; each run must be one."""
        assert all(plan.reached.is_set() for plan in self.plans)
        wrong = {
            (cell.client, cell.name): (outcome.summary, outcome.error)
            for cell, outcome in outcomes.items()
            if outcome.summary not in self.allowed[cell]
        }
        assert wrong == {}
        assert set(outcomes) == set(self.allowed)
        for cell, outcome in outcomes.items():
            assert self.breaker.count(*_start(cell).split(" ")) == 1, cell
            assert len(await self.client.runs.list(cell.thread)) == 1, cell
            passed = self.breaker.answers(cell.thread)
            for event, times in outcome.deliveries.items():
                # What comes twice has been sent twice.
                assert times <= passed.count(f"id: {event}\r\n".encode()), cell


def _start(cell: Cell) -> str:
    return f"POST /threads/{cell.thread}/runs/stream"


@asynccontextmanager
async def matrix(product: Product, place: Path) -> AsyncGenerator[Matrix]:
    """Give an empty matrix over a gateway of its own."""
    await asyncio.to_thread(node_sdks)
    async with AsyncExitStack() as stack:
        gateway, breaker = await stack.enter_async_context(breakable(product, place))
        cookie = await cookie_of(gateway.url)
        client = python_client(gateway.url, gateway.url, cookie)
        await stack.enter_async_context(client)
        yield Matrix(gateway, breaker, client, cookie)


@pytest.mark.parametrize(
    "how", [How.CUT, How.RESET, How.STALL], ids=lambda how: str(how.value)
)
async def test_every_token_comes_when_the_graph_servers_connection_is(
    product: Product, tmp_path: Path, how: How
) -> None:
    async with matrix(product, tmp_path) as runs:
        for client in (PYTHON, *VERSIONS):
            await runs.add(client, Where.METADATA, how, ALL)
            await runs.add(client, Where.TOKENS, how, ALL)
            await runs.add(client, Where.HEAD, how, ALL, **FROM_THE_START)
        # Without an event no SDK knows where to go on; a run that had to wait for its
        # turn may have said nothing yet.
        for client in (PYTHON, NEW):
            await runs.add(client, Where.HEAD, how, ALL, CUT_SHORT)
            await runs.add(client, Where.NOTHING, how, TOLD)
        await runs.add(OLD, Where.NOTHING, how, TOLD)

        outcomes = await runs.stream()

        await runs.check(outcomes)
        for cell, outcome in outcomes.items():
            if cell.name == Where.NOTHING.value:
                assert "broke off before it answered" in str(outcome.error)


@pytest.mark.parametrize("crash", [False, True], ids=["told to stop", "killed"])
async def test_every_token_comes_when_the_gateway_is(
    product: Product, tmp_path: Path, *, crash: bool
) -> None:
    async with matrix(product, tmp_path) as runs:
        for client in (PYTHON, NEW):
            await runs.add(client, Where.METADATA, How.HOLD, ALL)
            await runs.add(client, Where.TOKENS, How.HOLD, ALL)
            await runs.add(client, Where.HEAD, How.HOLD, ALL, **FROM_THE_START)
            await runs.add(client, Where.NOTHING, How.HOLD, TOLD)
        for client in (OLD, LATEST):
            # They join again once, after one or two seconds: with a gateway that is
            # back by then, or another one behind the same address, they get it all.
            url = runs.gateway.balanced
            await runs.add(client, Where.METADATA, How.HOLD, ALL, url=url)
            await runs.add(client, Where.TOKENS, How.HOLD, ALL, url=url)
            await runs.add(client, Where.TOKENS, How.HOLD, ALL, TOLD)
        await runs.add(OLD, Where.METADATA, How.HOLD, ALL, TOLD)
        await runs.add(OLD, Where.NOTHING, How.HOLD, TOLD)
        streaming = asyncio.ensure_future(runs.stream())
        await runs.all_broken(streaming)

        await runs.gateway.restart(crash=crash, away=AWAY)

        await runs.check(await streaming)
