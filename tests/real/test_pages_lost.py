"""The conversation page when requests are refused, get lost, or come late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.real.pages import (
    ANSWERS,
    PATIENCE,
    UNDERWAY,
    answer_with,
    answered,
    ask,
    chat,
    enter,
    new_page,
    say,
    thread_with,
)

if TYPE_CHECKING:
    from playwright.async_api import Page, Route

    from tests.real.product import Product

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(180)]

SEARCH = "/graph/threads/search"
REFUSED = {"detail": "Invalid <token>"}
# Requests arrive, but the first answer for each of these endings never comes back.
LOSE = """(endings) => {
  const real = window.fetch;
  const left = [...endings];
  window.fetch = async (...given) => {
    const answer = await real(...given);
    const at = left.findIndex((one) => String(given[0]).endsWith(one));
    if (at < 0) return answer;
    left.splice(at, 1);
    throw new TypeError("lost on the way");
  };
}"""


async def runs_of(page: Page) -> list[dict[str, str]]:
    thread = page.url.rpartition("=")[2]
    return list(await ask(page, "GET", f"/graph/threads/{thread}/runs"))


async def test_a_refusal_by_the_graph_server_is_told_here(product: Product) -> None:
    async with new_page() as (page, _):
        await answer_with(page, SEARCH, status=401, json=REFUSED)
        await answer_with(page, "/graph/threads", status=401, json=REFUSED)
        await chat(page, product.url)
        await expect(page.locator("#threads-note")).to_contain_text("not be loaded")
        await say(page, "hello")
        notice = page.locator("#notices .error")
        await expect(notice).to_contain_text("Invalid <token>", timeout=PATIENCE)
        await expect(page.locator("#composer")).to_have_value("hello")
        assert page.url == f"{product.url}/"


async def test_somebody_else_in_another_tab_takes_the_page_over(
    product: Product,
) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        await page.fill("#composer", "for alice only")
        await page.context.clear_cookies()
        other = await page.context.new_page()
        await enter(other, product.url, "bob@globex.test")
        await page.evaluate("() => { dispatchEvent(new Event('focus')); }")
        await expect(page.locator("#identity")).to_contain_text("bob", timeout=PATIENCE)
        await expect(page.locator("#composer")).to_have_value("")


async def test_what_is_typed_stays_while_nobody_says_who_is_here(
    product: Product,
) -> None:
    async with new_page() as (page, _):
        await enter(page, product.url, path="/login")
        await answer_with(page, "/whoami", status=503, body="{}")
        await page.goto(product.url)
        notice = page.locator("#notices .error")
        await expect(notice).to_be_visible(timeout=PATIENCE)
        await page.fill("#composer", "half a thought")
        await page.unroute("**/whoami")
        await notice.get_by_role("button", name="Retry").click()
        await expect(page.locator("#identity")).to_contain_text("alice")
        await expect(page.locator("#composer")).to_have_value("half a thought")
        await expect(notice).to_have_count(0)
        await page.reload()
        await expect(page.locator("#composer")).to_have_value("half a thought")


async def test_a_message_before_the_thread_is_there_is_answered_once(
    product: Product,
) -> None:
    held = asyncio.Event()

    async def later(route: Route) -> None:
        await held.wait()
        await route.continue_()

    async with new_page() as (page, _):
        await chat(page, product.url)
        thread = await thread_with(page, [], "Slow to come")
        await page.route(f"**/threads/{thread}/runs?limit=1", later)
        await page.goto(f"{product.url}/?thread={thread}")
        await say(page, "long 30")
        await expect(page.locator(UNDERWAY)).to_contain_text("tok3")
        held.set()
        answer = await answered(page, "tok29")
        text = await answer.locator(".body").inner_text()
        assert text.split() == [f"tok{number}" for number in range(30)]
        # Nor does a message name a thread that has a name.
        await expect(page).to_have_title("Slow to come · Nexius")


async def test_a_message_whose_answer_got_lost_is_not_sent_twice(
    product: Product,
) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        await page.evaluate(LOSE, ["/runs/stream"])
        await say(page, "long 20")
        await answered(page, "tok19")
        await expect(page.locator("#composer")).to_have_value("")
        assert len(await runs_of(page)) == 1
        # Where nobody can say whether it arrived, it is asked before it is sent again.
        await page.evaluate(LOSE, ["/runs/stream", "/runs?limit=1"])
        await say(page, "once only")
        await expect(page.locator("#notices .error")).to_be_visible(timeout=PATIENCE)
        await expect(page.locator("#composer")).to_have_value("once only")
        await page.press("#composer", "Enter")
        await answered(page, "once only")
        await expect(page.locator(ANSWERS)).to_have_count(2)
        await expect(page.locator('[data-role="human"]')).to_have_count(2)
        assert len(await runs_of(page)) == 2


async def test_a_stop_that_failed_can_be_repeated(product: Product) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        await say(page, "long 400")
        await expect(page.locator(UNDERWAY)).to_contain_text("tok3")
        await answer_with(page, "/cancel", status=503, body="{}")
        await page.click("#stop")
        again = page.get_by_role("button", name="Stop again")
        await expect(again).to_be_visible(timeout=PATIENCE)
        [run] = await runs_of(page)
        assert run["status"] == "running"
        await page.unroute("**/cancel")
        async with page.expect_response("**/cancel") as cancelled:
            await again.click()
        assert (await cancelled.value).ok
        await expect(page.locator("#notices")).to_contain_text("Stopped.")
        await expect(page.locator("#notices .error")).to_have_count(0)


async def test_another_try_that_fails_can_be_tried_again(product: Product) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        await say(page, "boom")
        notice = page.locator("#notices .error")
        retry = notice.get_by_role("button", name="Retry")
        await expect(notice).to_contain_text("You asked for it", timeout=PATIENCE)
        await answer_with(page, "/runs/stream", status=503, body="{}")
        await retry.click()
        await expect(notice).to_contain_text("not available", timeout=PATIENCE)
        await page.unroute("**/runs/stream")
        await retry.click()
        await expect(notice).to_contain_text("You asked for it", timeout=PATIENCE)


async def test_a_list_that_did_not_come_is_not_said_to_be_empty(
    product: Product,
) -> None:
    async with new_page() as (page, _):
        await answer_with(page, SEARCH, status=503, body="{}")
        await chat(page, product.url)
        note = page.locator("#threads-note")
        await expect(note).to_contain_text("could not be loaded")
        await say(page, "hello")
        await answered(page, "for more")
        await expect(note).to_contain_text("could not be loaded")
        await page.unroute(f"**{SEARCH}")
        await note.get_by_role("button").click()
        await expect(note).to_have_text("")
        await expect(page.locator("#threads a").first).to_be_focused()
