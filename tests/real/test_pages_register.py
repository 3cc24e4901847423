"""The page that opens an account, in each way that the settings know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.real.axe import assert_clean
from tests.real.pages import answer_with, focused, new_page
from tests.world import PROVISIONED, World

if TYPE_CHECKING:
    from tests.databases import Databases

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(180)]


def world_of(databases: Databases, mode: str) -> World:
    settings: dict[str, dict[str, Any]] = {"register": {"mode": mode}}
    if mode == "admin_api":
        settings["auth"] = PROVISIONED
    return World(databases, settings=settings)


async def test_the_provider_s_page_is_a_click_away(databases: Databases) -> None:
    async with (
        world_of(databases, "self_service").running() as world,
        new_page() as (page, record),
    ):
        await page.goto(f"{world.url}/register?return_to=%2Finvite")
        await assert_clean(page, "register at the provider's")
        there = page.locator("#go-there")
        await expect(there).to_have_attribute(
            "href", "/auth/sso?return_to=%2Finvite&prompt=create"
        )
        assert record.complaints == []
        await there.click()
        await page.wait_for_url(f"{world.issuer}/**")


async def test_a_form_asks_for_an_account_and_tells_nothing_about_it(
    databases: Databases,
) -> None:
    async with (
        world_of(databases, "admin_api").running() as world,
        new_page() as (page, record),
    ):
        await page.goto(f"{world.url}/login?return_to=%2Finvite")
        await page.click("#register")
        assert page.url == f"{world.url}/register?return_to=%2Finvite"
        await assert_clean(page, "register")
        heading = page.locator("h1")
        for email in ("new@acme.test", "alice@acme.test"):
            await page.fill("#full-name", "Ann Other")
            await page.fill("#email", email)
            await page.keyboard.press("Enter")
            await expect(heading).to_have_text("Look into your mailbox")
            assert await focused(page) == "heading"
            await expect(page.locator("#register-form")).to_be_hidden()
            await assert_clean(page, "registered")
            await page.click("#again")
            assert await focused(page) == "email"
        assert record.complaints == []
        await page.click("#sign-in")
        assert page.url == f"{world.url}/login?return_to=%2Finvite"


REFUSALS: list[tuple[int, dict[str, str], str]] = [
    (422, {"detail": "<b>That</b> is no address."}, "<b>That</b> is no address."),
    (429, {"detail": "x"}, "Too many tries"),
    (404, {}, "not opened here"),
    (503, {"detail": "Busy. Try again."}, "Busy."),
]


async def test_a_refusal_leaves_what_was_typed(databases: Databases) -> None:
    async with (
        world_of(databases, "admin_api").running() as world,
        new_page() as (page, _),
    ):
        await page.goto(f"{world.url}/register")
        await page.fill("#full-name", "Ann Other")
        await page.fill("#email", "new@acme.test")
        for status, body, told in REFUSALS:
            await answer_with(page, "/auth/register", status=status, json=body)
            await page.click("#submit")
            await expect(page.locator("#error")).to_contain_text(told)
            assert await page.input_value("#full-name") == "Ann Other"
            await expect(page.locator("#submit")).to_have_text("Create the account")


async def test_where_nobody_registers_the_page_says_so(databases: Databases) -> None:
    async with (
        world_of(databases, "off").running() as world,
        new_page() as (page, _),
    ):
        answer = await page.goto(f"{world.url}/register")
        assert answer is not None
        assert answer.status == 404
        await expect(page.locator("h1")).to_have_text("Accounts are by invitation")
        await expect(page.locator("form")).to_have_count(0)
        await assert_clean(page, "no registration")
