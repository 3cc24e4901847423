"""agent-chat-ui behind a gateway, in Chromium, and what a person does with it.

Its builds know one address, as in production. Chromium finds the gateway's port behind
that name, whichever it is.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from playwright.async_api import expect

from bff import config
from bff.dev.demo import PASSWORD
from bff.dev.ports import free_port
from tests.bff.waiting import until
from tests.real.agent_chat_ui import NAME, ORIGIN
from tests.real.browser import Record, browser_context, watch
from tests.world import Clock, gateway

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp import web
    from playwright.async_api import BrowserContext, Locator, Page

EMAIL = "alice@acme.test"
PATIENCE = 30_000  # milliseconds
# A JSON Web Token. Those in our cookies are sealed, so nothing a page sends has one.
TOKEN = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.")
_CARRIED = {"authorization", "x-api-key"}


@dataclass
class Site:
    """A gateway that shows agent-chat-ui."""

    port: int
    app: web.Application

    @asynccontextmanager
    async def browser(self) -> AsyncGenerator[BrowserContext]:
        """Give a Chromium to which this gateway is the one of that name."""
        rule = f"--host-resolver-rules=MAP {NAME} 127.0.0.1:{self.port}"
        async with browser_context(arguments=[rule]) as context:
            yield context

    @asynccontextmanager
    async def chat(self, query: str = "") -> AsyncGenerator[Chat]:
        """Give a tab in which Alice is signed in; no token may ever leave it."""
        async with self.browser() as context:
            chat = await opened(context, query)
            await chat.sign_in()
            yield chat
            chat.carried_nothing()


@asynccontextmanager
async def site(
    settings: dict[str, dict[str, Any]], ui: dict[str, Any]
) -> AsyncGenerator[Site]:
    """Run a gateway with these settings that shows *ui*."""
    port = free_port()
    server = {
        "listen": f"127.0.0.1:{port}",
        "public_origins": [ORIGIN],
        "drain": 0.5,
    }
    values = {**settings, "environment": "dev", "server": server, "ui": ui}
    async with gateway(config.build(values), port, Clock()) as (app, _):
        yield Site(port, app)


@dataclass
class Chat:
    """A tab of agent-chat-ui."""

    page: Page
    record: Record
    bodies: list[str] = field(default_factory=list)

    @property
    def box(self) -> Locator:
        return self.page.get_by_placeholder("Type your message...")

    @property
    def answers(self) -> Locator:
        return self.page.locator(".markdown-content")

    @property
    def cancel(self) -> Locator:
        return self.page.get_by_role("button", name="Cancel")

    async def sign_in(self) -> None:
        """Sign in where the gateway asks for it, and wait for the chat."""
        await self.page.fill("#email", EMAIL)
        await self.page.fill("#password", PASSWORD)
        await self.page.click("#sign-in")
        await expect(self.box).to_be_visible(timeout=PATIENCE)

    async def say(self, text: str) -> None:
        """Send a message."""
        await self.box.fill(text)
        await self.box.press("Enter")

    async def hears(self, text: str) -> None:
        """Wait until the last answer has these words."""
        await expect(self.answers.last).to_contain_text(text, timeout=PATIENCE)

    async def rests(self) -> None:
        """Wait until nothing is being answered."""
        await expect(self.cancel).to_have_count(0, timeout=PATIENCE)

    async def thread(self) -> str:
        """Return the thread that the address names by now."""
        await self.page.wait_for_url(re.compile("threadId="), timeout=PATIENCE)
        found = re.search(r"threadId=([0-9a-f-]+)", self.page.url)
        assert found
        return found[1]

    async def fetch(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask the gateway as a script of the page does."""
        status, answer = await self.page.evaluate(
            """async ([method, path, body]) => {
              const headers = body ? {"Content-Type": "application/json"} : {};
              const asked = {method, headers, body: body && JSON.stringify(body)};
              const answer = await fetch(path, asked);
              const text = await answer.text();
              try { return [answer.status, JSON.parse(text)]; }
              catch { return [answer.status, text.slice(0, 10000)]; }
            }""",
            [method, path, body],
        )
        return int(status), answer

    async def sends_file(self, encoded: str) -> str:
        """Run the agent on a file, from the page, and return the thread."""
        status, thread = await self.fetch("POST", "/graph/threads", {})
        assert status == 200, thread
        text = {"type": "text", "text": "files"}
        file = {"type": "file", "mimeType": "application/pdf", "data": encoded}
        content = [text, {**file, "metadata": {"filename": "large.pdf"}}]
        run = {
            "assistant_id": "agent",
            "input": {"messages": [{"type": "human", "content": content}]},
            "stream_mode": ["values", "messages-tuple"],
        }
        path = f"/graph/threads/{thread['thread_id']}/runs/stream"
        status, answer = await self.fetch("POST", path, run)
        assert status == 200, answer
        return str(thread["thread_id"])

    async def runs(self) -> list[str]:
        """Return the states of the runs on this thread, the latest first."""
        path = f"/graph/threads/{await self.thread()}/runs"
        status, found = await self.fetch("GET", path)
        assert status == 200, found
        return [run["status"] for run in found]

    async def leaves_run(self) -> bool:
        """Wait for what becomes of a run whose stream was left; true: it was finished.

        Newer versions let it go on, older ones have it cancelled by going away.
        """
        goes_on = any('"on_disconnect":"continue"' in body for body in self.bodies)
        expected = "success" if goes_on else "interrupted"

        async def over() -> bool:
            return (await self.runs())[0] == expected

        await until(over, seconds=60)
        return goes_on

    def carried_nothing(self) -> None:
        """Fail if a request went elsewhere, or with anything that proves a person."""
        assert self.record.requests
        for method, url, headers in self.record.requests:
            told = f"{method} {url}"
            assert url.startswith((ORIGIN, "data:", "blob:")), told
            assert not _CARRIED & headers.keys(), told
            assert not TOKEN.search(f"{url} {headers}"), told
        assert not list(filter(TOKEN.search, self.bodies))


async def opened(context: BrowserContext, query: str = "") -> Chat:
    """Open the chat's address in a new tab, signed in or not."""
    page = await context.new_page()
    chat = Chat(page, watch(page))
    page.on("request", lambda asked: chat.bodies.append(asked.post_data or ""))
    await page.goto(f"{ORIGIN}/{query}")
    return chat
