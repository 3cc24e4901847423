"""The onboarding page in Chromium, beside a fake Odoo that does as it is told."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.bff.onboarding.estate import keep_template, odoo_section
from tests.bff.onboarding.gates import gate
from tests.fakes.odoo import odoo_server
from tests.fakes.odoo_services import TEMPLATE
from tests.real.axe import assert_clean
from tests.real.browser import picture
from tests.real.pages import PATIENCE, answer_with, enter, focused, new_page
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from playwright.async_api import Page, Route

    from tests.databases import Databases
    from tests.fakes.odoo import FakeOdoo

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(180)]

CAROL = "carol@initech.test"
TIME = re.compile(r"\d+(\.\d)? s")


@asynccontextmanager
async def with_odoo(databases: Databases) -> AsyncGenerator[tuple[World, FakeOdoo]]:
    async with odoo_server() as fake:
        await keep_template(databases, fake)
        settings: dict[str, dict[str, Any]] = {
            "odoo": odoo_section(fake),
            "worker": {"heartbeat": 1, "dequeue": 0.2},
        }
        async with World(databases, settings).running() as world:
            yield world, fake


async def found(page: Page, world: World) -> None:
    await enter(page, world.url, CAROL, "/onboarding")
    await page.fill("#workspace-name", "Initech")
    await page.press("#workspace-name", "Enter")


async def test_a_founder_watches_the_phases_and_how_long_they_take(
    databases: Databases,
) -> None:
    async with with_odoo(databases) as (world, fake), new_page() as (page, record):
        await enter(page, world.url, CAROL, "/onboarding")
        await expect(page.locator("#start")).to_be_visible()
        await assert_clean(page, "onboarding, nothing begun")
        with gate(fake, "duplicate_database") as copying:
            await page.fill("#workspace-name", "Initech")
            await page.press("#workspace-name", "Enter")
            await copying.reached()
            running = page.locator('[data-phase="creating_odoo"]')
            await expect(running).to_have_attribute("data-state", "running")
            since = running.locator(".phase-state")
            await expect(since).to_have_text(re.compile(r"In progress · [1-9]"))
            await expect(page.locator('[data-phase="starting"]')).to_contain_text(TIME)
            assert "In progress" in await page.inner_text("#announcer")
            await assert_clean(page, "onboarding at work")
            await picture(page, "onboarding")
            assert record.complaints == []
            copying.open()
        await page.wait_for_url(f"{world.url}/", timeout=PATIENCE)


async def test_whoever_comes_back_finds_their_odoo_and_can_try_it(
    databases: Databases,
) -> None:
    async with with_odoo(databases) as (world, fake), new_page() as (page, _):
        await found(page, world)
        await page.wait_for_url(f"{world.url}/", timeout=PATIENCE)
        await page.goto(f"{world.url}/onboarding")
        await expect(page.locator("#lead")).to_contain_text(TIME)
        for phase in await page.locator("[data-phase]").all():
            await expect(phase.locator(".phase-state")).to_have_text(
                re.compile(r"Done \d+(\.\d)? s")
            )
        odoo = page.locator("#odoo")
        await expect(odoo).to_be_visible()
        assert str(await odoo.get_attribute("href")).startswith(fake.url)
        assert await odoo.get_attribute("rel") == "noopener noreferrer"
        await page.focus("#continue")
        for wanted in ("odoo", "verify"):
            await page.keyboard.press("Tab")
            assert await focused(page) == wanted
        await page.keyboard.press("Enter")
        told = page.locator("#verified")
        await expect(told).to_contain_text("written, read and removed")
        await assert_clean(page, "onboarded and verified")
        asleep = {"smoke": False, "error": "Odoo <b>sleeps</b>."}
        await answer_with(page, "/onboarding/verify_odoo", json=asleep)
        await page.click("#verify")
        await expect(told).to_have_text("Odoo <b>sleeps</b>.")
        await assert_clean(page, "not verified")
        await page.click("#continue")
        await page.wait_for_url(f"{world.url}/", timeout=PATIENCE)


async def test_what_failed_is_said_and_tried_again(databases: Databases) -> None:
    async with with_odoo(databases) as (world, fake), new_page() as (page, _):
        kept = fake.databases.pop(TEMPLATE)
        await found(page, world)
        await expect(page.locator("#error")).to_contain_text("missing")
        failed = page.locator('[data-phase="creating_odoo"], [data-state="failed"]')
        await expect(failed.first).to_be_visible()
        await assert_clean(page, "onboarding failed")
        fake.databases[TEMPLATE] = kept
        await page.click("#retry")
        await page.wait_for_url(f"{world.url}/", timeout=PATIENCE)


async def test_the_page_keeps_on_while_the_server_is_away(
    databases: Databases,
) -> None:
    away = {"events": True, "status": False}

    async def perhaps(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        await (route.abort() if away.get(name) else route.continue_())

    async with with_odoo(databases) as (world, fake), new_page() as (page, _):
        await page.route("**/onboarding/*", perhaps)
        link = page.locator("#link")
        with gate(fake, "duplicate_database") as copying:
            await found(page, world)
            await copying.reached()
            # Without events it asks from time to time.
            await expect(link).to_contain_text("keep trying")
            await expect(link).to_have_text("", timeout=PATIENCE)
            away["status"] = True
            await expect(link).to_contain_text("keep trying")
            await expect(page.locator("#phases")).to_be_visible()
            away["status"] = False
            await expect(link).to_have_text("")
            copying.open()
        await page.wait_for_url(f"{world.url}/", timeout=PATIENCE)


async def test_a_workspace_s_name_survives_a_sign_in(databases: Databases) -> None:
    async with World(databases).running() as world, new_page() as (page, _):
        await enter(page, world.url, CAROL, "/onboarding")
        await page.fill("#workspace-name", "Initech <b>")
        await page.context.clear_cookies()
        await page.click("#start")
        await page.wait_for_url("**/login?return_to=%2Fonboarding")
        await enter(page, world.url, CAROL, "/onboarding")
        await expect(page.locator("#start")).to_be_visible()
        assert await page.input_value("#workspace-name") == "Initech <b>"
        await page.click("#start")
        await page.wait_for_url(f"{world.url}/", timeout=PATIENCE)


async def test_where_nobody_founds_the_page_says_so(databases: Databases) -> None:
    closed = World(databases, settings={"onboarding": {"open_to": "invited"}})
    async with closed.running() as world, new_page() as (page, _):
        await found(page, world)
        await expect(page.locator("#error")).to_contain_text("invit")
        await expect(page.locator("#start")).to_be_hidden()
        await assert_clean(page, "onboarding closed")
