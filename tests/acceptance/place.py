"""Everything real at once: Keycloak, PostgreSQL, LangGraph, Odoo, Chromium, us."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import aiohttp

from bff.dev.langgraph import langgraph_server
from tests.real.browser import browser_context, watch
from tests.real.keycloak_realms import BFF
from tests.real.odoo_browser import PATIENCE
from tests.real.odoo_estate import estate
from tests.real.own_realm import own_realm
from tests.world import Browser

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from playwright.async_api import Page

    from tests.databases import Databases
    from tests.real.browser import Record
    from tests.real.keycloak import Keycloak
    from tests.real.odoo import Odoo
    from tests.real.odoo_estate import Estate
    from tests.real.odoo_person import Person
    from tests.real.own_realm import OwnRealm
    from tests.world import World

GATEWAY_KEY = "shared-with-the-gateway"
# Seconds that an access token lives: one step waits for the end of one.
TOKEN_SECONDS = 30


@dataclass
class Place:
    """The deployment, and who has come into it so far."""

    here: Estate
    alice: Person
    bob: Person
    viewer: Person
    nobody: Browser
    page: Page
    record: Record
    tenants: dict[str, int] = field(default_factory=dict)
    # Seconds from a first_login until Odoo was verified, by tenant.
    ready_after: dict[int, float] = field(default_factory=dict)

    @property
    def alices(self) -> int:
        return self.tenants["alice"]

    @property
    def bobs(self) -> int:
        return self.tenants["bob"]

    async def status(
        self, person: Person | None, method: str, path: str, **options: Any
    ) -> tuple[int, Any]:
        """Return status and JSON of a request by somebody, or by nobody."""
        browser = person.browser if person else self.nobody
        async with await browser.request(method, path, **options) as answer:
            body = await answer.text()
            if "json" in answer.content_type and body:
                return answer.status, await answer.json(content_type=None)
            return answer.status, body


@asynccontextmanager
async def place(
    keycloak: Keycloak, odoo: Odoo, databases: Databases, folder: Path
) -> AsyncGenerator[Place]:
    """Start all that is not there yet; nobody has a workspace."""
    state = folder / "graph"
    state.mkdir()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        realm = await enter(own_realm(keycloak, rotate=False, access_ttl=TOKEN_SECONDS))
        graph = await enter(
            langgraph_server(
                folder=state,
                issuer=realm.issuer,
                audience=realm.side.realm.audience,
                client_id=BFF,
                gateway_key=GATEWAY_KEY,
            )
        )
        proxy = {"graph": {"upstreams": [graph.url], "gateway_key": GATEWAY_KEY}}
        here = await enter(estate(realm, databases, odoo, folder, proxy=proxy))
        await _let_back(realm, here.url)
        alice, bob, viewer = [await enter(here.somebody()) for _ in range(3)]
        http = await enter(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        # Of its world a browser asks nothing but this name.
        nobody = Browser(cast("World", here), http, here.url)
        context = await enter(browser_context())
        context.set_default_timeout(PATIENCE)
        page = await context.new_page()
        yield Place(here, alice, bob, viewer, nobody, page, watch(page))


async def _let_back(realm: OwnRealm, url: str) -> None:
    """Let Keycloak send people to the gateway after they have signed out."""
    query = f"/clients?clientId={BFF}"
    (client,) = (await realm.administrate("GET", query)).json
    client["attributes"]["post.logout.redirect.uris"] = f"{url}/"
    await realm.administrate("PUT", f"/clients/{client['id']}", json=client)
