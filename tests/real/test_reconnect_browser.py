"""Chromium sends a POST again by itself: no run may come of that twice.

It does so when a connection that it has used before breaks without an answer, and goes
on as long as it has such connections, six at most.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from bff.dev.demo import PASSWORD
from tests.fakes.breaking import Breaker, How, Plan, Where
from tests.real.browser import browser_context
from tests.real.restarting import breakable
from tests.real.streamers import EMAIL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from playwright.async_api import Page

    from tests.real.product import Product
    from tests.real.restarting import Gateway

pytestmark = [pytest.mark.acceptance, pytest.mark.real, pytest.mark.timeout(180)]

ASK = """async ([method, path, body]) => {
  const headers = body ? {"Content-Type": "application/json"} : {};
  const asked = {method, headers, body: body ? JSON.stringify(body) : undefined};
  try {
    const answer = await fetch(path, asked);
    return [answer.status, await answer.json()];
  } catch (error) { return [0, String(error)]; }
}"""
# As many connections as Chromium opens to one host, all of them then idle.
WARM = """() => Promise.all(
  Array.from({length: 6}, () => fetch("/graph/info").then((answer) => answer.text()))
)"""


@dataclass
class Tab:
    """A page whose scripts are signed in and have connections to spare."""

    page: Page
    gateway: Gateway
    breaker: Breaker
    thread: str = ""

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request as a page's script does; status 0 is a broken connection."""
        status, answer = await self.page.evaluate(ASK, [method, path, body])
        return int(status), answer

    async def run(self, path: str) -> tuple[int, Any]:
        """Ask for a run."""
        message = {"type": "human", "content": "hello"}
        run = {
            "assistant_id": "agent",
            "input": {"messages": [message]},
            "multitask_strategy": "enqueue",
        }
        return await self.ask("POST", f"/graph{path}", run)


@asynccontextmanager
async def tab(product: Product, place: Path) -> AsyncGenerator[Tab]:
    async with (
        breakable(product, place) as (gateway, breaker),
        browser_context() as context,
    ):
        page = await context.new_page()
        await page.goto(f"{gateway.url}/login")
        one = Tab(page, gateway, breaker)
        person = {"email": EMAIL, "password": PASSWORD}
        assert (await one.ask("POST", "/auth/login", person))[0] == 200
        status, thread = await one.ask("POST", "/graph/threads", {})
        assert status == 200, thread
        one.thread = thread["thread_id"]
        await page.evaluate(WARM)
        yield one


@pytest.mark.parametrize("how", [How.CUT, How.RESET], ids=lambda how: str(how.value))
async def test_a_run_whose_answer_is_lost_is_not_asked_for_again(
    product: Product, tmp_path: Path, how: How
) -> None:
    async with tab(product, tmp_path) as one:
        for end in ("runs", "runs/stream", "runs/wait"):
            path = f"/threads/{one.thread}/{end}"
            lost = Plan(Where.NOTHING, how, once=False)
            one.breaker.plans[f"POST {path}"] = lost

            status, answer = await one.run(path)

            assert lost.reached.is_set()
            assert one.breaker.count("POST", path) == 1
            assert (status, answer["code"]) == (409, "answer_lost")
        status, runs = await one.ask("GET", f"/graph/threads/{one.thread}/runs")
        assert (status, len(runs)) == (200, 3)


@pytest.mark.parametrize("crash", [False, True], ids=["told to stop", "killed"])
async def test_a_run_asked_for_over_connections_that_ended_meanwhile_is_one_run(
    product: Product, tmp_path: Path, *, crash: bool
) -> None:
    async with tab(product, tmp_path) as one:
        path = f"/threads/{one.thread}/runs"
        await one.gateway.restart(crash=crash)

        status, answer = await one.run(path)

        assert status == 200, json.dumps(answer)
        assert one.breaker.count("POST", path) == 1
