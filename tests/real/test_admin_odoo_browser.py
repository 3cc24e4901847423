"""/admin in Chromium beside an Odoo: its state, a repair, another key, exports."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.bff.odoo_world import ALICE, NAME, TENANT, OdooWorld, odoo_world
from tests.real import axe
from tests.real.browser import picture
from tests.real.people_browser import EVIL, PATIENCE, Seat, seated

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from playwright.async_api import Route

    from tests.databases import Databases
    from tests.world import World

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(180)]

PAGE = "/admin"
ODOO = f"/tenants/{TENANT}/odoo"
SEEN = """(state) => {
  const value = { configurable: true, get: () => state };
  Object.defineProperty(document, "visibilityState", value);
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
async def place(databases: Databases) -> AsyncGenerator[OdooWorld]:
    """Give a tenant whose Odoo is ready, and no worker."""
    async with odoo_world(databases) as running:
        async with running.worker(), running.admin() as browser:
            await running.ready(browser)
        yield running


@pytest.fixture
async def alice(place: OdooWorld) -> AsyncGenerator[Seat]:
    """Give its admin, in front of the page."""
    async with seated(place.world, ALICE) as seat:
        await seat.open(PAGE)
        await expect(seat.page.locator("#odoo-actions")).to_be_visible(timeout=PATIENCE)
        yield seat


async def rotate(alice: Seat) -> None:
    await alice.page.click("#rotate-key")
    await alice.dialog().get_by_role("button", name="Renew the key").click()


async def repair(alice: Seat) -> None:
    await alice.page.click("#repair-odoo")
    await alice.dialog().get_by_role("button", name="Repair").click()


async def send(alice: Seat) -> None:
    await alice.page.click("#sync")
    await alice.dialog().get_by_role("button", name="Send").click()


async def test_an_odoo_is_described_and_tried(place: OdooWorld, alice: Seat) -> None:
    facts = alice.page.locator("#odoo-facts")
    await expect(facts).to_contain_text("No problem is known")
    await expect(facts).to_contain_text(NAME)
    await expect(facts).to_contain_text("The API key ends")
    await expect(alice.page.locator("#open-odoo")).to_have_attribute(
        "href", f"{place.fake.url}/web/login?db={NAME}"
    )
    async with place.worker():
        await alice.page.click("#check-odoo")
        await alice.is_told("odoo", "a record was written, read and removed")
    await picture(alice.page, "admin-odoo")
    await axe.assert_clean(alice.page, "an Odoo that is well")
    assert alice.record.complaints == []


async def test_a_key_is_renewed_after_a_question(place: OdooWorld, alice: Seat) -> None:
    before = await place.kept()
    async with place.worker():
        await alice.page.click("#rotate-key")
        await expect(alice.dialog()).to_contain_text("every older one is revoked")
        await axe.assert_clean(alice.page, "the question before another key")
        await alice.dialog().get_by_role("button", name="Cancel").click()
        assert await place.task("rotate") is None

        await rotate(alice)

        await alice.is_told("odoo", "A new key is in use")
    after = await place.kept()
    assert after.key != before.key
    assert list(place.odoo.keys) == [after.key]
    await expect(alice.page.locator("#odoo-facts")).to_contain_text(
        "Last renewal of the key"
    )
    # Neither of them ever came here.
    assert after.key not in await alice.page.content()


async def test_a_key_that_cannot_be_renewed_says_why_and_is_tried_again(
    place: OdooWorld, alice: Seat
) -> None:
    async with place.worker():
        place.fake.fail("res.users.apikeys.description/make_key", page=(502, EVIL))
        await rotate(alice)
        error = alice.dialog().get_by_role("alert")
        await expect(error).to_contain_text("Odoo did not answer in time")
        await alice.dialog().get_by_role("button", name="Renew the key").click()
        await alice.is_told("odoo", "A new key is in use")


async def test_a_repair_is_followed_to_its_end(place: OdooWorld, alice: Seat) -> None:
    before = await place.kept()
    await alice.page.click("#repair-odoo")
    await expect(alice.dialog()).to_contain_text("with a new password")
    await axe.assert_clean(alice.page, "the question before a repair")
    await alice.dialog().get_by_role("button", name="Cancel").click()
    assert await place.task("repair") is None
    await repair(alice)
    await alice.is_told("odoo", "The repair is under way")
    facts = alice.page.locator("#odoo-facts")
    await expect(facts).to_contain_text("waiting")
    # Whoever comes back to the page finds it as it is.
    await alice.page.reload()
    await expect(facts).to_contain_text("waiting")
    async with place.worker():
        await place.over("repair")
        await expect(facts).to_contain_text("done", timeout=PATIENCE)
        await repair(alice)
        await alice.is_told("odoo", "The repair is done")
    assert (await place.kept()).admin_password != before.admin_password


async def test_a_server_that_goes_away_meanwhile_is_waited_for(
    place: OdooWorld, alice: Seat
) -> None:
    away = [True]

    async def gone(route: Route) -> None:
        await (route.abort() if away[0] else route.continue_())

    await alice.page.route(f"**{ODOO}", gone)
    await repair(alice)
    await alice.is_told("odoo", "We could not reach the server")
    # Once: who listens to the page is not told the same again and again.
    mark = "document.querySelector('#odoo .outcome > p').dataset.said = 'once'"
    await alice.page.evaluate(mark)
    for _ in range(2):
        await alice.page.wait_for_event("requestfailed", timeout=PATIENCE)
    told = alice.part("odoo").locator(".outcome > p")
    await expect(told).to_have_attribute("data-said", "once")
    away[0] = False
    async with place.worker():
        await alice.is_told("odoo", "The repair is done")


async def test_a_page_that_nobody_sees_asks_for_nothing(
    place: OdooWorld, alice: Seat
) -> None:
    await repair(alice)
    await alice.is_told("odoo", "The repair is under way")
    await alice.page.evaluate(SEEN, "hidden")
    async with place.worker():
        await place.over("repair")
    # Longer than it takes to ask twice.
    await alice.page.wait_for_timeout(4000)
    facts = alice.page.locator("#odoo-facts")
    await expect(facts).to_contain_text("waiting")
    await alice.page.evaluate(SEEN, "visible")
    await alice.is_told("odoo", "The repair is done")


async def test_a_failed_repair_says_why(place: OdooWorld, alice: Seat) -> None:
    async with place.worker():
        await place.execute("UPDATE odoo_connections SET server_url = 'http://x.test'")
        await repair(alice)
        await alice.is_told("odoo", "another server")
    await axe.assert_clean(alice.page, "a repair that failed")


async def test_companies_are_sent_to_odoo(place: OdooWorld, alice: Seat) -> None:
    await expect(alice.page.locator("#sync-state")).to_be_hidden()
    await alice.page.fill("#sync-limit", "4")
    await alice.page.click("#sync")
    await expect(alice.dialog()).to_contain_text("Up to 4 companies")
    await alice.page.keyboard.press("Escape")
    await expect(alice.dialog()).to_have_count(0)
    await send(alice)
    await alice.is_told("exports", "being sent")
    await expect(alice.page.locator("#sync-text")).to_contain_text("Waiting")
    await axe.assert_clean(alice.page, "a sync under way")
    async with place.worker():
        await alice.is_told("exports", "The companies are sent")
    await expect(alice.page.locator("#sync-text")).to_contain_text("4 new")
    bar = alice.page.locator("#sync-progress")
    assert await bar.evaluate("(one) => one.value / one.max") == 1
    assert len(place.odoo.records["crm.lead"]) == 4
    await alice.page.reload()
    await expect(alice.page.locator("#sync-text")).to_contain_text("4 new")


async def test_what_odoo_refused_is_text(alice: Seat) -> None:
    done = {
        "state": "failed",
        "count": 3,
        "created": 1,
        "updated": 0,
        "skipped": 0,
        "refused": 1,
        "errors": [{"company_id": 7, "error": EVIL}],
        "error": EVIL,
        "finished_at": EVIL,
    }
    odoo = {
        "exists": True,
        "error": EVIL,
        "db_name": EVIL,
        "base_url": EVIL,
        "login_url": "javascript:window.pwned=1",
        "checked_at": EVIL,
        "key_expires_at": None,
        "tasks": {
            "rotate": {"state": EVIL, "error": EVIL, "asked_at": EVIL},
            "repair": None,
        },
    }
    await alice.page.route(
        "**/export/odoo/sync", lambda route: route.fulfill(json=done)
    )
    await alice.page.route(f"**{ODOO}", lambda route: route.fulfill(json=odoo))
    await alice.page.reload()
    await expect(alice.page.locator("#sync-text")).to_contain_text(EVIL)
    await alice.page.locator("#sync-errors summary").click()
    await expect(alice.page.locator("#sync-refused")).to_have_text(f"Company 7: {EVIL}")
    await expect(alice.page.locator("#odoo-facts")).to_contain_text(EVIL)
    await expect(alice.page.locator("#open-odoo")).to_be_hidden()
    assert await axe.too_wide(alice.page) == []
    await alice.is_unharmed()


async def test_exports_are_downloaded(alice: Seat) -> None:
    await alice.page.fill("#export-limit", "3")
    await alice.part("exports").get_by_role("checkbox").check()
    async with alice.page.expect_download() as begun:
        await alice.page.get_by_role("button", name="Download CSV").click()
    await alice.is_told("exports", "The download has begun")
    download = await begun.value
    assert download.suggested_filename == "latest_scores.csv"
    file = Path(await download.path())
    text = await asyncio.to_thread(file.read_text, encoding="utf-8")
    header, *rows = csv.reader(io.StringIO(text))
    assert "primary_email" in header
    assert len(rows) == 3
    async with alice.page.expect_download() as begun:
        await alice.page.get_by_role("button", name="Download JSON").click()
    assert (await begun.value).suggested_filename == "latest_scores.json"


async def test_an_export_without_a_session_leads_to_the_sign_in(alice: Seat) -> None:
    await alice.page.context.clear_cookies()
    await alice.page.get_by_role("button", name="Download CSV").click()
    await alice.is_sent_to_sign_in(PAGE)


async def test_without_an_odoo_the_page_says_so(world: World) -> None:
    async with seated(world, ALICE) as alice:
        await alice.open(PAGE)
        await expect(alice.page.locator("#odoo-facts")).to_contain_text("no Odoo")
        await expect(alice.page.locator("#odoo-actions")).to_be_hidden()
        await send(alice)
        error = alice.dialog().get_by_role("alert")
        await expect(error).to_contain_text("This service has no Odoo")
