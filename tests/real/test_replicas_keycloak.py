"""Two gateway processes renew once a generation: real Keycloak, real clocks."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.real.deployment import deployment, until_near_the_end
from tests.replicas import ticket

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from tests.databases import Databases
    from tests.real.keycloak import Keycloak
    from tests.world import Browser

pytestmark = pytest.mark.acceptance

ACCESS_TTL = 4
PATHS = ("/whoami", "/graph/threads/x")


async def ask(
    browsers: tuple[Browser, ...], count: int
) -> list[aiohttp.ClientResponse]:
    """Send *count* requests at once, in turn to each of *browsers*."""
    return await asyncio.gather(
        *(
            browsers[number % len(browsers)].get(PATHS[number // 2 % 2])
            for number in range(count)
        )
    )


@pytest.mark.parametrize("rotate", [False, True], ids=["plain", "rotate"])
async def test_fifty_requests_over_two_processes_renew_once_a_generation(
    keycloak: Keycloak, databases: Databases, tmp_path: Path, *, rotate: bool
) -> None:
    async with deployment(
        keycloak, databases, tmp_path, rotate=rotate, access_ttl=ACCESS_TTL
    ) as here:
        user = await here.realm.person()
        async with (
            here.signed_in(user["email"]) as first,
            here.replicas.browser(here.second, first.cookies) as second,
        ):
            old = first.cookies
            for generation in (1, 2, 3):
                old = first.cookies
                await until_near_the_end(first)

                answers = await ask((first, second), 50)

                assert Counter(one.status for one in answers) == {200: 50}
                assert await here.realm.renewals(user) == generation
                new = ticket(first.cookies)
                assert new.gen == ticket(second.cookies).gen == generation + 1
                assert new.access_token == ticket(second.cookies).access_token
                assert new.access_token != ticket(old).access_token
            # The last ones before are taken still, by either process.
            token = ticket(first.cookies).access_token
            for browser in (first, second):
                browser.set_cookies(old)
                assert (await browser.post("/auth/refresh")).status == 200
                assert ticket(browser.cookies).access_token == token

        assert await here.realm.renewals(user) == 3
        assert await here.realm.refusals() == 0
        assert here.realm.relay.asked == here.realm.relay.accepted == 3
