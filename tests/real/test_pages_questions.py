"""What a run asks on the conversation page: replies, and decisions on actions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.real.axe import assert_clean
from tests.real.pages import ALICE, PATIENCE, answered, chat, focused, new_page, say

if TYPE_CHECKING:
    from tests.real.product import Product

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(180)]


async def test_a_question_waits_over_a_reload_with_what_was_typed(
    product: Product,
) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        await say(page, "interrupt")
        await expect(page.locator("#reply")).to_be_focused(timeout=PATIENCE)
        await expect(page.locator(".question-text")).to_have_text("Shall I go on?")
        await assert_clean(page, "a question")
        await page.fill("#reply", "Yes, <b>do</b>")
        [[name, kept]] = await page.evaluate("Object.entries(sessionStorage)")
        assert name.startswith(f"nx-draft-reply-{page.url.rpartition('=')[2]}-")
        assert json.loads(kept)["owner"] == ALICE
        await page.reload()
        await expect(page.locator("#reply")).to_have_value("Yes, <b>do</b>")
        await page.press("#reply", "Enter")
        answer = await answered(page, "You replied 'Yes, <b>do</b>'")
        assert await answer.locator("b").count() == 0
        await expect(page.locator("#composer")).to_be_focused()


async def test_an_action_is_approved_or_rejected_with_keys(product: Product) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        await say(page, "approve")
        legend = page.locator("legend")
        await expect(legend).to_have_text(
            "May it do this: send_offer?", timeout=PATIENCE
        )
        await assert_clean(page, "an action")
        # Not the choice itself: a key that was meant for the message would decide.
        assert await focused(page) == "The assistant asks"
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("radio", name="Approve")).to_be_focused()
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_role("radio", name="Reject")).to_be_checked()
        await page.keyboard.press("Tab")
        await page.keyboard.type("Too early")
        await page.keyboard.press("Enter")
        await answered(page, '"type": "reject", "message": "Too early"')
        await say(page, "approve")
        await expect(legend).to_be_visible(timeout=PATIENCE)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Space")
        await page.keyboard.press("Enter")
        await answered(page, '{"decisions": [{"type": "approve"}]}')
