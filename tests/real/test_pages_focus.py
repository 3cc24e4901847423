"""Where the keyboard is on the conversation page; it decides nothing by accident."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.real.pages import (
    PATIENCE,
    UNDERWAY,
    answer_with,
    answered,
    chat,
    new_page,
    say,
    thread_with,
)

if TYPE_CHECKING:
    from playwright.async_api import Route

    from tests.real.product import Product

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(180)]

ACTION = {"name": "send_offer", "args": {"to": "Merlion"}}
CONFIG = {"action_name": "send_offer", "allowed_decisions": ["approve", "edit"]}
REVIEW = {"action_requests": [ACTION], "review_configs": [CONFIG]}
ASKING = {
    "values": {"messages": []},
    "tasks": [{"interrupts": [{"id": "one", "value": REVIEW}]}],
}


async def test_a_question_leaves_the_keyboard_to_who_is_typing(
    product: Product,
) -> None:
    typed = asyncio.Event()

    async def later(route: Route) -> None:
        await typed.wait()
        await route.continue_()

    async with new_page() as (page, _):
        await chat(page, product.url)
        await page.route("**/runs/stream", later)
        await say(page, "approve")
        await expect(page.locator("#stop")).to_be_visible()
        await page.type("#composer", "ok go")
        typed.set()
        legend = page.locator("legend")
        await expect(legend).to_be_visible(timeout=PATIENCE)
        await expect(page.locator("#composer")).to_be_focused()
        await page.keyboard.press("Space")
        await page.keyboard.press("Enter")
        await expect(legend).to_be_visible()
        await expect(page.get_by_role("radio", name="Approve")).not_to_be_checked()
        await expect(page.locator("#composer")).to_have_value("ok go ")


async def test_the_link_past_the_navigation_disturbs_no_answer(
    product: Product,
) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        await say(page, "long 40")
        await expect(page.locator(UNDERWAY)).to_contain_text("tok3")
        said = page.locator('[data-role="human"]')
        await said.evaluate("(node) => { node.dataset.kept = 'yes'; }")
        await page.focus(".skip")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**#composer")
        await expect(page.locator("#composer")).to_be_focused()
        await answered(page, "tok39")
        await expect(said).to_have_attribute("data-kept", "yes")


async def test_changed_arguments_go_only_as_a_json_object(product: Product) -> None:
    sent: list[Any] = []

    async def note(route: Route) -> None:
        sent.append(json.loads(route.request.post_data or "null"))
        await route.fulfill(status=503, body="{}")

    async with new_page() as (page, _):
        await chat(page, product.url)
        thread = await thread_with(page, [], "To be decided")
        await answer_with(page, f"/threads/{thread}/state", json=ASKING)
        await page.route("**/runs/stream", note)
        await page.goto(f"{product.url}/?thread={thread}")
        await page.get_by_label("Change and approve").check()
        args = page.locator("textarea.mono")
        for wrong in ('{"to": ', "[1]", "null"):
            await args.fill(wrong)
            await page.click("#reply-send")
            assert not await args.evaluate("(box) => box.checkValidity()"), wrong
        await args.fill('{"to":')
        await args.press("Enter")
        await args.type('"Ann"}')
        assert sent == []
        await page.click("#reply-send")
        await expect(page.locator("#notices .error")).to_be_visible(timeout=PATIENCE)
        [decision] = sent[0]["command"]["resume"]["decisions"]
        assert decision["edited_action"] == {**ACTION, "args": {"to": "Ann"}}
        await expect(page.locator("#reply-send")).to_be_focused()


async def test_with_ten_files_a_phone_still_shows_the_button(product: Product) -> None:
    async with new_page(width=360, height=640) as (page, _):
        await chat(page, product.url)
        name = "a-name-as-long-as-they-come"
        some: list[Any] = [
            {"name": f"{name}-{n}.txt", "mimeType": "text/plain", "buffer": b"x"}
            for n in range(10)
        ]
        await page.set_input_files("#file-input", some)
        await page.fill("#composer", "line\n" * 20)
        await expect(page.locator("#files li:not([aria-busy])")).to_have_count(10)
        await expect(page.locator("#send")).to_be_in_viewport(ratio=1)
        await expect(page.locator("#scroller")).to_be_in_viewport()
