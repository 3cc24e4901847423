"""Alive, ready, measured: what operators and load balancers ask."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from bff.dev.ports import free_port
from bff.graph import LIVE
from tests.bff.rawserver import listening
from tests.bff.waiting import until
from tests.world import World

if TYPE_CHECKING:
    from tests.databases import Databases


async def ask(url: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, await answer.json()


async def test_everything_up_is_ready_and_says_so(world: World) -> None:
    async def listening() -> bool:
        _, found = await ask(f"{world.admin_url}/readyz")
        return str(found["listener"]) == "ok"

    await until(listening)
    assert await ask(f"{world.admin_url}/readyz") == (
        200,
        {
            "ready": True,
            "reason": None,
            "database": "ok",
            "listener": "ok",
            "identity_provider": "ok",
            "graph": "ok",
        },
    )
    assert await ask(f"{world.admin_url}/healthz") == (200, {"ok": True})


async def test_what_is_down_is_named_and_does_not_take_the_replica_out(
    databases: Databases,
) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    world = World(
        databases,
        settings={
            "database": {"url": f"postgresql://bff_app:x@{nowhere}/x"},
            "auth": {"issuer": f"http://{nowhere}/realms/x"},
            "proxy": {"graph": {"upstreams": [f"http://{nowhere}"]}},
            "worker": {"embedded": False},
        },
    )
    async with world.running():
        status, found = await ask(f"{world.admin_url}/readyz")

        assert status == 200
        assert found["ready"] is True
        assert found["database"] == found["graph"] == "unreachable"
        assert found["listener"] == "not listening"
        assert found["identity_provider"] != "ok"
        assert "postgresql" not in str(found)
        alive = await ask(f"{world.url}/healthz")
        assert alive == (200, {"ok": True})
        info = await ask(f"{world.url}/info")
        assert (info[0], info[1]["checkpoint_enabled"]) == (200, False)


async def test_a_silent_graph_server_does_not_hold_the_answer_up(
    databases: Databases,
) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()  # to the end, without a word

    async with listening(silent) as place:
        settings: dict[str, dict[str, Any]] = {
            "proxy": {"graph": {"upstreams": [place]}},
            "worker": {"embedded": False},
        }
        async with World(databases, settings=settings).running() as world:
            async with asyncio.timeout(5):
                _, found = await ask(f"{world.admin_url}/readyz")
                assert found["graph"] == "no answer in time"


async def test_a_draining_replica_is_not_ready_and_still_alive(world: World) -> None:
    world.app[LIVE].draining = True

    status, found = await ask(f"{world.admin_url}/readyz")

    assert (status, found["ready"], found["reason"]) == (503, False, "shutting down")
    assert (await ask(f"{world.admin_url}/healthz"))[0] == 200
    assert (await ask(f"{world.url}/healthz"))[0] == 200


async def test_metrics_and_readiness_are_not_on_the_public_listener(
    world: World,
) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{world.admin_url}/metrics") as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/plain")
            assert "bff_requests_total" in await answer.text()
        for path in ("/metrics", "/readyz"):
            async with http.get(world.url + path) as answer:
                assert answer.status == 404, path
        for path in ("/info", "/whoami", "/", "/graph/threads"):
            async with http.get(world.admin_url + path) as answer:
                assert answer.status == 404, path
        async with http.post(f"{world.admin_url}/readyz") as answer:
            assert answer.status == 405


async def test_info_is_for_anyone_and_tells_nothing_of_the_configuration(
    world: World,
) -> None:
    async with world.browser() as browser:
        answer = await browser.get("/info", headers={"Sec-Fetch-Site": "cross-site"})

        assert answer.status == 200
        assert await answer.json() == {
            "ok": True,
            "checkpoint_enabled": True,
            "version": version("nexius-bff"),
        }


async def test_info_follows_the_graph_server_and_asks_it_every_thirty_seconds(
    world: World,
) -> None:
    async def enabled() -> bool:
        return bool((await ask(f"{world.url}/info"))[1]["checkpoint_enabled"])

    assert await enabled()
    world.graph.healthy = False
    world.clock.ahead = 29
    assert await enabled()
    world.clock.ahead = 31
    assert not await enabled()
    world.graph.healthy = True
    assert not await enabled()
    world.clock.ahead = 62
    assert await enabled()


async def test_the_first_who_ask_at_once_all_get_the_answer_and_it_is_asked_once(
    databases: Databases,
) -> None:
    asked = 0

    async def slow(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.2)
        return web.json_response({"ok": True})

    graph = web.Application()
    graph.router.add_get("/ok", slow)
    runner = web.AppRunner(graph)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    settings: dict[str, dict[str, Any]] = {
        "proxy": {"graph": {"upstreams": [f"http://127.0.0.1:{port}"]}}
    }
    try:
        async with World(databases, settings=settings).running() as world:
            answers = await asyncio.gather(
                *(ask(f"{world.url}/info") for _ in range(5))
            )
    finally:
        await runner.cleanup()

    assert [found["checkpoint_enabled"] for _, found in answers] == [True] * 5
    assert asked == 1


async def test_info_can_be_closed_to_strangers(databases: Databases) -> None:
    settings = {"info": {"require_session": True}}
    async with World(databases, settings=settings).running() as world:
        assert (await ask(f"{world.url}/info"))[0] == 401
        async with world.signed_in() as browser:
            assert (await browser.get("/info")).status == 200
