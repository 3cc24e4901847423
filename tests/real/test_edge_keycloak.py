"""Three replicas of two workers behind nginx, with nothing but PostgreSQL in common."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bff.dev import demo
from bff.dev.langgraph import langgraph_server
from tests.bff.waiting import until
from tests.real.deployment import seed
from tests.real.edge_replicas import Fleet, cookie_header, fleet, secure_ticket
from tests.real.keycloak_realms import BFF, PASSWORD, secret
from tests.real.own_realm import OwnRealm, own_realm
from tests.replicas import PATIENT, settings, time_to_break

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import aiohttp

    from tests.databases import Databases
    from tests.real.keycloak import Keycloak
    from tests.world import Browser

pytestmark = [pytest.mark.acceptance, pytest.mark.real]

ACCESS_TTL = 10
STREAMS = 18
TOKENS = 30  # ten a second
SECONDS = 5.0  # promised is one; six processes share this machine
GATEWAY_KEY = "shared-with-the-gateway"


@asynccontextmanager
async def deployed(
    keycloak: Keycloak, databases: Databases, place: Path
) -> AsyncGenerator[tuple[OwnRealm, Fleet]]:
    async with AsyncExitStack() as stack:
        realm = await stack.enter_async_context(
            own_realm(keycloak, rotate=True, access_ttl=ACCESS_TTL)
        )
        graph = await stack.enter_async_context(
            langgraph_server(
                folder=place / "langgraph",
                issuer=realm.issuer,
                audience=demo.AUDIENCE,
                client_id=BFF,
                gateway_key=GATEWAY_KEY,
                jobs=STREAMS,
            )
        )
        await seed(databases)
        proxy = {"graph": {"upstreams": [graph.url], "gateway_key": GATEWAY_KEY}}
        values = settings(databases, realm.issuer, secret(BFF), graph.url, proxy=proxy)
        here = await stack.enter_async_context(fleet(place, values, workers=2))
        yield realm, here


async def thread_of(browser: Browser) -> str:
    """Make a thread and return where its runs are streamed."""
    made = await browser.post("/graph/threads", json={})
    assert made.status == 200, await made.text()
    return f"/graph/threads/{(await made.json())['thread_id']}/runs/stream"


def recital(tokens: int) -> dict[str, Any]:
    """Return the body of a run that recites so many tokens."""
    return {
        "assistant_id": "agent",
        "input": {"messages": [{"type": "human", "content": f"long {tokens}"}]},
        "stream_mode": "messages-tuple",
    }


async def run(browser: Browser) -> aiohttp.ClientResponse:
    """Begin a run that goes on for long, and hear its first event."""
    answer = await browser.post(
        await thread_of(browser), json=recital(600), timeout=PATIENT
    )
    assert answer.status == 200, await answer.text()
    await answer.content.readany()
    return answer


async def times_by_http_2(here: Fleet, browser: Browser) -> list[float]:
    """Return when each token of a run came to curl, which speaks HTTP/2."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed (Debian: apt install curl)")
    curl = await asyncio.create_subprocess_exec(
        *(program, "--silent", "--show-error", "--max-time", "60", "--no-buffer"),
        *("--http2", "--write-out", "by HTTP/%{http_version}", "--ipv4"),
        *("--cacert", str(here.edge.certificate), "--cookie", cookie_header(browser)),
        *("--header", f"Origin: {here.url}", "--json", json.dumps(recital(TOKENS))),
        here.url + await thread_of(browser),
        stdout=asyncio.subprocess.PIPE,
    )
    assert curl.stdout is not None
    came, last = [], b""
    async for line in curl.stdout:
        if line.startswith(b"event: messages"):
            came.append(time.monotonic())
        last = line
    assert await curl.wait() == 0
    assert last == b"by HTTP/2"
    return came


def live(metrics: str) -> int:
    found = re.findall(
        r"^bff_live_streams(?:\{.*\})? ([0-9.]+)$", metrics, re.MULTILINE
    )
    return int(sum(map(float, found)))


async def test_they_are_one_gateway_to_a_browser(
    keycloak: Keycloak, databases: Databases, tmp_path: Path
) -> None:
    async with (
        deployed(keycloak, databases, tmp_path) as (realm, here),
        here.browser() as browser,
    ):
        user = await realm.person()
        answer = await browser.login(user["email"], PASSWORD)
        assert answer.status == 200, await answer.text()

        async def all_were_asked() -> bool:
            answers = await asyncio.gather(*(browser.get("/whoami") for _ in range(24)))
            assert {one.status for one in answers} == {200}
            return all('route="/whoami"' in one for one in await here.metrics())

        await until(all_were_asked, seconds=30)

        came = await times_by_http_2(here, browser)
        assert len(came) >= TOKENS
        # Held back anywhere, they would come together.
        assert came[-1] - came[0] > TOKENS / 10 / 2

        # Every replica sees the token near its end, at once: one asks Keycloak.
        before = await realm.renewals(user)
        old = secure_ticket(browser.cookies)
        life = old.access_exp - old.access_from
        due = old.access_exp - 0.2 * life + 0.05
        await asyncio.sleep(max(0.0, due - time.time()))
        answers = await asyncio.gather(*(browser.get("/whoami") for _ in range(60)))
        assert Counter(one.status for one in answers) == {200: 60}
        new = secure_ticket(browser.cookies)
        assert new.gen == old.gen + 1
        assert await realm.renewals(user) == before + 1
        assert await realm.refusals() == 0

        async with asyncio.timeout(60):
            streams = await asyncio.gather(*(run(browser) for _ in range(STREAMS)))
        counts = [live(one) for one in await here.metrics()]
        assert sum(counts) == STREAMS
        by_replica = [sum(counts[at : at + 2]) for at in (0, 2, 4)]
        assert all(by_replica), "every replica has some"
        breaking = [asyncio.ensure_future(time_to_break(one)) for one in streams]
        assert (await browser.post("/auth/logout")).status == 204
        ended = time.monotonic()
        async with asyncio.timeout(30):
            assert max(await asyncio.gather(*breaking)) - ended < SECONDS


async def test_nobody_is_refused_when_a_replica_dies(
    keycloak: Keycloak, databases: Databases, tmp_path: Path
) -> None:
    async with (
        deployed(keycloak, databases, tmp_path) as (realm, here),
        here.browser() as browser,
        here.browser() as other,
    ):
        people = [await realm.person() for _ in range(2)]
        for person, page in zip(people, (browser, other), strict=True):
            answer = await page.login(person["email"], PASSWORD)
            assert answer.status == 200, await answer.text()
        victim = here.seats[0].replica
        assert victim is not None

        victim.kill()

        for _ in range(10):
            answers = await asyncio.gather(
                *(page.get("/whoami") for page in (browser, other) for _ in range(6))
            )
            assert [one.status for one in answers] == [200] * 12
            said = [(await one.json())["email"] for one in answers]
            assert said == [one["email"] for one in people for _ in range(6)]
            await asyncio.sleep(0.2)
        # Whoever signed in there signs out here, everywhere.
        stream = await run(browser)
        breaking = asyncio.ensure_future(time_to_break(stream))
        assert (await browser.post("/auth/logout")).status == 204
        ended = time.monotonic()
        assert await breaking - ended < SECONDS
        assert (await other.get("/whoami")).status == 200
