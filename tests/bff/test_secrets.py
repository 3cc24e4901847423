"""Whatever secret is sent by whatever way, no line of the log has it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bff.telemetry import JsonFormatter, TextFormatter
from tests.bff.auth.redirects import begin, come_back, prove, query_of
from tests.bff.raw import exchange, head
from tests.bff.sessions.refreshing import answering, ticket
from tests.world import KEY, PASSWORD, SECRET, World

if TYPE_CHECKING:
    import pytest

    from tests.databases import Databases

OURS = ("bff", "aiohttp.access", "aiohttp.server", "graph_proxy")


async def test_no_secret_is_ever_logged(
    databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = World(databases)
    secrets = {PASSWORD, SECRET, KEY.partition(":")[2]}
    async with world.running(), world.browser() as browser, world.browser() as stranger:
        await browser.login("alice@acme.test", "CANARY-password", "CANARY-otp")
        await browser.post("/auth/login", data=b'{"password": "CANARY')
        await browser.post("/auth/login", json={"password": ["CANARY"]})
        await browser.login("alice@acme.test")
        secrets |= {*browser.cookies.values(), ticket(world, browser.cookies).sid.hex}
        secrets.add(ticket(world, browser.cookies).access_token)
        canaries = {
            "Authorization": "Bearer CANARY",
            "Cookie": "nx_access=1CANARY; nx_refresh=1CANARY; other=CANARY",
            "X-Api-Key": "CANARY",
            "Referer": f"{world.url}/?code=CANARY",
            "User-Agent": "CANARY",
        }
        for method, path in (
            ("GET", "/whoami?token=CANARY"),
            ("POST", "/auth/refresh?refresh_token=CANARY"),
            ("POST", "/auth/logout?x=CANARY"),
            ("GET", "/auth/session"),
            ("GET", "/auth/callback?code=CANARY&state=CANARY&iss=CANARY"),
            ("GET", "/graph/threads/x?key=CANARY"),
            ("GET", "/nowhere?CANARY"),
            ("DELETE", "/whoami?CANARY"),
        ):
            # Not the jar's browser: the answers clear what they could not open.
            await stranger.request(method, path, headers=canaries)
        for raw in (
            head(world.url, "GET /whoami", "Cookie: nx_access=CANARY" + "x" * 40000),
            head(world.url, "GET /whoami", "Bad Name: CANARY"),
            head(
                "http://evil.test:1", "GET /whoami", "Cookie: nx_access=CANARY"
            ).replace(b"evil.test:1", b"CANARY.test"),
        ):
            await exchange(world.url, raw)

        answering(world, 400, '{"error":"CANARY<html>","error_description":"x"}')
        await browser.post("/auth/refresh")
        world.provider.intercept = None
        await browser.post("/auth/refresh")
        secrets |= {*browser.cookies.values()}
        secrets.add(ticket(world, browser.cookies).access_token)
        await browser.get("/graph/threads/x")
        said = query_of(back := await prove(browser, await begin(browser)))
        secrets |= {said["code"], said["state"]}
        await come_back(browser, back)
        await come_back(browser, back)
        secrets |= {*browser.cookies.values()}
        await browser.post("/auth/logout")

    records = [one for one in caplog.records if one.name.startswith(OURS)]
    assert len(records) > 20
    formatters = (JsonFormatter(), TextFormatter())
    for record in records:
        for line in (*(one.format(record) for one in formatters), record.getMessage()):
            if "provider refused a refresh_token grant" in line:
                continue  # the provider's own words, which are for the log
            assert "CANARY" not in line
            assert not [one for one in secrets if one in line]
