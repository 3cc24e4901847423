"""A person signs in, passes onboarding and chats, in Chromium on the real product."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from bff.dev.demo import PASSWORD
from tests.real.browser import browser_context, picture, watch

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.real.product import Product

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

PATIENCE = 20_000  # milliseconds
UNDERWAY = '[data-role="ai"][data-streaming="true"]'


async def sign_in(page: Page, product: Product, email: str) -> None:
    """Open the product, land on the sign-in page, and sign in by password."""
    await page.goto(f"{product.url}/")
    assert "/login" in page.url
    await page.fill("#email", email)
    await page.fill("#password", PASSWORD)
    await page.click("#sign-in")


async def test_a_person_signs_in_passes_onboarding_and_sees_the_answer_stream(
    product: Product,
) -> None:
    async with browser_context() as context:
        page = await context.new_page()
        record = watch(page)
        await page.goto(f"{product.url}/")
        await picture(page, "login")
        await sign_in(page, product, "alice@acme.test")
        await expect(page.locator("#composer")).to_be_visible(timeout=PATIENCE)
        assert page.url == f"{product.url}/"
        await expect(page.locator("#identity")).to_contain_text("alice@acme.test")

        await page.fill("#composer", "long 30")
        await page.press("#composer", "Enter")
        await page.wait_for_selector(UNDERWAY, timeout=PATIENCE)
        streaming = page.locator(UNDERWAY)
        await expect(streaming).to_contain_text("tok3", timeout=PATIENCE)
        early = await streaming.inner_text()
        await picture(page, "chat-streaming")
        last = page.locator('[data-role="ai"]').last
        await expect(last).to_contain_text("tok29", timeout=PATIENCE)
        await expect(page.locator(UNDERWAY)).to_have_count(0, timeout=PATIENCE)
        assert "tok29" not in early
        await page.click("#new-thread")
        await page.fill("#composer", "What does this gateway do?")
        await page.press("#composer", "Enter")
        answer = page.locator('[data-role="ai"]')
        await expect(answer).to_have_count(1, timeout=PATIENCE)
        await expect(answer).to_contain_text("for more", timeout=PATIENCE)
        await expect(page.locator(UNDERWAY)).to_have_count(0, timeout=PATIENCE)
        await picture(page, "chat")

        with_token = [
            url for _, url, headers in record.requests if "authorization" in headers
        ]
        assert with_token == []
        assert {url.split("/")[2] for _, url, _ in record.requests} == {
            product.url.removeprefix("http://")
        }
        assert record.complaints == []
        readable = await page.evaluate("document.cookie")
        assert "nx_" not in readable


async def test_stop_ends_an_answer(product: Product) -> None:
    async with browser_context() as context:
        page = await context.new_page()
        await sign_in(page, product, "alice@acme.test")
        # Known who it is: the page's scripts are at work.
        await expect(page.locator("#identity")).to_contain_text("alice")
        await page.fill("#composer", "long 200")
        await page.press("#composer", "Enter")
        streaming = page.locator(UNDERWAY)
        await expect(streaming).to_contain_text("tok2", timeout=PATIENCE)

        await page.click("#stop")

        await expect(streaming).to_have_count(0, timeout=PATIENCE)
        await expect(page.locator("#composer")).to_be_enabled()


async def test_an_error_of_the_agent_is_shown_and_the_chat_goes_on(
    product: Product,
) -> None:
    async with browser_context() as context:
        page = await context.new_page()
        await sign_in(page, product, "alice@acme.test")
        # Known who it is: the page's scripts are at work.
        await expect(page.locator("#identity")).to_contain_text("alice")
        await page.fill("#composer", "boom")
        await page.press("#composer", "Enter")

        await expect(page.locator("#notices")).to_contain_text(
            "You asked for it", timeout=PATIENCE
        )

        await page.fill("#composer", "hello again")
        await expect(page.locator("#send")).to_be_enabled(timeout=PATIENCE)


async def test_a_wrong_password_says_so_and_keeps_what_was_typed(
    product: Product,
) -> None:
    async with browser_context(width=360, height=740) as context:
        page = await context.new_page()
        await page.goto(f"{product.url}/login")
        await page.fill("#email", "bob@globex.test")
        await page.fill("#password", "Wrong-Horse-1")
        await page.click("#sign-in")

        await expect(page.locator("#error")).to_be_visible(timeout=PATIENCE)

        assert await page.input_value("#email") == "bob@globex.test"
        await picture(page, "login-error-phone")


async def test_single_sign_on_ends_where_it_began(product: Product) -> None:
    async with browser_context(dark=True) as context:
        page = await context.new_page()
        await page.goto(f"{product.url}/login")
        await page.click("#sso")
        await page.wait_for_url(re.compile("/realms/"), timeout=PATIENCE)
        await picture(page, "provider")
        await page.fill('input[name="username"]', "bob@globex.test")
        await page.fill('input[name="password"]', PASSWORD)
        await page.click('button[type="submit"], input[type="submit"]')

        await expect(page.locator("#composer, [data-phase]").first).to_be_visible(
            timeout=PATIENCE
        )
        assert page.url.startswith(product.url)
        await picture(page, "after-sso-dark")


async def test_somebody_new_registers_and_founds_a_workspace(
    product: Product,
) -> None:
    async with browser_context(width=360, height=740) as context:
        page = await context.new_page()
        await page.goto(f"{product.url}/auth/sso?prompt=create")
        await page.fill('input[name="firstName"]', "Dora")
        await page.fill('input[name="lastName"]', "Hooli")
        await page.fill('input[name="email"]', f"dora-{time.time_ns()}@hooli.test")
        await page.fill('input[name="password"]', PASSWORD)
        await page.fill('input[name="password-confirm"]', PASSWORD)
        await page.click('button[type="submit"], input[type="submit"]')
        await expect(page.locator("#start")).to_be_visible(timeout=PATIENCE)
        await picture(page, "onboarding-phone")

        await page.fill("#workspace-name", "Hooli")
        await page.click("#start")

        await expect(page.locator("#composer")).to_be_visible(timeout=PATIENCE)
        await expect(page.locator("#identity")).to_contain_text("dora-")
        await picture(page, "chat-phone")


async def test_signing_out_leaves_every_tab(product: Product) -> None:
    async with browser_context() as context:
        first = await context.new_page()
        await sign_in(first, product, "alice@acme.test")
        await expect(first.locator("#composer")).to_be_visible(timeout=PATIENCE)
        second = await context.new_page()
        await second.goto(f"{product.url}/")
        await expect(second.locator("#composer")).to_be_visible(timeout=PATIENCE)

        await first.click("#me")
        await first.click("#sign-out")

        await first.wait_for_url(re.compile("/login"), timeout=PATIENCE)
        await second.wait_for_url(re.compile("/login"), timeout=PATIENCE)
        left = {cookie["name"] for cookie in await context.cookies()}
        assert left <= {"nx_device"}  # it opens nothing
