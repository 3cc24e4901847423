"""agent-chat-ui on an origin of its own, the gateway on another one of the same site.

It asks for no cookies to be sent elsewhere, and has no setting for that: its developer
adds three lines to its page. They are here as a script that runs before its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from playwright.async_api import expect

from tests.real import agent_chat_ui_site as sites
from tests.real.agent_chat_ui import NAME, ORIGIN
from tests.real.agent_chat_ui_site import PATIENCE, TOKEN, Chat
from tests.real.browser import watch
from tests.real.restarting import settings_of
from tests.real.split_ui import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.product import Product

pytestmark = [pytest.mark.acceptance, pytest.mark.real, pytest.mark.timeout(240)]

# What goes into such a UI's page, or into Next.js' instrumentation-client.js.
WITH_COOKIES = f"""
const send = self.fetch;
self.fetch = (input, init) => {{
  const url = String(input.url ?? input);
  const ours = url.startsWith("{ORIGIN}/");
  return send(input, ours ? {{...init, credentials: "include"}} : init);
}};
"""


@pytest.mark.parametrize("agent_chat_ui", ["folder"], indirect=True)
async def test_agent_chat_ui_on_its_own_origin_chats_with_cookies_and_no_token(
    product: Product, agent_chat_ui: dict[str, Any]
) -> None:
    files: Path = agent_chat_ui["directory"]
    index = (files / "index.html").read_text(encoding="utf-8")
    shown: dict[str, str | Path] = {"/": index, "/assets": files / "assets"}
    with serving(shown) as served:
        # A sister of the gateway's name: one site, so cookies travel.
        ui = served.replace("localhost", f"ui.{NAME}")
        settings = settings_of(product, product.report["graph_url"])
        settings["split_origin"] = {"origins": [ui]}
        async with sites.site(settings, {}) as site, site.browser() as context:
            page = await context.new_page()
            chat = Chat(page, watch(page))
            page.on("request", lambda asked: chat.bodies.append(asked.post_data or ""))
            await page.add_init_script(WITH_COOKIES)
            await page.goto(f"{ORIGIN}/login?return_to={quote(ui + '/', safe='')}")
            await chat.sign_in()
            await page.wait_for_url(re.compile(re.escape(ui)), timeout=PATIENCE)

            await chat.say("long 20")
            await chat.hears("tok3")
            early = await chat.answers.last.inner_text()
            await chat.hears("tok19")
            await chat.rests()
            assert "tok19" not in early
            await page.reload()
            await expect(page.get_by_text("long 20").last).to_be_visible(
                timeout=PATIENCE
            )
            await chat.hears("tok19")
            await page.goto(ui)
            await chat.say("approve")
            yes = page.get_by_role("button", name=re.compile("^(Accept|Approve)$"))
            await yes.click(timeout=PATIENCE)
            await chat.hears("You decided")
            await chat.rests()

            asked = [one for one in chat.record.requests if one[1].startswith(ORIGIN)]
            assert [one for one in asked if "nx_access" in one[2].get("cookie", "")]
            for method, url, headers in chat.record.requests:
                told = f"{method} {url}"
                assert url.startswith((ORIGIN, ui, "data:", "blob:")), told
                assert "authorization" not in headers, told
                assert not TOKEN.search(f"{url} {headers}"), told
            assert not list(filter(TOKEN.search, chat.bodies))
