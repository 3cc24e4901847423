"""Three replicas behind nginx are restarted in turn under load, and nobody is refused.

The bulk of the streams comes from a graph server of ours, for LangGraph's of `langgraph
dev` holds its events in the memory of one process; twenty at a time are real runs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bff.dev import demo
from bff.dev.langgraph import langgraph_server
from bff.dev.provider import Provider, Realm
from bff.dev.provider import serving as provider_serving
from tests.real.deployment import seed
from tests.real.edge_load import TRIES, Told
from tests.real.edge_replicas import Fleet, cookie_header, fleet, posted_once
from tests.real.streamers import ALL, PYTHON, Cell, python_client, stream
from tests.replicas import settings
from tests.telling import tell
from tests.world import SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.databases import Databases

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.real,
    pytest.mark.timeout(300),
]

STREAMS, RATE, PACE, EVENTS = 500, 200.0, 1.0, 75
REAL = 20
GATEWAY_KEY = "shared-with-the-gateway"
# Longer than nginx keeps an idle connection (deploy/nginx.conf).
UNREADY, DRAIN = 3.0, 2.0
MOST = {"max_streams_per_session": 5000, "max_streams_per_tenant": 5000}


@asynccontextmanager
async def deployed(
    databases: Databases, place: Path
) -> AsyncGenerator[tuple[Fleet, str]]:
    """Run it all; yield the replicas and the address of the graph server of ours."""
    async with AsyncExitStack() as stack:
        provider = Provider(Realm(), demo.PEOPLE, [demo.client(SECRET, ())])
        issuer = await stack.enter_async_context(provider_serving(provider))
        graph = await stack.enter_async_context(
            langgraph_server(
                folder=place / "langgraph",
                issuer=issuer,
                audience=demo.AUDIENCE,
                client_id=demo.CLIENT_ID,
                gateway_key=GATEWAY_KEY,
                jobs=REAL,
            )
        )
        origin = await stack.enter_async_context(running("tests.real.edge_origin"))
        assert origin.stdout is not None
        bulk = (await origin.stdout.readline()).decode().strip()
        await seed(databases)
        proxy = {
            "graph": {
                "upstreams": [graph.url],
                "gateway_key": GATEWAY_KEY,
                **MOST,
            },
            "bulk": {"prefix": "/bulk", "upstreams": [bulk], **MOST},
        }
        values = settings(databases, issuer, SECRET, graph.url, proxy=proxy)
        here = await stack.enter_async_context(
            fleet(place, values, unready=UNREADY, drain=DRAIN)
        )
        yield here, bulk


@asynccontextmanager
async def running(
    module: str, *arguments: str
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run a module of the tests in a process of its own, which ends with its input."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def real_runs(here: Fleet, cookie: str, over: asyncio.Event) -> list[str]:
    """Stream real runs with LangGraph's SDK until it is *over*; return what came."""
    came: list[str] = []

    async def one(number: int) -> None:
        async with python_client(here.url, here.url, cookie) as client:
            while not over.is_set():
                thread = (await client.threads.create())["thread_id"]
                start = {"Last-Event-ID": "-1"}
                cell = Cell(PYTHON, str(number), here.url, thread, start)
                (outcome,) = (await stream(here.url, cookie, [cell])).values()
                came.append(outcome.summary)

    async with asyncio.TaskGroup() as tasks:
        for number in range(REAL):
            tasks.create_task(one(number))
    return came


async def test_no_request_fails_and_every_stream_goes_on(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deployed(databases, tmp_path) as (here, bulk), here.browser() as browser:
        assert (await browser.login("alice@acme.test")).status == 200
        cookie = cookie_header(browser)
        monkeypatch.setenv("SSL_CERT_FILE", str(here.edge.certificate))
        told = Told(
            url=here.url,
            certificate=str(here.edge.certificate),
            cookie=cookie,
            prefix="/bulk",
            streams=STREAMS,
            events=EVENTS,
            pace=PACE,
            rate=RATE,
        )
        async with running("tests.real.edge_load", json.dumps(vars(told))) as load:
            assert load.stdout is not None
            assert await load.stdout.readline() == b"ready\n"
            over = asyncio.Event()
            runs = asyncio.ensure_future(real_runs(here, cookie, over))

            for seat in here.seats:
                await seat.restart()

            over.set()
            said, _ = await load.communicate(b"")
            came = await runs
        report: dict[str, Any] = json.loads(said)
        async with aiohttp.ClientSession() as http:
            posted = await (await http.get(f"{bulk}/store/items")).text()

    figures = {
        name: report[name] for name in ("requests", "whole", "breaks", "refused")
    }
    tell(f"{figures}, {len(came)} real runs, {TRIES} tries each")
    assert report["failures"] == []
    assert report["requests"] > RATE
    assert report["wrong"] == []
    assert report["whole"] == STREAMS
    assert report["breaks"] >= STREAMS / 2, "the streams were to be cut"
    assert report["refused"] == {}
    # What was posted once was done once.
    assert set(report["posted"]) == posted_once(posted)
    assert came
    assert set(came) == {ALL}
