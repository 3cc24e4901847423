"""What the tests of renewing have in common."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bff.dev.provider import Realm
from bff.sessions.browser import COOKIES
from tests.world import Browser, World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

    from bff.sessions.session import AccessTicket
    from tests.databases import Databases

NEAR = 275.0  # of 300 seconds: within the last half minute
PAST = 301.0


@asynccontextmanager
async def renewing(
    databases: Databases, *, rotate: bool = True, **settings: Any
) -> AsyncGenerator[World]:
    world = World(databases, realm=Realm(rotate=rotate), settings=settings)
    async with world.running():
        yield world


def refreshes(world: World) -> int:
    """Count what the provider was asked to renew, refused or not."""
    return sum(one.type.startswith("REFRESH_TOKEN") for one in world.provider.events)


def ticket(world: World, jar: dict[str, str]) -> AccessTicket:
    found = world.app[COOKIES].open_access(jar)
    assert found is not None
    return found


def generation(world: World, browser: Browser) -> int:
    return ticket(world, browser.cookies).gen


class Hold:
    """Hold the provider's token endpoint, or answer in its place."""

    def __init__(self, world: World) -> None:
        self.asked = 0
        self.came = asyncio.Event()
        self.go = asyncio.Event()
        self.instead: tuple[int, str] | None = None
        world.provider.intercept = self._intercept

    async def _intercept(self, request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith("/token"):
            return None
        self.asked += 1
        self.came.set()
        await self.go.wait()
        if self.instead is None:
            return None
        status, text = self.instead
        return web.Response(status=status, text=text, content_type="application/json")


def answering(world: World, status: int, text: str) -> Hold:
    hold = Hold(world)
    hold.go.set()
    hold.instead = (status, text)
    return hold


def without_id(body: dict[str, Any]) -> str:
    """Write a problem so that two of them can be compared."""
    return json.dumps({**body, "request_id": ""}, sort_keys=True)


async def code(answer: aiohttp.ClientResponse) -> tuple[int, str]:
    body = await answer.json(content_type=None)
    return answer.status, body.get("code", "")


@asynccontextmanager
async def elsewhere(
    world: World, url: str, jar: dict[str, str]
) -> AsyncGenerator[Browser]:
    """Give a browser of this jar that asks another replica."""
    async with world.browser(url) as browser:
        browser.session.cookie_jar.update_cookies(jar)
        yield browser
