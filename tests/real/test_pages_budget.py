"""What the conversation page loads until it is painted, and how it moves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.real.pages import chat, enter, new_page

if TYPE_CHECKING:
    from playwright.async_api import Route

    from tests.real.product import Product

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

BUDGET = 150_000  # bytes over the wire
# Each script and style sheet: bytes over the wire, and whether painting waits for it.
LOADED = """() => performance.getEntriesByType("resource")
  .filter(({ name }) => /\\.(js|css)$/.test(new URL(name).pathname))
  .map(({ name, transferSize, renderBlockingStatus: status }) =>
    [new URL(name).pathname, transferSize, status === "blocking"])"""
PAINTED = """() => performance.getEntriesByType("paint")
  .some(({ name }) => name === "first-contentful-paint")"""
MOVING = """() => document.getAnimations().map((one) => one.animationName
  ?? one.transitionProperty)"""


async def test_painting_waits_for_little_and_all_of_it_is_little(
    product: Product,
) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        loaded = await page.evaluate(LOADED)
        names = [name for name, _, _ in loaded]
        assert "/static/chat/main.js" in names
        assert len(names) == len(set(names)), "nothing is loaded twice"
        assert all(size > 0 for _, size, _ in loaded)
        blocking = [(name, size) for name, size, blocks in loaded if blocks]
        assert [name for name, _ in blocking] == ["/static/style.css"]
        assert sum(size for _, size, _ in loaded) <= BUDGET


async def test_the_page_is_painted_before_any_script_has_come(product: Product) -> None:
    async with new_page() as (page, _):
        await enter(page, product.url, path="/static/favicon.svg")
        may_come = asyncio.Event()

        async def late(route: Route) -> None:
            await may_come.wait()
            await route.continue_()

        await page.route("**/*.js", late)
        await page.goto(product.url, wait_until="commit")
        await page.wait_for_function(PAINTED)
        await expect(page.locator("#composer")).to_be_visible()
        await expect(page.locator("#new-thread")).to_have_text("New conversation")
        # What is typed before the scripts are there is not lost either.
        await page.fill("#composer", "typed early")
        may_come.set()
        await expect(page.locator("#identity")).to_contain_text("alice")
        await expect(page.locator("#composer")).to_have_value("typed early")
        await expect(page.locator("#send")).to_be_enabled()


async def test_nothing_moves_for_those_who_want_it_so(product: Product) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        show = "document.querySelector('#working').hidden = false"
        await page.evaluate(show)
        assert "breathe" in await page.evaluate(MOVING)
        await page.emulate_media(reduced_motion="reduce")
        assert await page.evaluate(MOVING) == []
        await page.hover("#new-thread")
        assert await page.evaluate(MOVING) == []
