"""T12: no answer of a whole tour holds a token, and no inside door is outside.

Seen as CVE-2024-39315 (tokens on a page for users) and CVE-2022-24797 (profiling open
to all). The scan reads every byte that comes to the browser: heads, cookies, bodies.
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from tests.attacks.outside import ask, tapped
from tests.bff.auth.redirects import begin, come_back, prove
from tests.bff.sessions.refreshing import NEAR, answering
from tests.world import KEY, PASSWORD, SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.world import Browser, World


@asynccontextmanager
async def recorded(target: str) -> AsyncGenerator[tuple[str, bytearray]]:
    """Pass bytes through to *target* and keep all that comes back."""
    heard = bytearray()
    port = urlsplit(target).port
    tasks: set[asyncio.Task[None]] = set()

    async def accept(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        try:
            with suppress(OSError):
                await asyncio.gather(
                    pass_on(reader, forth), pass_on(back, writer, heard)
                )
        except asyncio.CancelledError:
            pass  # the end of the test
        finally:
            writer.close()
            forth.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def pass_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    kept: bytearray | None = None,
) -> None:
    while data := await reader.read(2**16):
        if kept is not None:
            kept += data
        writer.write(data)
        await writer.drain()
    writer.close()


class Issued:
    """Note every token that the provider makes."""

    def __init__(self, world: World) -> None:
        self.tokens: list[str] = []
        keys = world.provider.keys
        for name in ("sign", "seal"):
            setattr(keys, name, self._noting(getattr(keys, name)))

    def _noting(self, make: Any) -> Any:
        def noted(*args: Any, **more: Any) -> str:
            token: str = make(*args, **more)
            self.tokens.append(token)
            return token

        return noted


def secrets_of(issued: Issued, world: World) -> dict[str, str]:
    """Name everything that must not be in an answer, in each form it may take."""
    found = {"the client's secret": SECRET, "the key ring": KEY.partition(":")[2]}
    found |= {"the password": PASSWORD, "the owner's URL": world.databases.owner}
    for number, token in enumerate(issued.tokens):
        _, claims, mark = token.split(".")
        found[f"token {number}"] = token
        found[f"claims {number}"] = claims
        found[f"signature {number}"] = mark
        found[f"token {number} in base64"] = base64.b64encode(token.encode()).decode()
        found[f"claims {number}, quoted"] = quote(claims, safe="")
    return found


async def test_no_answer_of_the_whole_product_holds_a_token(
    databases: Databases,
) -> None:
    async with (
        tapped(databases) as tap,
        recorded(tap.world.url) as (url, heard),
        tap.world.browser(url) as browser,
    ):
        world, issued = tap.world, Issued(tap.world)
        await tour(world, browser)
        said = bytes(heard)

        assert len(issued.tokens) > 15, "there was something to leak"
        assert said.count(b"HTTP/1.1 ") > 60
        for status in (200, 202, 204, 303, 400, 401, 403, 404, 405, 503):
            assert b"HTTP/1.1 %d " % status in said, status
        assert b"set-cookie" in said.lower()
        text = said.decode("latin-1")
        leaked = [
            name for name, one in secrets_of(issued, world).items() if one in text
        ]
        assert leaked == []
        cookies = [
            line for line in text.splitlines() if line.lower().startswith("set-cookie:")
        ]
        assert cookies
        assert all("; HttpOnly" in line and "; Path=/" in line for line in cookies)


async def tour(world: World, browser: Browser) -> None:
    """Use everything once: as a stranger, by both ways in, in trouble, and out."""
    await everything(browser)
    await browser.login("alice@acme.test", "Wrong-password")
    await browser.login("pending@acme.test")
    await browser.post("/auth/login", data=b"{")
    assert (await browser.login("alice@acme.test")).status == 200
    await everything(browser)
    assert (await browser.post("/auth/refresh")).status == 200
    world.clock.ahead += NEAR
    assert (await browser.get("/graph/threads/x")).status == 200
    answering(world, 503, "out of order")
    assert (await browser.post("/auth/refresh")).status == 503
    world.provider.intercept = None
    hostile = {"Sec-Fetch-Site": "cross-site"}
    assert (await browser.get("/graph/threads/x", headers=hostile)).status == 403
    assert (await browser.post("/auth/logout", headers=hostile)).status == 403
    # By redirect, to the end and to a refusal, and as somebody new.
    for query in ("", "&error=access_denied"):
        back = await prove(browser, await begin(browser))
        await come_back(browser, back + query)
        await come_back(browser, back)
    assert (await browser.get("/whoami")).status == 200
    await browser.post("/auth/logout", json={})
    assert (await browser.login("carol@initech.test")).status == 200
    assert (await browser.get("/graph/threads/x")).status == 403
    founded = await browser.post("/onboarding/first_login", json={})
    assert founded.status == 202, await founded.text()
    async with asyncio.timeout(10):
        events = await browser.get("/onboarding/events")
        await events.content.readany()
        events.close()
    await everything(browser)
    listed = await (await browser.get("/auth/sessions")).json()
    await browser.request("DELETE", f"/auth/sessions/{listed[0]['id']}")
    await everything(browser)
    await browser.login("alice@acme.test")
    await browser.post("/auth/logout", json={"everywhere": True})


async def everything(browser: Browser) -> None:
    for path in (
        *("/", "/login", "/onboarding", "/static/style.css", "/favicon.ico", "/info"),
        *("/healthz", "/whoami", "/auth/session", "/auth/sessions", "/tenants/1001"),
        *("/onboarding/status", "/export/latest_scores.json", "/nowhere", "/%00"),
        *("/export/latest_scores.csv", "/graph/threads/x", "/graph/docs", "/graph/%2f"),
        "/auth/callback?state=x&code=y",
    ):
        await (await browser.get(path)).read()
        await (await browser.navigate(path)).read()
    await (await browser.request("PUT", "/whoami")).read()
    await (await browser.post("/graph/threads/search", json={})).read()
    await (await browser.request("OPTIONS", "/whoami")).read()


INSIDE = (
    *("/metrics", "/readyz", "/admin/", "/admin/metrics", "/debug", "/debug/pprof/"),
    *("/debug/vars", "/actuator", "/actuator/env", "/server-status", "/status"),
    *("/config", "/.env", "/.git/config", "/config.toml", "/docs", "/openapi.json"),
    *("/redoc", "/console", "/_debug", "/__debug__/", "/trace", "/heapdump", "/env"),
    *("/static/../config.toml", "/static/%2e%2e/routes.py", "/static/..%2froutes.py"),
    *("/graph/metrics", "/graph/internal/x", "/graph/../metrics", "/metrics/"),
    *("//metrics", "/%6detrics", "/metrics?x", "/readyz#", "/METRICS", "/./metrics"),
)


async def test_what_is_for_operators_is_not_outside(world: World) -> None:
    async with world.signed_in() as browser:
        jar = browser.cookies
    admin = urlsplit(world.admin_url)
    for path in INSIDE:
        for method in ("GET", "POST", "OPTIONS", "get"):
            for headers in ((), ("X-Forwarded-Port: 9090", "X-Original-URL: /metrics")):
                answer = await ask(world, f"{method} {path}", *headers, jar=jar)
                assert answer.status in {400, 403, 404, 405}, (path, method, answer.raw)
                assert b"bff_requests_total" not in answer.raw
    for host in (admin.netloc, "localhost:9090", "127.0.0.1:9090", "admin.local"):
        answer = await ask(world, "GET /metrics", host=host)
        assert answer.status in {404, 421}, host


async def test_what_operators_read_names_nobody(world: World) -> None:
    issued = Issued(world)
    async with world.signed_in() as browser:
        await browser.get("/graph/threads/x")
        await browser.post("/auth/refresh")
        await browser.login("alice@acme.test", "Wrong-password")
        for path in ("/metrics", "/readyz", "/healthz"):
            answer = await browser.session.get(world.admin_url + path)
            text = await answer.text()
            assert answer.status == 200
            assert "alice" not in text
            assert "acme.test" not in text
            assert not [one for one in issued.tokens if one in text]
            for name, one in secrets_of(issued, world).items():
                assert one not in text, name
