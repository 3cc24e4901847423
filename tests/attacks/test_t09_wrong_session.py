"""T9: however many sessions renew at once, each request carries its own person's token.

Seen as CVE-2026-40155: one session got the token that another was waiting for.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from bff.dev.provider import Realm
from tests.attacks.outside import claims_of
from tests.bff.sessions.refreshing import PAST, refreshes
from tests.world import World

if TYPE_CHECKING:
    import aiohttp

    from tests.databases import Databases
    from tests.world import Browser

SESSIONS = 100
TIMES = 6  # requests of each, all of them renewing or waiting for it
PEOPLE = ("alice@acme.test", "bob@globex.test", "dave@acme.test")


async def test_hundreds_of_requests_of_many_sessions_each_stay_their_own(
    databases: Databases,
) -> None:
    world = World(databases, realm=Realm(rotate=True))
    async with (
        world.running(),
        world.another_gateway() as other,
        world.browser() as one,
    ):
        people = list(PEOPLE)
        jars = [await jar_of(one, people[at % 3]) for at in range(SESSIONS)]
        first = [await echo(one, jar, world.url) for jar in jars]
        assert len({(sub, sid) for sub, sid, _, _ in first}) == SESSIONS
        assert len({sub for sub, *_ in first}) == len(people)
        world.clock.ahead += PAST
        urls = [world.url, other] * (TIMES // 2)
        order = [(at, url) for at in range(SESSIONS) for url in urls]
        random.Random(9).shuffle(order)  # noqa: S311 - the same order in every run
        busy = asyncio.Semaphore(200)

        async def attack(at: int, url: str) -> None:
            async with busy:
                sub, sid, tenant, jti = await echo(one, jars[at], url)
            assert (sub, sid, tenant) == first[at][:3]
            assert jti != first[at][3], "a renewed token, and this session's"

        await asyncio.gather(*(attack(*pair) for pair in order))
        assert refreshes(world) == SESSIONS


async def jar_of(browser: Browser, email: str) -> dict[str, str]:
    browser.session.cookie_jar.clear()
    answer = await browser.login(email)
    assert answer.status == 200
    jar = browser.cookies
    browser.session.cookie_jar.clear()
    return jar


async def echo(
    browser: Browser, jar: dict[str, str], url: str
) -> tuple[str, str, str, str]:
    """Return subject, provider's session, tenant and id of the token that went up."""
    header = "; ".join(f"{name}={value}" for name, value in jar.items())
    answer: aiohttp.ClientResponse = await browser.session.get(
        f"{url}/graph/threads/x",
        headers={
            "Host": browser.world.url.removeprefix("http://"),
            "Sec-Fetch-Site": "same-origin",
            "Cookie": header,
        },
    )
    assert answer.status == 200, await answer.text()
    heard = (await answer.json())["headers"]
    browser.session.cookie_jar.clear()
    said = claims_of(heard["authorization"])
    return said["sub"], said["sid"], heard["x-tenant-id"], said["jti"]
