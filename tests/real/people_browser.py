"""People of the demo's tenants in Chromium, signed in, on the pages about them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Page, expect

from tests.real.browser import Record, browser_context, watch
from tests.world import PASSWORD, World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from playwright.async_api import Locator, Route

PATIENCE = 20_000  # milliseconds
EVIL = (
    '"><img src=x onerror="window.pwned = 1"><script>window.pwned = 1</script>'
    "<svg onload=window.pwned=1>"
)
SIGN_IN = """async ([email, password]) => (await fetch("/auth/login", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ email, password }),
})).status"""


@dataclass
class Seat:
    """A person in front of their own browser."""

    world: World
    email: str
    page: Page
    record: Record

    async def sign_in(self) -> None:
        """Sign in, by whatever browser this is, and stay where nothing happens."""
        await self.page.goto(f"{self.world.url}/invite")
        told = [self.email, PASSWORD]
        assert await self.page.evaluate(SIGN_IN, told) == 200

    async def open(self, path: str) -> None:
        """Open a page of ours."""
        await self.page.goto(self.world.url + path)

    async def is_sent_to_sign_in(self, path: str) -> None:
        """Wait until the page has left for the sign-in, to come back to *path*."""

        def is_there(url: str) -> bool:
            parts = urlsplit(url)
            back = parse_qs(parts.query).get("return_to")
            return (parts.path, back) == ("/login", [path])

        await self.page.wait_for_url(is_there, timeout=PATIENCE)

    async def asks(self, path: str) -> Any:
        """Return what the gateway tells this browser at *path*."""
        script = "(path) => fetch(path).then((answer) => answer.json())"
        return await self.page.evaluate(script, path)

    def part(self, name: str) -> Locator:
        """Return a section of the page."""
        return self.page.locator(f"section#{name}")

    def row(self, part: str, text: str) -> Locator:
        """Return the row of a section that has *text*."""
        return self.part(part).locator(".rows > li").filter(has_text=text)

    def dialog(self) -> Locator:
        """Return the question that is open."""
        return self.page.locator("dialog[open]")

    async def is_told(self, part: str, text: str) -> None:
        """Wait until a section says *text* where readers of screens hear it."""
        told = self.part(part).locator('.outcome[aria-live="polite"]')
        await expect(told).to_contain_text(text, timeout=PATIENCE)

    async def is_unharmed(self) -> None:
        """Make sure that nothing of what was shown has run, or was taken for markup."""
        assert await self.page.evaluate("window.pwned") is None
        assert await self.page.locator("main :is(img, script, svg)").count() == 0
        assert self.record.complaints == []


@asynccontextmanager
async def seated(world: World, email: str, **browser: Any) -> AsyncGenerator[Seat]:
    """Give a browser of its own in which *email* has signed in."""
    async with browser_context(**browser) as context:
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        seat = Seat(world, email, page, watch(page))
        await seat.sign_in()
        yield seat


async def breaks_once(page: Page, pattern: str, method: str, status: int) -> None:
    """Let the next such request of *page* come to nothing; 0: no answer at all."""
    left = [1]

    async def handle(route: Route) -> None:
        if route.request.method != method or not left:
            await route.fallback()
            return
        left.pop()
        if status:
            await route.fulfill(status=status, body="<html>gone</html>")
        else:
            await route.abort()

    await page.route(pattern, handle)
