"""What people do in Chromium on their way into their Odoo."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import expect

from tests.real.browser import browser_context
from tests.real.keycloak_realms import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from playwright.async_api import Page

# Milliseconds: Odoo builds its style sheets for the first visitor of each database.
PATIENCE = 90_000
# `provider_name` of the settings, by default.
BUTTON = "Single sign-on"


@asynccontextmanager
async def page_of_somebody() -> AsyncGenerator[Page]:
    """Give a page of a browser that nobody has used."""
    async with browser_context() as context:
        context.set_default_timeout(PATIENCE)
        yield await context.new_page()


async def register(page: Page, gateway: str) -> str:
    """Open an account at Keycloak, by the gateway's link, and return its address."""
    email = f"person-{uuid.uuid4().hex[:8]}@new.test"
    await page.goto(f"{gateway}/auth/sso?return_to=%2Fonboarding&prompt=create")
    await page.fill("#email", email)
    await page.fill("#password", PASSWORD)
    await page.fill("#password-confirm", PASSWORD)
    await page.click("input[type=submit]")
    await page.wait_for_url(f"{gateway}/**")
    return email


async def sign_in(page: Page, gateway: str, email: str) -> None:
    """Sign in at the gateway through Keycloak's page: code flow with PKCE."""
    await page.goto(f"{gateway}/login?return_to=%2Fonboarding")
    await page.click("#sso")
    await page.fill("#username", email)
    await page.fill("#password", PASSWORD)
    await page.click("#kc-login")
    await page.wait_for_url(f"{gateway}/**")


async def found(page: Page, workspace: str) -> None:
    """Ask for a workspace on the page for it, and wait until that sends on."""
    await page.fill("#workspace-name", workspace)
    await page.click("#start")
    await page.wait_for_url(lambda url: urlsplit(url).path == "/")


async def fetched(page: Page, path: str) -> Any:
    """Fetch JSON as a script of the page does."""
    code = "path => fetch(path).then(async (a) => [a.status, await a.text()])"
    status, text = await page.evaluate(code, path)
    assert status == 200, text
    return await page.evaluate("JSON.parse", text)


async def enter_odoo(page: Page, login_url: str) -> None:
    """Open Odoo's sign-in page and click the button."""
    await page.goto(login_url)
    await page.get_by_role("link", name=BUTTON).click()


async def is_in(page: Page, login: str) -> None:
    """Make sure that the page is Odoo's web client, and who signed in there."""
    await expect(page.locator(".o_main_navbar")).to_be_visible(timeout=PATIENCE)
    call = """async () => {
      const answer = await fetch('/web/session/get_session_info', {
        method: 'POST', headers: {'Content-Type': 'application/json'},
        body: JSON.stringify({jsonrpc: '2.0', method: 'call', params: {}}),
      });
      return (await answer.json()).result;
    }"""
    who = await page.evaluate(call)
    assert who["username"] == login
    assert who["is_admin"]


async def is_refused(page: Page) -> None:
    """Make sure that Odoo knows nobody by this identity."""
    await page.wait_for_url(lambda url: "oauth_error" in url)
    assert parse_qs(urlsplit(page.url).query)["oauth_error"] == ["3"]
    await expect(page.locator(".o_main_navbar")).to_have_count(0)


async def password_is_refused(page: Page, login_url: str, login: str) -> None:
    """Try what everybody knows."""
    await page.goto(login_url)
    await page.fill("#login", login)
    await page.fill("#password", "admin")
    await page.click("button[type=submit]")
    await expect(page.locator(".alert-danger")).to_contain_text("Wrong login/password")
