"""T20: only our own names are answered to, compared exactly (CVE-2026-34525).

Host is a lookup in a list; nothing is built from what it says.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from tests.attacks.outside import ask
from tests.bff.auth.redirects import begin, come_back, prove
from tests.bff.raw import exchange
from tests.world import World

if TYPE_CHECKING:
    from tests.bff.raw import RawAnswer
    from tests.databases import Databases

# {host} is our own name, {port} our port.
FOREIGN = (
    "evil.test",
    "evil.test:{port}",
    "{host}.",
    "{host}.:{port}",
    "{host}:{port}.",
    "{host}",
    "{host}:80",
    "{host}:0{port}",
    "{host}:{port}0",
    "{host}:",
    "{host}:{port}:{port}",
    "{host}.evil.test:{port}",
    "evil-{host}:{port}",
    "evil.test@{host}:{port}",
    "{host}:{port}@evil.test",
    "evil.test#{host}:{port}",
    "{host}:{port}/evil.test",
    "{host}:{port}, evil.test",
    "{host}:{port} evil.test",
    "{host}:{port}\tevil.test",
    '"{host}:{port}"',
    "%6cocalhost:{port}",
    "l\u00f3calhost:{port}",
    "loca\uff4chost:{port}",
    "127.1:{port}",
    "2130706433:{port}",
    "0.0.0.0:{port}",
    "[::1]:{port}",
    "[{host}]:{port}",
    "",
)
PATHS = ("/auth/session", "/login", "/healthz", "/graph/threads/x", "/nowhere")
OTHERS = (
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Server: evil.test",
    "X-Forwarded-Proto: gopher",
    "X-Host: evil.test",
    "X-HTTP-Host-Override: evil.test",
    "X-Original-URL: http://evil.test/",
    "Forwarded: host=evil.test;proto=gopher",
    "Host_: evil.test",
)


async def said(world: World, *lines: str, start: str = "GET /login") -> RawAnswer:
    head = "\r\n".join((f"{start} HTTP/1.1", *lines, "Connection: close", "", ""))
    return await exchange(world.url, head.encode())


def is_refused(answer: RawAnswer) -> None:
    assert answer.status in {400, 421}, answer.raw
    assert answer.json["code"] in {"bad_request", "unknown_host"}
    assert b"evil" not in answer.raw
    assert "set-cookie" not in answer.headers


async def test_a_name_that_is_not_exactly_ours_is_refused_everywhere(
    world: World,
) -> None:
    name, _, port = world.url.removeprefix("http://").partition(":")
    async with world.signed_in() as browser:
        jar = "; ".join(f"{key}={one}" for key, one in browser.cookies.items())
        for pattern in FOREIGN:
            host = pattern.format(host=name, port=port)
            for path in PATHS:
                start = f"GET {path}"
                is_refused(
                    await said(world, f"Host: {host}", f"Cookie: {jar}", start=start)
                )
    assert world.graph.seen == []


async def test_two_names_or_none_are_refused(world: World) -> None:
    ours, evil = f"Host: {world.url.removeprefix('http://')}", "Host: evil.test"
    for lines in (
        (),
        (ours, evil),
        (evil, ours),
        (ours, ours),
        (ours, evil.lower()),
        (ours, "HOST:"),
        (f"{ours}\r\n evil.test",),
        (f"{ours}\x00",),
        ("Host : evil.test", ours),
        (f"\x00{ours}",),
    ):
        is_refused(await said(world, *lines))
    bare = await exchange(world.url, b"GET /login HTTP/1.0\r\n\r\n")
    is_refused(bare)


async def test_a_whole_address_as_target_names_no_other_host(world: World) -> None:
    """RFC 9112 section 3.2.2 lets the target overrule Host: ours never does."""
    ours = world.url.removeprefix("http://")
    for target in (
        "http://evil.test/login",
        f"http://evil.test@{ours}/login",
        f"http://{ours}@evil.test/login",
        f"https://{ours}/login",
        "//evil.test/login",
        "http:///login",
        "ws://evil.test/login",
        "evil.test:80",
        "http://evil.test",
    ):
        for host in (ours, "evil.test"):
            answer = await said(world, f"Host: {host}", start=f"GET {target}")
            assert answer.status in {400, 404, 421}, target
            assert b"evil" not in answer.raw
    spelt = await said(world, "Host: evil.test", start=f"GET {world.url}/auth/session")
    assert spelt.status in {400, 421}


async def test_case_is_no_difference_and_ours_are_served(world: World) -> None:
    for origin in world.config.server.public_origins:
        ours = origin.removeprefix("http://")
        for host in (ours, ours.upper(), ours.title()):
            answer = await said(world, f"Host: {host}", start="GET /auth/session")
            assert (answer.status, answer.json) == (200, {"authenticated": False})


async def test_a_default_port_may_be_left_out_and_no_other(
    databases: Databases,
) -> None:
    https = {"server": {"public_origins": ["https://app.test"]}}
    async with World(databases, settings=https).running() as world:
        world.url = f"http://{world.config.server.listen}"
        for host, status in {
            "app.test": 200,
            "APP.test:443": 200,
            "app.test:80": 421,
            "app.test:4430": 421,
            "app.test.": 421,
            "app.test.:443": 421,
            "www.app.test": 421,
            "test": 421,
        }.items():
            answer = await said(world, f"Host: {host}", start="GET /auth/session")
            assert answer.status == status, host


async def test_nothing_is_built_from_what_a_request_calls_us(world: World) -> None:
    """Redirects, logout addresses and what the upstream hears name ourselves."""
    ours, name = world.url, world.url.removeprefix("http://")
    second = world.config.server.public_origins[1].removeprefix("http://")
    for line in OTHERS:
        begun = await said(world, f"Host: {name}", line, start="GET /auth/sso")
        query = parse_qs(urlsplit(begun.headers["location"]).query)
        assert query["redirect_uri"] == [f"{ours}/auth/callback"]
        moved = await said(world, f"Host: {second}", line, "Sec-Fetch-Mode: navigate")
        assert (moved.status, moved.headers["location"]) == (307, f"{ours}/login")
        async with world.browser() as browser:
            # By redirect: the provider has a session of its own to be sent to end.
            back = await prove(browser, await begin(browser))
            assert (await come_back(browser, back)).status == 303
            jar = browser.cookies
            answer = await ask(world, "GET /graph/threads/x", line, jar=jar)
            assert answer.status == 200
            body = json.dumps({}).encode()
            left = await ask(world, "POST /auth/logout", line, jar=jar, body=body)
            assert "evil" not in left.headers["x-logout-url"]
        heard = world.graph.seen[-1]["headers"]
        assert heard["x-forwarded-host"] == name
        assert heard["host"] == world.graph.url.removeprefix("http://")
        assert heard["x-forwarded-proto"] == "http"
        assert "evil" not in json.dumps(world.graph.seen[-1])
