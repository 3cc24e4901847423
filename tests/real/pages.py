"""What people do on the built-in pages, for the tests that watch them."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from playwright.async_api import expect

from bff.dev.demo import PASSWORD
from tests.real.browser import browser_context, watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from playwright.async_api import Locator, Page, Route

    from tests.real.browser import Record

PATIENCE = 20_000  # milliseconds
ALICE = "alice@acme.test"
ASK = """async ([method, path, body]) => {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(path, { method, headers, body: body ?? undefined });
  return [answer.status, await answer.text()];
}"""
ANSWERS = '[data-role="ai"]'
UNDERWAY = f'{ANSWERS}[data-streaming="true"]'


@asynccontextmanager
async def new_page(**window: Any) -> AsyncGenerator[tuple[Page, Record]]:
    """Give a page of a fresh browser, and what it does on record."""
    async with browser_context(**window) as context:
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        yield page, watch(page)


async def ask(page: Page, method: str, path: str, body: Any = None) -> Any:
    """Send a request as a script of *page* does, and return what JSON came back."""
    sent = None if body is None else json.dumps(body)
    status, text = await page.evaluate(ASK, [method, path, sent])
    assert 200 <= status < 300, (status, text)
    return json.loads(text) if text else None


async def answer_with(page: Page, path: str, **answer: Any) -> None:
    """Have requests for *path* answered so from now on, in the gateway's place."""

    async def fulfil(route: Route) -> None:
        await route.fulfill(**answer)

    await page.unroute(f"**{path}")
    await page.route(f"**{path}", fulfil)


async def enter(page: Page, url: str, email: str = ALICE, path: str = "/") -> None:
    """Sign in without the form, and open *path*."""
    await page.goto(f"{url}/login")
    person = {"email": email, "password": PASSWORD}
    await ask(page, "POST", "/auth/login", person)
    await page.goto(f"{url}{path}")


async def chat(page: Page, url: str, path: str = "/") -> None:
    """Sign in and wait until the conversation page knows who is there."""
    await enter(page, url, path=path)
    await expect(page.locator("#identity")).to_contain_text("alice", timeout=PATIENCE)


async def say(page: Page, text: str) -> None:
    """Send a message."""
    await page.fill("#composer", text)
    await page.press("#composer", "Enter")


async def answered(page: Page, text: str) -> Locator:
    """Wait until the last answer is whole and has *text* in it, and return it."""
    last = page.locator(ANSWERS).last
    await expect(last).to_contain_text(text, timeout=PATIENCE)
    await expect(page.locator(UNDERWAY)).to_have_count(0, timeout=PATIENCE)
    await expect(page.locator("#send")).to_be_visible(timeout=PATIENCE)
    return last


async def thread_with(page: Page, messages: list[dict[str, Any]], title: str) -> str:
    """Make a thread in which *messages* were said, and return its id."""
    about = {"title": title, "graph_id": "agent"}
    made = await ask(page, "POST", "/graph/threads", {"metadata": about})
    thread = str(made["thread_id"])
    values = {"messages": messages}
    state = {"values": values, "as_node": "answer"}
    await ask(page, "POST", f"/graph/threads/{thread}/state", state)
    return thread


async def focused(page: Page) -> str:
    """Return the id of what has the keyboard, else what it says."""
    found = await page.evaluate(
        "document.activeElement.id || document.activeElement.textContent.trim()"
    )
    return str(found)
