"""The recipe for Next.js in Chromium: its /api passes cookies, origin and streams."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bff.dev.ports import free_port
from tests.bff.waiting import until
from tests.parts import node_sdks
from tests.real.browser import Record, browser_context, watch
from tests.real.split_ui import PAGE, serving
from tests.world import PASSWORD, World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from playwright.async_api import Page

    from tests.databases import Databases

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
ROUTE = ROOT / "examples/nextjs-proxy/app/api/[..._path]/route.js"
HARNESS = Path(__file__).with_name("js") / "next_route.mjs"
PATIENCE = 20_000  # milliseconds
ASK = """async ([method, path, body, headers]) => {
  const asked = {method, headers: {"Content-Type": "application/json", ...headers}};
  if (body) asked.body = JSON.stringify(body);
  const answer = await fetch(path, asked);
  return {status: answer.status, text: await answer.text()};
}"""
STREAM = """async () => {
  const asked = {method: "POST", body: "{}"};
  const answer = await fetch("/api/threads/t/runs/stream", asked);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const pieces = [];
  for (let got = await reader.read(); !got.done; got = await reader.read()) {
    pieces.push(got.value);
  }
  return pieces;
}"""
LEAVE = """async () => {
  const leaving = new AbortController();
  const asked = {signal: leaving.signal};
  const answer = await fetch("/api/threads/t/stream", asked);
  await answer.body.getReader().read();
  leaving.abort();
}"""


@asynccontextmanager
async def next_server(port: int, gateway: str) -> AsyncGenerator[str]:
    """Serve the recipe's route on *port*, in front of *gateway*."""
    node_sdks()  # says what to install where Node.js is missing
    process = await asyncio.create_subprocess_exec(
        shutil.which("node") or "node",
        str(HARNESS),
        str(ROUTE),
        str(port),
        env={"PATH": os.environ["PATH"], "LANGGRAPH_API_URL": f"{gateway}/graph"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
        yield f"http://localhost:{port}"
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def signed_in(world: World, ui: str) -> AsyncGenerator[tuple[Page, Record]]:
    async with browser_context() as context:
        page = await context.new_page()
        record = watch(page)
        await page.goto(f"{world.url}/login?return_to={ui}/")
        await page.fill("#email", "alice@acme.test")
        await page.fill("#password", PASSWORD)
        await page.click("#sign-in")
        await page.wait_for_url(f"{ui}/", timeout=PATIENCE)
        yield page, record


@asynccontextmanager
async def scene(databases: Databases) -> AsyncGenerator[tuple[World, str]]:
    port = free_port()
    ui = f"http://localhost:{port}"
    world = World(databases, settings={"split_origin": {"origins": [ui]}})
    async with world.running(), next_server(port, world.url):
        yield world, ui


async def ask(
    page: Page, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, str]:
    found = await page.evaluate(ASK, [method, path, body, headers])
    return int(found["status"]), str(found["text"])


async def test_a_page_speaks_to_its_own_origin_and_the_gateway_knows_who(
    databases: Databases,
) -> None:
    async with scene(databases) as (world, ui), signed_in(world, ui) as (page, record):
        status, said = await ask(page, "GET", "/api/threads/x?a=b%2Fc")
        assert status == 200, said
        seen = world.graph.seen[-1]
        assert seen["path"] == "/threads/x?a=b%2Fc"
        assert seen["headers"]["x-tenant-id"] == "1001"
        assert seen["headers"]["authorization"].startswith("Bearer ey")
        assert "cookie" not in seen["headers"]
        status, said = await ask(page, "POST", "/api/threads", {"a": "ü"})
        assert (status, world.graph.seen[-1]["body"]) == (200, '{"a":"ü"}')

        pieces = await page.evaluate(STREAM)
        assert len(pieces) > 2, "not all in one"
        assert "data: 4" in "".join(pieces)
        await page.evaluate(LEAVE)

        async def left() -> bool:
            return world.graph.open_streams == 0

        await until(left)

        own = [(u, h) for _, u, h in record.requests if u.startswith(f"{ui}/api")]
        assert own
        assert not [url for url, headers in own if "authorization" in headers]


async def test_a_session_that_ends_and_one_that_is_renewed_are_seen_through_it(
    databases: Databases,
) -> None:
    async with scene(databases) as (world, ui), signed_in(world, ui) as (page, _):
        before = {one["name"]: one["value"] for one in await page.context.cookies()}
        world.clock.ahead += 280  # of the access token's 300 seconds
        assert (await ask(page, "GET", "/api/threads/x"))[0] == 200
        after = {one["name"]: one["value"] for one in await page.context.cookies()}
        renewed = {name for name in after if after[name] != before[name]}
        assert renewed == {"nx_access", "nx_refresh"}
        await page.context.clear_cookies()
        status, said = await ask(page, "GET", "/api/threads/x")
        assert status == 401
        assert "not_signed_in" in said


async def test_a_stranger_s_page_is_told_apart_behind_it(
    databases: Databases,
) -> None:
    """The route passes on where a request comes from, so the gateway can refuse it."""
    async with scene(databases) as (world, ui), signed_in(world, ui) as (page, _):
        with serving({"/": PAGE}) as stranger:
            other = await page.context.new_page()
            await other.goto(stranger)
            said = await other.evaluate(
                "(url) => fetch(url, {method: 'POST', mode: 'no-cors', body: '{}',"
                " credentials: 'include'}).catch((error) => error.name)",
                f"{ui}/api/threads",
            )
        assert said == "TypeError"  # the refusal may not be looked at either
        assert world.graph.seen == []
        assert (await ask(page, "POST", "/api/threads", {}))[0] == 200
