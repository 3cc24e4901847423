"""T28: a refresh token is spent once, however many ask and whoever dies meanwhile.

Rotation is on: a second use of the same token ends the session at the provider, as
Keycloak does (PR#46054). The fast version: two replicas in this process, one of them
killed as it holds the lease. `tests/real` has the one with processes and Keycloak.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

from bff.current_session import REFRESHER
from bff.dev.ports import free_port
from tests.bff.sessions.refreshing import (
    NEAR,
    PAST,
    Hold,
    elsewhere,
    generation,
    refreshes,
    renewing,
    ticket,
)
from tests.world import gateway

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp import web

    from tests.databases import Databases
    from tests.world import Browser, World

MANY = 25


class Replica:
    """A second gateway that can be killed in the middle of what it does."""

    def __init__(self, url: str, app: web.Application, stack: AsyncExitStack) -> None:
        self.url = url
        self.app = app
        self._stack = stack

    async def kill(self) -> None:
        """End it as SIGKILL does: nothing is given back, nobody is told."""
        await self.app[REFRESHER].flights.land(0)
        await self._stack.aclose()


@asynccontextmanager
async def replica(world: World) -> AsyncGenerator[Replica]:
    async with AsyncExitStack() as stack:
        port = free_port()
        app, _ = await stack.enter_async_context(
            gateway(world.config, port, world.clock)
        )
        yield Replica(f"http://127.0.0.1:{port}", app, stack)


async def end_lease(world: World) -> None:
    """Let the time pass that the dead holder's lease still has."""
    async with world.databases.superuser() as database:
        changed = await database.execute(
            "UPDATE auth_session SET refreshing_until = now() - interval '1 ms' "
            "WHERE refreshing_by IS NOT NULL"
        )
    assert changed == "UPDATE 1", "somebody held a lease"


async def asked(browser: Browser, path: str = "/graph/threads/x") -> int | None:
    """Ask, and return the status; None when the connection broke."""
    try:
        answer = await browser.get(path)
        await answer.read()
    except (aiohttp.ClientError, OSError):
        return None
    return answer.status


async def still_signed_in(world: World, browser: Browser) -> None:
    assert (await browser.get("/whoami")).status == 200
    async with world.databases.superuser() as database:
        ended = await database.fetchval("SELECT count(*) FROM ended_session")
    assert ended == 0
    assert not [one for one in world.provider.events if one.error]


@pytest.mark.parametrize("ahead", [NEAR, PAST])
async def test_fifty_requests_on_two_replicas_spend_one_token(
    databases: Databases, ahead: float
) -> None:
    async with (
        renewing(databases) as world,
        world.signed_in() as here,
        replica(world) as second,
        elsewhere(world, second.url, here.cookies) as there,
    ):
        world.clock.ahead += ahead

        found = await asyncio.gather(
            *(asked(browser) for _ in range(MANY) for browser in (here, there))
        )

        assert found == [200] * 2 * MANY
        assert refreshes(world) == 1
        assert generation(world, here) == generation(world, there) == 2
        tokens = {ticket(world, one.cookies).access_token for one in (here, there)}
        assert len(tokens) == 1
        sent = {one["headers"]["authorization"] for one in world.graph.seen}
        assert sent == {f"Bearer {tokens.pop()}"}
        await still_signed_in(world, here)
        await still_signed_in(world, there)


async def test_the_holder_of_the_lease_dies_and_nobody_is_signed_out(
    databases: Databases,
) -> None:
    async with (
        renewing(databases) as world,
        world.signed_in() as here,
        replica(world) as second,
        elsewhere(world, second.url, here.cookies) as there,
    ):
        world.clock.ahead += PAST
        hold = Hold(world)
        first = asyncio.ensure_future(asked(there))
        await asyncio.wait_for(hold.came.wait(), 10)  # the second replica has it
        others = [asyncio.ensure_future(asked(there)) for _ in range(MANY - 1)]
        waiting = [asyncio.ensure_future(asked(here)) for _ in range(MANY)]
        await asyncio.sleep(0.2)
        assert hold.asked == 1, "the others wait for the lease"

        await second.kill()
        broken = await asyncio.gather(first, *others)
        assert not [status for status in broken if status == 401], "no logout"
        await end_lease(world)
        hold.go.set()

        assert await asyncio.gather(*waiting) == [200] * MANY
        # What broke is asked again, by the same old cookies, of who is left.
        again = await asyncio.gather(*(asked(here) for _ in range(MANY)))
        assert again == [200] * MANY
        assert refreshes(world) == 1, "one call came to be decided"
        assert generation(world, here) == 2
        await still_signed_in(world, here)


async def test_old_cookies_that_come_late_spend_nothing(databases: Databases) -> None:
    """Answers overtake one another: the old pair is shown after the new one exists."""
    async with renewing(databases) as world, world.signed_in() as browser:
        old = browser.cookies
        world.clock.ahead += NEAR
        assert await asked(browser) == 200
        async with replica(world) as second:
            for url in (world.url, second.url):
                async with elsewhere(world, url, old) as late:
                    found = await asyncio.gather(*(asked(late) for _ in range(10)))
                    assert found == [200] * 10
                    assert generation(world, late) == 2
        assert refreshes(world) == 1
        await still_signed_in(world, browser)


@pytest.mark.parametrize("skew", [-120, 120])
async def test_a_provider_whose_clock_is_two_minutes_off_signs_nobody_out(
    databases: Databases, skew: int
) -> None:
    """Our clock against the provider's: tokens from the future, tokens half spent."""
    async with renewing(databases) as world:
        ours = world.clock
        world.provider.clock = lambda: ours() + skew
        async with world.signed_in() as here, replica(world) as second:
            for lap in range(3):
                before = refreshes(world)
                async with elsewhere(world, second.url, here.cookies) as there:
                    world.clock.ahead += NEAR
                    found = await asyncio.gather(
                        *(asked(one) for _ in range(5) for one in (here, there))
                    )
                assert found == [200] * 10, lap
                assert refreshes(world) - before == 1, "one renewal each time"
            await still_signed_in(world, here)
            assert (await here.post("/auth/logout", json={})).status == 204
