"""PostgreSQL is killed or frozen under two gateway processes, and comes back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from bff.dev import demo
from bff.dev.provider import Provider, Realm, serving
from tests.bff.waiting import until
from tests.fakes.graph import graph_server
from tests.faults.own_postgres import OwnPostgres, own_postgres
from tests.real.deployment import seed, until_near_the_end
from tests.replicas import (
    Replicas,
    open_stream,
    replicas,
    settings,
    ticket,
    time_to_break,
)
from tests.world import PEOPLE, SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import aiohttp

    from tests.world import Browser

pytestmark = pytest.mark.acceptance
# No request waits longer than this, whatever the database does: two seconds for the
# ended sessions, five for a connection, and the rest for a busy machine.
FEW_SECONDS = 9.0
PATHS = ("/whoami", "/graph/threads/x")


@dataclass
class Here:
    """What the tests touch."""

    postgres: OwnPostgres
    replicas: Replicas
    provider: Provider

    def refreshes(self) -> Counter[str]:
        """Count what the provider was asked to renew, by outcome."""
        kinds = (one.type for one in self.provider.events)
        return Counter(kind for kind in kinds if kind.startswith("REFRESH_TOKEN"))


@asynccontextmanager
async def running(folder: Path, access_ttl: int) -> AsyncGenerator[Here]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        postgres = await enter(own_postgres())
        await seed(postgres.databases)
        realm = Realm(rotate=True, access_ttl=access_ttl)
        provider = Provider(realm, PEOPLE, [demo.client(SECRET, ())])
        issuer = await enter(serving(provider))
        graph = await enter(graph_server())
        values = settings(postgres.databases, issuer, SECRET, graph.url)
        yield Here(postgres, await enter(replicas(folder, values)), provider)


async def asked(browsers: tuple[Browser, ...]) -> list[aiohttp.ClientResponse]:
    """Ask for everything at every process; nothing may take long."""
    began = time.monotonic()
    answers = await asyncio.gather(
        *(one.get(path) for one in browsers for path in PATHS)
    )
    assert time.monotonic() - began < FEW_SECONDS
    assert all("Set-Cookie" not in one.headers for one in answers)
    return answers


async def is_unavailable(answer: aiohttp.ClientResponse) -> None:
    assert answer.status == 503, await answer.text()
    assert (await answer.json(content_type=None))["code"] == "auth_unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert "Set-Cookie" not in answer.headers


async def all_goes_on_until_the_token_ends(browsers: tuple[Browser, ...]) -> None:
    for one in await asked(browsers):
        assert one.status == 200, await one.text()
    began = time.monotonic()
    await is_unavailable(await browsers[0].post("/auth/refresh"))
    assert time.monotonic() - began < FEW_SECONDS

    await until_near_the_end(browsers[0])
    for one in await asked(browsers):
        assert one.status == 200, await one.text()

    await until_near_the_end(browsers[0], past=0.2)
    for one in await asked(browsers):
        await is_unavailable(one)


async def all_recovers(here: Here, browsers: tuple[Browser, ...]) -> None:
    async def renewed() -> bool:
        return (await browsers[0].post("/auth/refresh")).status == 200

    await until(renewed, seconds=40)
    for browser in browsers:
        answer = await browser.get("/whoami")
        assert answer.status == 200, await answer.text()
        assert ticket(browser.cookies).gen == 2
    assert here.refreshes() == {"REFRESH_TOKEN": 1}
    for replica in here.replicas.each:
        await replica.hears(seconds=40)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
@pytest.mark.timeout(240)
async def test_sessions_outlive_a_database_that_goes_and_comes_back(
    tmp_path: Path, fault: str
) -> None:
    async with running(tmp_path, 12 if fault == "killed" else 25) as here:
        first_replica, second_replica = here.replicas.each
        async with here.replicas.browser(first_replica) as first:
            assert (await first.login("alice@acme.test")).status == 200
            async with here.replicas.browser(second_replica, first.cookies) as second:
                jar = first.cookies
                stream = await open_stream(second)
                await asyncio.gather(first.get("/whoami"), second.get("/whoami"))

                gone: Any = here.postgres.kill
                back: Any = here.postgres.start_again
                if fault == "frozen":
                    gone, back = here.postgres.freeze, here.postgres.thaw
                await gone()
                await all_goes_on_until_the_token_ends((first, second))
                assert await stream.content.readany()
                assert first.cookies == jar
                await back()
                await all_recovers(here, (first, second))

                # The stream has lasted all the time, and breaks with the session.
                breaking = asyncio.ensure_future(time_to_break(stream))
                assert (await first.post("/auth/logout")).status == 204
                ended = time.monotonic()
                assert await breaking - ended < 2
                assert (await second.get("/whoami")).status == 401
        for replica in here.replicas.each:
            assert replica.process.poll() is None
            assert "Traceback" not in replica.output()
