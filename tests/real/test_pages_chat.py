"""The conversation page in Chromium, on the real product."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.real.axe import assert_clean
from tests.real.pages import (
    ANSWERS,
    PATIENCE,
    UNDERWAY,
    answered,
    ask,
    chat,
    new_page,
    say,
    thread_with,
)

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.real.product import Product

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(180)]

CALLING: list[dict[str, Any]] = [
    {"type": "human", "id": "1", "content": "Find Merlion"},
    {
        "type": "ai",
        "id": "2",
        "content": "",
        "tool_calls": [
            {"id": "call-1", "name": "search", "args": {"query": "Merlion"}},
            {"id": "call-2", "name": "now", "args": {}},
        ],
    },
    {
        "type": "tool",
        "id": "3",
        "name": "search",
        "tool_call_id": "call-1",
        "content": "Merlion Logistics Pte. Ltd.",
    },
    {
        "type": "ai",
        "id": "4",
        "content": "## Found\n\n| Name | Score |\n|---|---|\n| Merlion | 0.9 |\n\n"
        "```python\nprint('hi')\n```\n\n> quoted\n\n1. one\n2. [two](https://a.test)",
    },
]


async def test_all_that_is_shown_is_open_to_everybody(product: Product) -> None:
    async with new_page() as (page, record):
        await chat(page, product.url)
        await assert_clean(page, "chat, nothing said")
        await page.click("#me")
        await expect(page.locator("#me-menu")).to_be_visible()
        await assert_clean(page, "chat, menu")
        await page.keyboard.press("Escape")
        thread = await thread_with(page, CALLING, "Tools and tables")
        await page.goto(f"{product.url}/?thread={thread}")
        await expect(page.locator(".table")).to_be_visible()
        for fold in await page.locator(".fold summary").all():
            await fold.click()
        await assert_clean(page, "chat, tools and tables")
        await say(page, "long 300")
        await expect(page.locator(UNDERWAY)).to_contain_text("tok3")
        await assert_clean(page, "chat, streaming")
        await page.click("#stop")
        await expect(page.locator("#notices")).to_contain_text("Stopped")
        await say(page, "boom")
        await expect(page.locator("#notices .error")).to_be_visible(timeout=PATIENCE)
        await assert_clean(page, "chat, failed")
        assert record.complaints == []


async def test_tool_calls_are_folded_with_what_they_were_asked(
    product: Product,
) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        thread = await thread_with(page, CALLING, "Tools")
        await page.goto(f"{product.url}/?thread={thread}")
        folds = page.locator(".fold")
        await expect(folds).to_have_count(3)
        search, now, result = await folds.all()
        await expect(search.locator("summary")).to_have_text("Used search")
        await expect(now.locator("pre")).to_have_text("(nothing)")
        await expect(result.locator("pre")).to_be_hidden()
        await search.locator("summary").click()
        await expect(search.locator("pre")).to_have_text('{\n  "query": "Merlion"\n}')
        await result.locator("summary").press("Enter")
        await expect(result.locator("pre")).to_contain_text("Pte. Ltd.")


async def test_threads_are_renamed_and_deleted_by_keys(product: Product) -> None:
    async with new_page() as (page, record):
        await chat(page, product.url)
        thread = await thread_with(page, CALLING, "A first title")
        await page.reload()
        row = page.locator(f'[data-thread="{thread}"]')
        await row.locator("a").focus()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("dialog")).to_be_visible()
        await assert_clean(page, "renaming")
        await page.keyboard.type("Quarterly <i>plans</i>")
        await page.keyboard.press("Enter")
        await expect(page.locator("dialog")).to_have_count(0)
        await expect(row.locator("a")).to_have_text("Quarterly <i>plans</i>")
        kept = await ask(page, "GET", f"/graph/threads/{thread}")
        assert kept["metadata"]["title"] == "Quarterly <i>plans</i>"

        # The row's controls have the keyboard again; the next one deletes.
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await assert_clean(page, "deleting")
        await page.keyboard.press("Escape")
        await expect(row).to_be_visible()
        await row.locator("button").nth(1).press("Enter")
        await page.click("dialog .danger")
        await expect(row).to_have_count(0)
        left = await page.evaluate(
            "(id) => fetch(`/graph/threads/${id}`).then((one) => one.status)", thread
        )
        assert left == 404
        assert [one for one in record.complaints if "404" not in one] == []


async def test_older_threads_are_a_click_away(product: Product) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        for number in range(51):
            made = {"metadata": {"title": f"Older {number}"}}
            await ask(page, "POST", "/graph/threads", made)
        await page.reload()
        rows = page.locator("#threads > li")
        await expect(rows).to_have_count(50)
        await page.click("#more")
        await expect(page.get_by_text("Older 0", exact=True)).to_have_count(1)
        assert await rows.count() > 50


async def test_an_answer_is_copied_and_given_again(product: Product) -> None:
    async with new_page() as (page, _):
        origin = product.url
        rights = ["clipboard-read", "clipboard-write"]
        await page.context.grant_permissions(rights, origin=origin)
        await chat(page, product.url)
        await say(page, "What does this do?")
        first = await answered(page, "for more")
        await first.hover()
        await first.get_by_role("button", name="Copy").click()
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert "**What does this do?**" in copied, "the words as they were written"
        await expect(first).to_contain_text("Copied")
        before = await messages(page)
        await page.get_by_role("button", name="Answer again").click()
        await expect(page.locator("#stop")).to_be_visible()
        await answered(page, "for more")
        await expect(page.locator(ANSWERS)).to_have_count(1)
        await expect(page.locator('[data-role="human"]')).to_have_count(1)
        after = await messages(page)
        assert [one["type"] for one in after] == ["human", "ai"]
        assert after[0]["id"] == before[0]["id"]
        assert after[1]["id"] != before[1]["id"]


async def messages(page: Page) -> list[dict[str, str]]:
    """Return the messages of the open thread as the server has them."""
    thread = re.search(r"thread=([0-9a-f-]+)", page.url)
    assert thread
    state = await ask(page, "GET", f"/graph/threads/{thread[1]}/state")
    return list(state["values"]["messages"])


async def test_what_broke_off_is_tried_again(product: Product) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        await say(page, "boom")
        notice = page.locator("#notices .error")
        await expect(notice).to_contain_text("You asked for it", timeout=PATIENCE)
        # It is known of a thread that it broke off, too.
        await page.reload()
        await expect(notice).to_contain_text("ran into a problem", timeout=PATIENCE)
        await notice.get_by_role("button", name="Retry").click()
        await expect(notice).to_contain_text("You asked for it", timeout=PATIENCE)
        await expect(page.locator('[data-role="human"]')).to_have_count(1)


async def test_what_was_stopped_is_tried_again(product: Product) -> None:
    async with new_page() as (page, record):
        await chat(page, product.url)
        await say(page, "long 40")
        await expect(page.locator(UNDERWAY)).to_contain_text("tok3")
        await page.keyboard.press("Escape")
        notice = page.locator("#notices .message")
        await expect(notice).to_contain_text("Stopped.")
        await expect(page.locator(ANSWERS)).to_contain_text("tok3")
        await page.reload()
        await expect(notice).to_contain_text("Stopped.")
        await expect(page.locator("#notices .error")).to_have_count(0)
        await notice.get_by_role("button", name="Retry").click()
        await expect(page.locator("#scroller")).to_be_focused()
        await answered(page, "tok39")
        await expect(page.locator(ANSWERS)).to_have_count(1)
        assert record.complaints == []


async def test_the_menu_leads_everywhere_and_out(product: Product) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        await expect(page.locator("#identity")).to_contain_text("Acme")
        await page.focus("#me")
        await page.keyboard.press("Enter")
        menu = page.locator("#me-menu")
        await expect(menu).to_contain_text("alice@acme.test")
        await expect(menu.locator("#to-account")).to_have_attribute("href", "/account")
        await expect(menu.locator("#to-admin")).to_be_visible()
        await expect(menu.locator("#to-odoo")).to_be_hidden()
        await page.keyboard.press("Escape")
        await expect(menu).to_be_hidden()
        await expect(page.locator("#me")).to_be_focused()
        await page.click("#me")
        await page.click("#sign-out")
        await page.wait_for_url("**/login", timeout=PATIENCE)


async def test_at_360_px_everything_is_reached_by_keys(product: Product) -> None:
    async with new_page(width=360, height=740) as (page, _):
        await chat(page, product.url)
        thread = await thread_with(page, CALLING, "On the phone")
        await page.reload()
        await expect(page.locator("#threads a")).not_to_have_count(0)
        await expect(page.locator("#drawer")).to_be_hidden()
        await page.focus("#menu")
        await page.keyboard.press("Enter")
        await expect(page.locator("#new-thread")).to_be_focused()
        await assert_clean(page, "drawer")
        link = page.locator(f'#threads a[href$="{thread}"]')
        # Those of other tests may stand before it: a run that has just ended moves one.
        for _ in range(await page.locator("#threads a").count()):
            await page.keyboard.press("Tab")
            if await link.evaluate("link => link === document.activeElement"):
                break
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/?thread={thread}")
        await expect(page.locator("#drawer")).to_be_hidden()
        await expect(page.locator(".table")).to_be_visible()
