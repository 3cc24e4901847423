"""Worlds whose proxy is told something, and streams through it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

    from tests.databases import Databases
    from tests.world import Browser

STREAM = "/graph/threads/t1/stream"
# Comments can only be put in on aiohttp's way: that is how a test chooses it.
BOTH_WAYS = pytest.mark.parametrize(
    "heartbeat", [None, 3600.0], ids=["direct", "aiohttp"]
)


def with_proxy(databases: Databases, **changes: Any) -> World:
    """Give a world whose proxy is told more than where the graph server is."""

    class Told(World):
        def _config(self, port: int, origins: tuple[str, str]) -> Any:
            target = {"upstreams": [self.graph.url], **changes}
            self.settings["proxy"] = {"graph": target}
            self.settings["worker"] = {"embedded": False}
            return super()._config(port, origins)

    return Told(databases)


@asynccontextmanager
async def streaming(browser: Browser) -> AsyncGenerator[aiohttp.ClientResponse]:
    answer = await browser.get(STREAM)
    assert answer.status == 200, await answer.text()
    await answer.content.readany()
    try:
        yield answer
    finally:
        answer.close()
