"""User interfaces of others in Chromium: what their pages may do, and what not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from playwright.async_api import expect

from tests.bff.pages.sites import made, showing
from tests.bff.pages.test_upstream import NextServer, through
from tests.real.browser import browser_context, watch
from tests.world import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Page

    from tests.databases import Databases

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

PATIENCE = 20_000  # milliseconds
# As exports of Next.js have them, and as badly as editors on some systems write them.
PAGE = """<!doctype html><meta charset="utf-8"><title>A UI</title>\r
<script>self.seen = ["ü"];\r
self.seen.push("inline < 1 && </p>")</script>
<script type="module">self.seen.push("module")</script>
<script type="application/json">{"not": "run"}</script>
<script type="module" src="/assets/index-DkPqYzW1.js"></script>
<p id="where"></p><button id="b" onclick="self.seen.push('attribute')">b</button>
"""
MODULE = """import { lazy } from "./lazy.js";
document.querySelector("#where").textContent = location.pathname + location.search;
self.seen.push(lazy);
"""
INJECTED = """() => new Promise((done) => {
  const script = document.createElement("script");
  script.textContent = "self.seen.push('injected')";
  document.body.append(script);
  setTimeout(() => done(self.seen), 300);
})"""
RELOADING = """<!doctype html><title>Dev</title><p id="said"></p><script>
const socket = new WebSocket(`ws://${location.host}/_next/webpack-hmr`);
socket.onopen = () => socket.send("ping");
const said = document.querySelector("#said");
socket.onmessage = ({ data }) => { said.textContent = data; };
</script>"""


async def sign_in(page: Page) -> None:
    await expect(page.locator("#sign-in-form")).to_be_visible(timeout=PATIENCE)
    await page.fill("#email", "alice@acme.test")
    await page.fill("#password", PASSWORD)
    await page.click("#sign-in")


async def reach(page: Page, url: str) -> Any:
    return await page.evaluate(
        "(url) => fetch(url).then(() => 'reached', (error) => error.name)", url
    )


async def test_a_folder_s_pages_run_their_own_scripts_and_no_others(
    databases: Databases, tmp_path: Path
) -> None:
    files = {
        "index.html": "",
        "favicon.ico": "",
        "assets/index-DkPqYzW1.js": MODULE,
        "assets/lazy.js": "export const lazy = 'lazy';",
    }
    root = made(tmp_path / "ui", files)
    (root / "index.html").write_bytes(PAGE.encode())
    async with (
        NextServer().running() as elsewhere,
        showing(databases, root).running() as world,
        browser_context() as context,
    ):
        page = await context.new_page()
        record = watch(page)
        await page.goto(f"{world.url}/chat/42?x=1")
        assert page.url.startswith(f"{world.url}/login?return_to=/chat/42")
        await sign_in(page)
        await page.wait_for_url(f"{world.url}/chat/42?x=1", timeout=PATIENCE)

        await expect(page.locator("#where")).to_have_text("/chat/42?x=1")
        (complaint,) = record.complaints
        assert "inline event handler" in complaint
        await page.click("#b")
        seen = await page.evaluate(INJECTED)
        assert seen == ["ü", "inline < 1 && </p>", "module", "lazy"]
        assert await reach(page, "/graph/ok") == "reached"
        assert await reach(page, f"{elsewhere.url}/api/data") == "TypeError"
        assert elsewhere.seen == []
        assert not [one for one in record.requests if "authorization" in one[2]]


class Reloading(NextServer):
    """Answer as a development server whose page listens for changes."""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/":
            return web.Response(text=RELOADING, content_type="text/html")
        return await super().answer(request)


async def test_a_development_server_s_pages_hear_of_changes(
    databases: Databases,
) -> None:
    async with (
        Reloading().running() as node,
        through(databases, node.url).running() as world,
        browser_context() as context,
    ):
        page = await context.new_page()
        await page.goto(world.url)
        await sign_in(page)
        said = page.locator("#said")
        await expect(said).to_have_text("heard ping", timeout=PATIENCE)
        assert await reach(page, f"{node.url}/api/data") == "TypeError"
        assert all("nx_" not in str(one.headers.get("Cookie", "")) for one in node.seen)
