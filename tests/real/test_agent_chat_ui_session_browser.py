"""Sessions that begin, are renewed and end while agent-chat-ui is in use."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from bff.dev import demo
from bff.dev.langgraph import langgraph_server
from bff.dev.provider import Provider, Realm, serving
from bff.telemetry import METRICS
from tests.bff.pages.test_upstream import NextServer
from tests.bff.waiting import until
from tests.fakes.breaking import Breaker
from tests.real.agent_chat_ui import ORIGIN
from tests.real.agent_chat_ui_site import EMAIL, PATIENCE, Site, opened, site
from tests.real.deployment import seed
from tests.real.restarting import settings_of
from tests.replicas import settings
from tests.world import SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.databases import Databases
    from tests.real.product import Product

pytestmark = [pytest.mark.acceptance, pytest.mark.real, pytest.mark.timeout(240)]

SHORT = 10  # seconds that an access token lives
GATEWAY_KEY = "a-test-key-of-the-gateway"


@asynccontextmanager
async def short_lived(
    databases: Databases, ui: dict[str, Any], folder: Path
) -> AsyncGenerator[Site]:
    """Run a site whose access tokens soon expire, for the graph server too."""
    provider = Provider(
        Realm(audience=demo.AUDIENCE, access_ttl=SHORT),
        demo.PEOPLE,
        [demo.client(SECRET, (ORIGIN,))],
    )
    await seed(databases)
    async with (
        serving(provider) as issuer,
        langgraph_server(
            folder=folder,
            issuer=issuer,
            audience=demo.AUDIENCE,
            client_id=demo.CLIENT_ID,
            gateway_key=GATEWAY_KEY,
        ) as graph,
    ):
        proxy = {"graph": {"upstreams": [graph.url], "gateway_key": GATEWAY_KEY}}
        told = settings(databases, issuer, SECRET, graph.url) | {
            "proxy": proxy,
            "worker": {"embedded": True},  # who signs in gets a workspace
        }
        async with site(told, ui) as running:
            yield running


def renewals(running: Site) -> float:
    registry = running.app[METRICS].registry
    return registry.get_sample_value("bff_refreshes_total", {"outcome": "ok"}) or 0.0


async def test_a_stranger_signs_in_and_comes_back_to_the_same_address(
    agent_chat_ui_site: Site,
) -> None:
    async with agent_chat_ui_site.browser() as context:
        chat = await opened(context, "?chatHistoryOpen=true&hideToolCalls=true")
        assert chat.page.url.startswith(f"{ORIGIN}/login?return_to=/")

        await chat.sign_in()

        back = f"{ORIGIN}/?chatHistoryOpen=true&hideToolCalls=true"
        assert chat.page.url == back
        await expect(chat.page.get_by_text("Thread History").first).to_be_visible()
        kept = await chat.page.evaluate(
            "JSON.stringify([localStorage, sessionStorage])"
        )
        assert "eyJ" not in kept
        assert "nx_" not in await chat.page.evaluate("document.cookie")
        chat.carried_nothing()


async def test_an_expired_token_is_renewed_and_nobody_notices(
    databases: Databases, agent_chat_ui: dict[str, Any], tmp_path: Path
) -> None:
    async with (
        short_lived(databases, agent_chat_ui, tmp_path) as running,
        running.chat() as chat,
    ):
        await chat.say("hello")
        await chat.hears("for more")
        await chat.rests()
        before = renewals(running)
        await asyncio.sleep(SHORT + 1)

        # Streams for longer than a token lives, too.
        await chat.say(f"long {SHORT * 15}")
        await chat.hears(f"tok{SHORT * 15 - 1}")
        await chat.rests()
        await chat.say("whoami")
        await chat.hears(EMAIL)

        assert renewals(running) > before
        assert "/login" not in chat.page.url
        # Its page for Vite asks for a file that its build does not have.
        assert all("/src/styles.css" in one for one in chat.record.complaints)


async def test_signing_out_in_another_tab_ends_the_stream_and_the_chat(
    agent_chat_ui_site: Site,
) -> None:
    async with agent_chat_ui_site.browser() as context:
        chat = await opened(context)
        await chat.sign_in()
        await chat.say("long 300")
        await chat.hears("tok3")
        other = await opened(context)
        await expect(other.box).to_be_visible(timeout=PATIENCE)

        status, answer = await other.fetch("POST", "/auth/logout", {})

        assert status == 204, answer
        await chat.rests()
        assert "tok299" not in await chat.answers.last.inner_text()
        await chat.say("hello again")
        refused = chat.page.get_by_text("not_signed_in").or_(
            chat.page.get_by_text("401")
        )
        await expect(refused.first).to_be_visible(timeout=PATIENCE)
        await chat.page.reload()
        assert chat.page.url.startswith(f"{ORIGIN}/login?return_to=/")
        chat.carried_nothing()


async def test_an_address_that_names_another_server_leads_nowhere(
    agent_chat_ui_site: Site,
) -> None:
    async with NextServer().running() as elsewhere, agent_chat_ui_site.chat() as chat:
        await chat.page.goto(
            f"{ORIGIN}/?apiUrl={elsewhere.url}/graph&assistantId=agent"
        )
        failed = chat.page.get_by_text("Failed to connect to LangGraph server")
        await expect(failed.first).to_be_visible(timeout=PATIENCE)
        await chat.say("hello")

        async def refused() -> bool:
            return any("connect-src" in one for one in chat.record.complaints)

        await until(refused, seconds=30)
        assert elsewhere.seen == []
        # Playwright names what the policy stopped as well.
        chat.record.requests[:] = [
            one for one in chat.record.requests if not one[1].startswith(elsewhere.url)
        ]


async def test_the_scheme_that_switches_checks_off_goes_no_further(
    product: Product, agent_chat_ui: dict[str, Any]
) -> None:
    async with (
        Breaker(product.report["graph_url"]).running() as between,
        site(settings_of(product, between.url), agent_chat_ui) as running,
        running.chat("?authScheme=langsmith") as chat,
    ):
        # Older versions do not know the parameter.
        await chat.page.set_extra_http_headers({"X-Auth-Scheme": "langsmith"})
        await chat.say("whoami")
        await chat.hears(EMAIL)
        await chat.rests()

        assert "authScheme=langsmith" in chat.page.url
        sent = [headers for _, url, headers in chat.record.requests if "/runs" in url]
        assert {headers["x-auth-scheme"] for headers in sent} == {"langsmith"}
        came = [one.head.lower() for one in between.asked if "/runs" in one.path]
        assert came
        assert not [head for head in came if b"x-auth-scheme" in head]
