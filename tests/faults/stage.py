"""Gateway processes with a shim before what they need, to be broken on purpose."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bff.dev import demo
from bff.dev.provider import Provider, Realm, serving
from bff.roles import ROLES
from tests.bff.waiting import until
from tests.databases import Databases
from tests.fakes.graph import graph_server
from tests.faults.shim import Shim
from tests.real.deployment import seed
from tests.replicas import Replica, Replicas, replicas, settings
from tests.world import PEOPLE, SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable
    from pathlib import Path

    import aiohttp

    from tests.world import Browser

ALICE = "alice@acme.test"
# No request waits longer than this, whatever is away: as `test_postgres_outage`.
FEW_SECONDS = 9.0
# Recovering takes up to the longest pause between two tries, and a busy machine more.
HEALED = 40.0
PATHS = ("/whoami", "/graph/threads/x")


@dataclass
class Stage:
    """What a test breaks, and who serves meanwhile."""

    replicas: Replicas
    postgres: Shim
    graph: Shim

    @property
    def gateway(self) -> Replica:
        return self.replicas.each[0]

    @asynccontextmanager
    async def signed_in(
        self, email: str = ALICE, password: str = demo.PASSWORD
    ) -> AsyncGenerator[Browser]:
        """Give a browser, at the first gateway, in which *email* has signed in."""
        async with self.replicas.browser(self.gateway) as browser:
            answer = await browser.login(email, password)
            assert answer.status == 200, await answer.text()
            yield browser

    def ran_well(self) -> None:
        """Nothing died, and nothing was met that nobody had thought of."""
        for replica in self.replicas.each:
            assert replica.process.poll() is None
            said = replica.output()
            assert "Traceback" not in said, said
            assert "Task was destroyed" not in said


@asynccontextmanager
async def stage(
    databases: Databases,
    folder: Path,
    *,
    issuer: str = "",
    secret: str = SECRET,
    graph: str = "",
    count: int = 1,
    access_ttl: int = 300,
    sections: dict[str, dict[str, Any]] | None = None,
    to_graph: dict[str, Any] | None = None,
) -> AsyncGenerator[Stage]:
    """Run it all, seeded; our own provider and graph server where none are given."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        postgres = await enter(Shim(databases.app).running())
        await seed(databases)
        if not issuer:
            realm = Realm(access_ttl=access_ttl)
            provider = Provider(realm, PEOPLE, [demo.client(secret, ())])
            issuer = await enter(serving(provider))
        target = graph or (await enter(graph_server())).url
        graphs = await enter(Shim(target).running())
        here = Databases(
            {role: postgres.instead_of(databases.urls[role]) for role in ROLES}
        )
        values = settings(here, issuer, secret, graphs.url)
        values["proxy"]["graph"].update(to_graph or {})
        for section, changes in (sections or {}).items():
            values[section] = {**values.get(section, {}), **changes}
        running = await enter(replicas(folder, values, count))
        yield Stage(running, postgres, graphs)


async def in_time(asked: Awaitable[aiohttp.ClientResponse]) -> aiohttp.ClientResponse:
    """Return an answer that must not be long in coming, all of it."""
    began = time.monotonic()
    answer = await asked
    await answer.read()  # what is left unread keeps its connection
    assert time.monotonic() - began < FEW_SECONDS
    return answer


async def refuses(
    asked: Awaitable[aiohttp.ClientResponse], status: int, code: str
) -> None:
    """Expect this refusal, soon; of a 503 also when to ask again."""
    answer = await in_time(asked)
    text = await answer.text()
    assert (answer.status, json.loads(text)["code"]) == (status, code), text
    if status == 503:
        assert int(answer.headers["Retry-After"]) > 0
    assert "Set-Cookie" not in answer.headers  # nobody is signed out by an outage


async def goes_on(browser: Browser, *paths: str) -> None:
    """Expect what needs no part that is broken to be answered, all at once."""
    asked = [in_time(browser.get(path)) for path in paths or PATHS]
    for answer in await asyncio.gather(*asked):
        assert answer.status == 200, await answer.text()


async def heals(browser: Browser, path: str, method: str = "GET") -> None:
    """Wait until *path* is answered again; nothing was started anew."""

    async def well() -> bool:
        answer = await browser.request(method, path)
        await answer.read()
        return answer.status == 200

    await until(well, seconds=HEALED)
