"""Chromium, driven by Playwright, with everything it does on record."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.async_api import async_playwright, expect

from tests.parts import chromium

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from playwright.async_api import BrowserContext, Page, Request

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A busy machine is no failure.
expect.set_options(timeout=20_000)
PICTURES = Path(os.environ.get("BFF_PICTURES", ".cache/screenshots"))


@dataclass
class Record:
    """What a browser did: requests with their headers, and complaints."""

    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def note(self, request: Request) -> None:
        """Keep a request with the headers that really left."""
        headers = await request.all_headers()
        self.requests.append((request.method, request.url, headers))


@asynccontextmanager
async def browser_context(
    *,
    width: int = 1280,
    height: int = 800,
    dark: bool = False,
    arguments: Sequence[str] = (),
) -> AsyncGenerator[BrowserContext]:
    """Give a fresh browser profile."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=[*ARGUMENTS, *arguments]
        )
        try:
            yield await browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if dark else "light",
            )
        finally:
            await browser.close()


def watch(page: Page) -> Record:
    """Record what *page* sends and what its console complains of."""
    record = Record()
    page.on("request", record.note)
    page.on("pageerror", lambda error: record.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            record.complaints.append(f"{message.text} {message.location}")
            if message.type == "error"
            else None
        ),
    )
    return record


async def picture(page: Page, name: str) -> Path:
    """Save a screenshot and return where."""
    file = PICTURES / f"{name}.png"
    await page.screenshot(path=file)
    return file
