"""Two tabs of one browser: what one does to the session, the other must notice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.bff.members.inviting import made_admin
from tests.bff.members.people import ALICE, BOB, make_member
from tests.real import axe
from tests.real.people_browser import PATIENCE, SIGN_IN, Seat, seated
from tests.world import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from playwright.async_api import Page

    from tests.world import World

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(180)]

GLOBEX = 1002
NO_THREAD = "00000000-0000-4000-8000-000000000000"
GO_TO = """async (tenant_id) => (await fetch("/auth/tenant", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ tenant_id }),
})).status"""
COMES_BACK = "dispatchEvent(new Event('focus'))"


@pytest.fixture
async def alice(world: World) -> AsyncGenerator[Seat]:
    """Give an admin of Acme who is a viewer of Globex, too."""
    async with seated(world, ALICE) as seat:
        await made_admin(world)
        await make_member(world, ALICE, tenant_id=GLOBEX)
        yield seat


async def another_tab(alice: Seat) -> Page:
    """Give a second tab, on a page that notices nothing."""
    page = await alice.page.context.new_page()
    await page.goto(f"{alice.world.url}/invite")
    return page


async def switched(alice: Seat) -> Page:
    """Go on in Globex by a second tab's page of the account."""
    page = await another_tab(alice)
    await page.goto(f"{alice.world.url}/account")
    await page.get_by_role("button", name="Switch Globex").click()
    await expect(page.locator("#workspace")).to_have_text("Globex", timeout=PATIENCE)
    return page


async def bob_signs_in(alice: Seat) -> None:
    """Have somebody else sign in by a second tab, which tells nobody."""
    page = await another_tab(alice)
    assert await page.evaluate(SIGN_IN, [BOB, PASSWORD]) == 200


def asked_for(seat: Seat, part: str) -> list[str]:
    return [url for _, url, _ in seat.record.requests if part in url]


async def test_a_conversation_follows_to_the_other_workspace(alice: Seat) -> None:
    await alice.open(f"/?thread={NO_THREAD}")
    here = alice.page.locator("#identity")
    await expect(here).to_contain_text("Acme", timeout=PATIENCE)
    await alice.page.fill("#composer", "half a thought")

    await switched(alice)

    await expect(here).to_contain_text("Globex", timeout=PATIENCE)
    # The thread was one of the workspace before.
    assert alice.page.url == f"{alice.world.url}/"
    await expect(alice.page.locator("#composer")).to_have_value("half a thought")


async def test_a_conversation_is_not_left_to_somebody_else(alice: Seat) -> None:
    await alice.open("/")
    here = alice.page.locator("#identity")
    await expect(here).to_contain_text(ALICE, timeout=PATIENCE)
    await alice.page.fill("#composer", "my secret")
    await bob_signs_in(alice)

    await alice.page.evaluate(COMES_BACK)

    await expect(here).to_contain_text(BOB, timeout=PATIENCE)
    await expect(alice.page.locator("#composer")).to_have_value("")


async def test_administration_is_put_away_with_its_open_question(alice: Seat) -> None:
    await alice.open("/admin")
    await alice.page.click("#sync")
    await expect(alice.dialog()).to_be_visible()

    await switched(alice)

    moved = alice.page.locator("#moved")
    await expect(moved).to_contain_text("another workspace", timeout=PATIENCE)
    await expect(alice.dialog()).to_have_count(0)
    await expect(alice.page.locator("#board")).to_be_hidden()
    await axe.assert_clean(alice.page, "the administration of before")
    await moved.get_by_role("link").click()
    await expect(alice.part("refusal")).to_contain_text("Only admins")
    assert alice.record.complaints == []


async def test_administration_is_put_away_when_somebody_else_signs_in(
    alice: Seat, world: World
) -> None:
    # In the same workspace, by another name.
    await make_member(world, BOB, "admin")
    await alice.open("/admin")
    await expect(alice.row("members", ALICE)).to_have_count(1, timeout=PATIENCE)
    other = await another_tab(alice)
    assert await other.evaluate(SIGN_IN, [BOB, PASSWORD]) == 200
    assert await other.evaluate(GO_TO, 1001) == 200

    await alice.page.evaluate(COMES_BACK)

    await expect(alice.page.locator("#board")).to_be_hidden()
    await alice.page.locator("#moved").get_by_role("link").click()
    lead = alice.page.locator("#lead")
    await expect(lead).to_have_text(f"Acme, as {BOB}", timeout=PATIENCE)


async def test_what_names_no_workspace_asks_where_it_is_before_it_acts(
    alice: Seat,
) -> None:
    await alice.open("/admin")
    await expect(alice.row("members", ALICE)).to_have_count(1, timeout=PATIENCE)
    other = await another_tab(alice)
    assert await other.evaluate(GO_TO, GLOBEX) == 200  # and tells nobody
    before = len(asked_for(alice, "/export/"))

    await alice.page.get_by_role("button", name="Download CSV").click()
    await alice.is_told("exports", "another workspace meanwhile")
    await alice.page.click("#sync")
    await alice.dialog().get_by_role("button", name="Send").click()
    alert = alice.dialog().get_by_role("alert")
    await expect(alert).to_contain_text("another workspace meanwhile")

    assert len(asked_for(alice, "/export/")) == before


async def test_what_names_the_workspace_of_before_says_to_reload(
    alice: Seat, world: World
) -> None:
    await make_member(world, ALICE, "admin", tenant_id=GLOBEX)
    await alice.open("/admin")
    await expect(alice.part("audit").locator(".rows > li").first).to_be_visible()
    other = await another_tab(alice)
    assert await other.evaluate(GO_TO, GLOBEX) == 200
    await alice.page.select_option("#audit-area", "member.")
    await alice.is_told("audit", "Reload the page")


async def test_a_page_of_the_account_follows_as_well(alice: Seat) -> None:
    await alice.open("/account")
    where = alice.page.locator("#workspace")
    await expect(where).to_have_text("Acme", timeout=PATIENCE)
    there = await switched(alice)
    await expect(where).to_have_text("Globex")
    # The one that did it stays as it is.
    await expect(there.locator("#workspaces .outcome")).to_contain_text("You are in")


async def test_whoever_comes_back_to_the_same_is_left_alone(alice: Seat) -> None:
    await alice.open("/admin")
    await expect(alice.row("members", ALICE)).to_have_count(1, timeout=PATIENCE)
    async with alice.page.expect_response("**/auth/session") as looked:
        await alice.page.evaluate(COMES_BACK)
    await (await looked.value).finished()
    await expect(alice.row("members", ALICE)).to_be_visible()
    await expect(alice.page.locator("#moved")).to_be_empty()
