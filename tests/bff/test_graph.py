"""/graph/*: the caller's own token and tenant go up, nothing else of the browser's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bff.dev.ports import free_port
from bff.graph import LIVE
from tests.bff.proxied import BOTH_WAYS, with_proxy
from tests.bff.rawserver import listening

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.world import World


async def test_a_stranger_gets_401_in_json_and_is_never_redirected(
    world: World,
) -> None:
    async with world.browser() as browser:
        for answer in (
            await browser.get("/graph/threads/t1"),
            await browser.post("/graph/threads/search", json={}),
            await browser.navigate("/graph/threads/t1"),
        ):
            assert answer.status == 401
            assert answer.content_type == "application/problem+json"
            assert (await answer.json())["code"] == "not_signed_in"
    assert world.graph.seen == []


async def test_a_person_without_a_tenant_gets_403(world: World) -> None:
    async with world.signed_in("carol@initech.test") as browser:
        answer = await browser.post("/graph/threads/search", json={})

        assert (answer.status, (await answer.json())["code"]) == (403, "tenant_missing")
    assert world.graph.seen == []


@BOTH_WAYS
async def test_the_caller_s_token_and_tenant_arrive_and_forgeries_do_not(
    databases: Databases, heartbeat: float | None
) -> None:
    names = (
        "Authorization",
        "X-Tenant-ID",
        "X-Gateway-Key",
        "x-auth-scheme",
        "X-User-Email",
        "X-Forwarded-For",
        "X-Request-ID",
    )
    async with (
        with_proxy(
            databases, heartbeat=heartbeat, gateway_key="the-key"
        ).running() as world,
        world.signed_in() as alice,
        world.signed_in("bob@globex.test") as bob,
    ):
        for browser in (alice, bob):
            answer = await browser.post(
                "/graph/threads/search",
                json={"x": 1},
                headers=dict.fromkeys(names, "forged"),
            )
            assert answer.status == 200
    first, second = (seen["headers"] for seen in world.graph.seen)
    assert (first["x-tenant-id"], second["x-tenant-id"]) == ("1001", "1002")
    assert first["authorization"].startswith("Bearer ey")
    assert first["authorization"] != second["authorization"]
    for headers in (first, second):
        assert "forged" not in str(headers)
        assert "nx_access" not in str(headers)
        assert "cookie" not in headers
        assert headers["x-gateway-key"] == "the-key"
        assert headers["x-request-id"]
        assert headers["x-forwarded-host"] == world.url.removeprefix("http://")
    assert world.graph.seen[0]["body"] == '{"x": 1}'


async def test_refused_paths_are_404_and_refused_methods_405(world: World) -> None:
    async with world.signed_in() as browser:
        for path in ("internal/x", "docs", "metrics", "nosuch", "threads/../docs"):
            answer = await browser.get(f"/graph/{path}")
            assert answer.status in (400, 404), path
            assert answer.content_type == "application/problem+json"
        answer = await browser.request("PUT", "/graph/threads/t1")
        assert answer.status == 405
        assert {"GET", "PATCH", "DELETE"} <= set(
            answer.headers["Allow"].replace(" ", "").split(",")
        )
    assert world.graph.seen == []


async def test_a_page_elsewhere_is_refused_even_for_get(world: World) -> None:
    async with world.signed_in() as browser:
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": "http://evil.test"},
        ):
            answer = await browser.get("/graph/threads/t1", headers=headers)
            assert answer.status == 403
            assert (await answer.json())["code"] == "cross_site_refused"
    assert world.graph.seen == []


@BOTH_WAYS
async def test_a_graph_server_that_is_away_is_502(
    databases: Databases, heartbeat: float | None
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    async with (
        with_proxy(
            databases, heartbeat=heartbeat, upstreams=[nowhere]
        ).running() as world,
        world.signed_in() as browser,
    ):
        answer = await browser.post("/graph/threads/search", json={})

        assert (answer.status, (await answer.json())["code"]) == (
            502,
            "graph_unavailable",
        )
        assert world.app[LIVE].by_tenant == {}


@BOTH_WAYS
async def test_a_graph_server_that_breaks_off_leads_nobody_to_ask_twice(
    databases: Databases, heartbeat: float | None
) -> None:
    """SDKs send a POST again after a 5xx, Chromium after a break without an answer."""

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with (
        listening(rude) as place,
        with_proxy(
            databases, heartbeat=heartbeat, upstreams=[place]
        ).running() as world,
        world.signed_in() as browser,
    ):
        bodies: list[dict[str, Any]] = [{"json": {}}, {"data": _pieces()}]
        for body in bodies:
            answer = await browser.post("/graph/threads/search", **body)
            assert (answer.status, (await answer.json())["code"]) == (
                409,
                "answer_lost",
            )
            assert answer.headers["Cache-Control"] == "no-store"
        with pytest.raises(aiohttp.ClientConnectionError):
            await browser.get("/graph/threads/t")
        assert world.app[LIVE].by_session == {}


async def _pieces() -> AsyncGenerator[bytes]:
    """Send a body of unknown length, which goes by way of aiohttp."""
    yield b"{}"


async def test_a_websocket_needs_our_exact_origin_before_anything_is_dialled(
    databases: Databases,
) -> None:
    dialled = 0

    async def count(*_: object) -> None:
        nonlocal dialled
        dialled += 1

    async with (
        listening(count) as place,
        with_proxy(databases, upstreams=[place]).running() as world,
        world.signed_in() as browser,
    ):
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        for origin in ("http://evil.test", "null", f"{world.url}.evil.test", ""):
            answer = await browser.get(
                "/graph/threads/t/stream/events", headers={**upgrade, "Origin": origin}
            )
            assert answer.status == 403, origin
        assert dialled == 0
        with pytest.raises(aiohttp.ClientError):
            await browser.get("/graph/threads/t/stream/events", headers=upgrade)
        assert dialled


async def test_the_allow_list_can_be_widened_and_opened(databases: Databases) -> None:
    async with (
        with_proxy(databases, allow=["docs"]).running() as world,
        world.signed_in() as browser,
    ):
        assert await (await browser.get("/graph/docs")).text() == "404: Not Found"
        assert (await browser.get("/graph/metrics")).content_type == (
            "application/problem+json"
        )
