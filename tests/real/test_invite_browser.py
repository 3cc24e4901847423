"""Somebody opens an invitation's link in Chromium, signs in and joins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.bff.members.inviting import invited
from tests.real.axe import assert_clean
from tests.real.browser import browser_context, picture, watch
from tests.world import PASSWORD, World

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.databases import Databases

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(180)]

PATIENCE = 20_000  # milliseconds
CAROL = "carol@initech.test"


async def sign_in(page: Page) -> None:
    await expect(page.locator("#sign-in-form")).to_be_visible(timeout=PATIENCE)
    await page.fill("#email", CAROL)
    await page.fill("#password", PASSWORD)
    await page.click("#sign-in")


async def test_an_invitation_survives_the_sign_in_and_waits_for_a_click(
    world: World,
) -> None:
    async with (
        world.signed_in() as alice,
        world.signed_in(CAROL) as carol,
        browser_context(width=360, height=740) as context,
    ):
        token = await invited(alice)
        page = await context.new_page()
        record = watch(page)
        await page.goto(f"{world.url}/invite#{token}")
        await page.wait_for_url("**/login?return_to=%2Finvite", timeout=PATIENCE)
        register = page.locator("#register")
        await expect(register).to_have_attribute(
            "href", "/auth/sso?return_to=%2Finvite&prompt=create"
        )
        await sign_in(page)

        await expect(page.locator("#accept")).to_be_visible(timeout=PATIENCE)
        await expect(page.locator("#lead")).to_contain_text(CAROL)
        assert page.url == f"{world.url}/invite"
        await picture(page, "invite-phone")
        await assert_clean(page, "invited")
        # Opening a link joins nothing.
        assert (await (await carol.get("/whoami")).json())["tenant_id"] is None
        await page.click("#accept")

        await page.wait_for_url(f"{world.url}/", timeout=PATIENCE)
        who = await page.evaluate("fetch('/whoami').then((a) => a.json())")
        assert (who["email"], who["tenant_id"]) == (CAROL, 1001)
        assert not [url for _, url, _ in record.requests if token in url]
        assert not [
            headers
            for _, _, headers in record.requests
            if token in headers.get("referer", "")
        ]
        assert await page.evaluate("sessionStorage.getItem('nx-invite')") is None

        # The link is spent; whoever opens it again reads so.
        await page.goto(f"{world.url}/invite#{token}")
        await page.click("#accept")
        await expect(page.locator("#error")).to_contain_text(
            "has been used", timeout=PATIENCE
        )


async def test_half_a_link_says_so(world: World) -> None:
    async with browser_context() as context:
        page = await context.new_page()
        await page.goto(f"{world.url}/invite")

        await expect(page.locator("#lead")).to_contain_text("not complete")
        await assert_clean(page, "half a link")
        await expect(page.locator("#accept")).to_be_hidden()


async def test_where_nobody_registers_the_page_does_not_offer_it(
    databases: Databases,
) -> None:
    world = World(databases, settings={"register": {"mode": "off"}})
    async with world.running(), browser_context() as context:
        page = await context.new_page()
        record = watch(page)
        await page.goto(f"{world.url}/login")

        await expect(page.locator("#sso")).to_have_attribute(
            "href", "/auth/sso?return_to=%2F"
        )
        await expect(page.locator("#register")).to_have_count(0)
        assert record.complaints == []
