"""Two gateway processes, a realm of their own in the real Keycloak, a graph server."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from bff.database import connect
from bff.dev import demo
from tests.fakes.graph import FakeGraph, graph_server
from tests.real.keycloak_realms import BFF, PASSWORD, secret
from tests.real.own_realm import OwnRealm, own_realm
from tests.replicas import Replica, Replicas, replicas, settings, ticket

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.databases import Databases
    from tests.real.keycloak import Keycloak
    from tests.world import Browser


@dataclass
class Deployment:
    """Everything that a test of two replicas touches."""

    realm: OwnRealm
    graph: FakeGraph
    databases: Databases
    replicas: Replicas

    @property
    def first(self) -> Replica:
        return self.replicas.each[0]

    @property
    def second(self) -> Replica:
        return self.replicas.each[1]

    @asynccontextmanager
    async def signed_in(
        self, email: str, replica: Replica | None = None
    ) -> AsyncGenerator[Browser]:
        """Give a browser in which *email* has signed in."""
        async with self.replicas.browser(replica or self.first) as browser:
            answer = await browser.login(email, PASSWORD)
            assert answer.status == 200, await answer.text()
            yield browser


@asynccontextmanager
async def deployment(
    keycloak: Keycloak,
    databases: Databases,
    folder: Path,
    *,
    rotate: bool,
    access_ttl: int = 60,
    **more: Any,
) -> AsyncGenerator[Deployment]:
    """Run it all, seeded."""
    async with AsyncExitStack() as stack:
        realm = await stack.enter_async_context(
            own_realm(keycloak, rotate=rotate, access_ttl=access_ttl)
        )
        graph = await stack.enter_async_context(graph_server())
        await seed(databases)
        values = settings(databases, realm.issuer, secret(BFF), graph.url, **more)
        running = await stack.enter_async_context(replicas(folder, values))
        yield Deployment(realm, graph, databases, running)


async def seed(databases: Databases) -> None:
    """Make the demo's tenants."""
    owner = await asyncpg.connect(databases.owner)
    try:
        async with connect(databases.app, size=2) as database:
            await demo.seed(owner, database)
    finally:
        await owner.close()


async def until_near_the_end(browser: Browser, *, past: float = 0.0) -> None:
    """Wait until the browser's token is to be renewed, or *past* its end."""
    mine = ticket(browser.cookies)
    life = mine.access_exp - mine.access_from
    due = mine.access_exp + past if past else mine.access_exp - 0.2 * life + 0.05
    await asyncio.sleep(max(0.0, due - time.time()))
