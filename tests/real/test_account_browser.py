"""/account in Chromium: who one is, where, from which devices, and the way out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.bff.members.people import ALICE, BOB, CAROL, make_member
from tests.real import axe
from tests.real.browser import picture
from tests.real.people_browser import EVIL, PATIENCE, Seat, breaks_once, seated

if TYPE_CHECKING:
    from tests.world import World

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(180)]

PAGE = "/account"


async def arrived(seat: Seat) -> None:
    """Open the page and wait until all of it is there."""
    await seat.open(PAGE)
    await expect(seat.page.locator("#email")).to_have_text(seat.email, timeout=PATIENCE)
    await expect(seat.row("sessions", "This session")).to_have_count(1)


async def test_people_see_who_they_are_and_from_where(world: World) -> None:
    async with seated(world, ALICE) as alice:
        await arrived(alice)

        await expect(alice.page.locator("#workspace")).to_have_text("Acme")
        await expect(alice.page.locator("#roles")).to_have_text("Viewer, Admin")
        await expect(alice.row("sessions", "Chrome on Linux")).to_have_count(1)
        await expect(alice.page.locator("#to-admin")).to_be_visible()
        await expect(alice.part("odoo")).to_contain_text("no Odoo")
        await expect(alice.page.locator("#open-odoo")).to_be_hidden()
        await picture(alice.page, "account")
        await axe.assert_clean(alice.page, PAGE)
        assert alice.record.complaints == []


async def test_whoever_is_no_admin_is_not_sent_to_the_admins_page(
    world: World,
) -> None:
    async with seated(world, BOB) as bob:
        await arrived(bob)
        await expect(bob.page.locator("#roles")).to_have_text("Viewer")
        await expect(bob.page.locator("#to-admin")).to_be_hidden()


async def test_a_session_elsewhere_is_ended(world: World) -> None:
    async with seated(world, ALICE) as here, seated(world, ALICE) as there:
        await arrived(there)
        await arrived(here)
        other = here.part("sessions").locator(".rows > li:not([aria-current])")
        await expect(other).to_have_count(1)

        await other.get_by_role("button").click()
        question = here.dialog()
        await expect(question).to_contain_text("change your password")
        await question.get_by_role("button", name="Cancel").click()
        assert (await there.asks("/auth/session"))["authenticated"]
        await other.get_by_role("button").click()
        await question.get_by_role("button", name="End").click()

        await here.is_told("sessions", "has ended")
        await expect(other).to_have_count(0)
        await expect(here.page.locator("#sessions-title")).to_be_focused()
        await there.page.locator("#sign-out-everywhere").click()
        await there.dialog().get_by_role("button", name="Cancel").click()
        await there.page.reload()
        await there.is_sent_to_sign_in(PAGE)
        assert (await here.asks("/auth/session"))["authenticated"]


async def test_signing_out_everywhere_asks_first_and_works_by_keyboard(
    world: World,
) -> None:
    async with seated(world, ALICE) as here, seated(world, ALICE) as there:
        await arrived(here)
        everywhere = here.page.locator("#sign-out-everywhere")
        await everywhere.focus()
        await here.page.keyboard.press("Enter")
        question = here.dialog()
        await expect(question).to_contain_text("on every device")
        await expect(question.get_by_role("button", name="Cancel")).to_be_focused()
        await axe.assert_clean(here.page, "the question before signing out")
        await here.page.keyboard.press("Escape")
        await expect(question).to_have_count(0)
        await expect(everywhere).to_be_focused()
        assert (await there.asks("/auth/session"))["authenticated"]

        await here.page.keyboard.press("Enter")
        await here.page.keyboard.press("Tab")
        await here.page.keyboard.press("Enter")

        await here.page.wait_for_url(re.compile("/login"), timeout=PATIENCE)
        assert not (await there.asks("/auth/session"))["authenticated"]


async def test_an_outage_while_signing_out_is_told_and_can_be_tried_again(
    world: World,
) -> None:
    async with seated(world, ALICE) as alice:
        await arrived(alice)
        await breaks_once(alice.page, "**/auth/logout", "POST", 0)
        await alice.page.click("#sign-out-everywhere")
        confirm = alice.dialog().get_by_role("button", name="Sign out everywhere")
        await confirm.click()
        await expect(alice.dialog().get_by_role("alert")).to_contain_text(
            "Check your connection"
        )
        await confirm.click()
        await alice.page.wait_for_url(re.compile("/login"), timeout=PATIENCE)


async def test_people_of_two_workspaces_switch(world: World) -> None:
    async with seated(world, ALICE) as alice:
        await make_member(world, ALICE, tenant_id=1002)
        await arrived(alice)
        await expect(alice.row("workspaces", "Acme")).to_contain_text("You are here")

        switch = alice.row("workspaces", "Globex").get_by_role("button")
        await expect(switch).to_have_accessible_name("Switch Globex")
        # It has worked, whatever becomes of the list afterwards.
        await breaks_once(alice.page, "**/auth/tenants", "GET", 503)
        await switch.click()

        await alice.is_told("workspaces", "You are in Globex now")
        await expect(alice.row("workspaces", "Globex")).to_contain_text("You are here")
        await expect(alice.page.locator("#workspace")).to_have_text("Globex")
        # Admin of the other workspace only.
        await expect(alice.page.locator("#roles")).to_have_text("Viewer")
        await expect(alice.page.locator("#to-admin")).to_be_hidden()
        await expect(alice.row("sessions", "This session")).to_have_count(1)
        assert (await alice.asks("/whoami"))["tenant_id"] == 1002


async def test_whoever_has_no_workspace_is_told_how_to_get_one(world: World) -> None:
    async with seated(world, CAROL) as carol:
        await arrived(carol)
        await expect(carol.page.locator("#workspace")).to_have_text("None")
        found = carol.part("workspaces").get_by_role("link")
        await expect(found).to_have_attribute("href", "/onboarding")
        await axe.assert_clean(carol.page, "an account without a workspace")


async def test_a_part_that_fails_says_so_and_comes_when_it_is_tried_again(
    world: World,
) -> None:
    async with seated(world, ALICE) as alice:
        await breaks_once(alice.page, "**/auth/sessions", "GET", 503)
        await alice.open(PAGE)
        await alice.is_told("sessions", "not available right now")
        await expect(alice.page.locator("#email")).to_have_text(ALICE)
        await axe.assert_clean(alice.page, "an account of which a part failed")

        await alice.part("sessions").get_by_role("button", name="Try again").click()

        await expect(alice.row("sessions", "This session")).to_have_count(1)
        await expect(alice.part("sessions").locator(".outcome")).to_be_empty()


async def test_names_and_devices_are_text_and_nothing_else(world: World) -> None:
    async with world.browser() as elsewhere, seated(world, ALICE) as alice:
        body = {"email": ALICE, "password": "Correct-Horse-1"}
        evil = {"User-Agent": EVIL}
        login = await elsewhere.post("/auth/login", json=body, headers=evil)
        assert login.status == 200
        async with world.databases.superuser() as superuser:
            await superuser.execute(
                "UPDATE tenants SET name = $1 WHERE tenant_id = 1001", EVIL
            )
        info = {
            "exists": True,
            "ready": False,
            "error": EVIL,
            "login_url": "javascript:window.pwned=1",
        }
        await alice.page.route(
            "**/session/odoo_info", lambda route: route.fulfill(json={"odoo": info})
        )
        await alice.page.route(
            "**/whoami",
            lambda route: route.fulfill(
                json={"email": EVIL, "sub": EVIL, "tenant_id": 1001, "roles": [EVIL]}
            ),
        )
        await alice.open(PAGE)
        for place in ("#email", "#workspace", "#roles", "#odoo-state"):
            await expect(alice.page.locator(place)).to_have_text(EVIL)
        await expect(alice.row("sessions", EVIL[:40])).to_have_count(1)
        await expect(alice.page.locator("#open-odoo")).to_be_hidden()
        assert await alice.page.locator("#open-odoo").get_attribute("href") is None
        assert await axe.too_wide(alice.page) == []
        await alice.is_unharmed()
