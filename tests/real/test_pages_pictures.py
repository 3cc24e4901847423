"""The pictures of docs/: `make docs` keeps what other runs only take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.real.browser import picture
from tests.real.pages import chat, new_page, thread_with

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.real.product import Product

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

MOST = 150_000  # bytes of a picture
OTHERS = (
    "What changed in the register this week?",
    "Write to Straits Cold Chain",
    "Our customer profile",
)
ASKED = "Which of our leads should we call first?"
ANSWER = """**Merlion Logistics**, then. Three companies fit your profile best:

| Company | Industry | Staff | Score |
|---|---|---|---|
| Merlion Logistics Pte. Ltd. | Freight forwarding | 120 | 0.94 |
| Straits Cold Chain Pte. Ltd. | Refrigerated storage | 85 | 0.91 |
| Jurong Fasteners Pte. Ltd. | Industrial supply | 60 | 0.88 |

Merlion opened a second warehouse in May, and *nobody has called them yet*.

Shall I write a first message?"""
MESSAGES: list[dict[str, Any]] = [
    {"type": "human", "id": "1", "content": ASKED},
    {
        "type": "ai",
        "id": "2",
        "content": "",
        "tool_calls": [{"id": "c", "name": "latest_scores", "args": {"limit": 3}}],
    },
    {
        "type": "tool",
        "id": "3",
        "name": "latest_scores",
        "tool_call_id": "c",
        "content": "[…]",
    },
    {"type": "ai", "id": "4", "content": ANSWER},
]


async def taken(page: Page, name: str) -> None:
    """Take a picture that is small enough for the repository."""
    file = await picture(page, name)
    assert file.stat().st_size < MOST


async def test_the_conversation_is_pictured_light_dark_and_on_a_phone(
    product: Product,
) -> None:
    thread = ""
    for name, window in (
        ("chat", {"height": 720}),
        ("chat-dark", {"height": 720, "dark": True}),
        ("chat-phone", {"width": 360, "height": 720}),
    ):
        async with new_page(**window) as (page, _):
            await chat(page, product.url)
            if not thread:
                for title in OTHERS:
                    await thread_with(page, MESSAGES[:1], title)
                thread = await thread_with(page, MESSAGES, ASKED)
            await page.goto(f"{product.url}/?thread={thread}")
            await expect(page.locator(".table")).to_be_visible()
            await expect(page.locator("#threads li")).not_to_have_count(0)
            await expect(page.locator("#identity")).to_contain_text("Acme")
            await taken(page, name)


async def test_the_way_in_is_pictured(product: Product) -> None:
    async with new_page(height=720) as (page, _):
        await page.goto(f"{product.url}/login")
        await expect(page.locator("#sign-in-form")).to_be_visible()
        await taken(page, "login")
