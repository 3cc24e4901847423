"""deploy/nginx.conf and deploy/Caddyfile in front of a gateway, as they are."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shutil
import socket
import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bff.dev.ports import free_port
from tests.bff.waiting import until
from tests.real.edge import DEPLOY, KINDS, NAME, Edge, edge
from tests.real.edge_origin import Origin, serving
from tests.real.edge_replicas import secure_ticket
from tests.world import Browser, World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases

pytestmark = pytest.mark.real

THREAD = "/graph/threads/t"
ELSEWHERE = "127.0.0.2"  # a browser's address that is not the proxy's
UPLOAD = 16 * 2**20


@dataclass
class Site:
    """A gateway behind a proxy, and the graph server behind both."""

    world: World
    origin: Origin
    edge: Edge

    @asynccontextmanager
    async def browser(self) -> AsyncGenerator[Browser]:
        """Give a browser at an address of its own."""
        connector = aiohttp.TCPConnector(
            ssl=self.edge.trust(), local_addr=(ELSEWHERE, 0), family=socket.AF_INET
        )
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), connector=connector
        ) as session:
            yield Page(self.world, session, self.edge.url)

    @asynccontextmanager
    async def signed_in(self) -> AsyncGenerator[Browser]:
        """Give a browser in which Alice has signed in."""
        async with self.browser() as browser:
            answer = await browser.login("alice@acme.test")
            assert answer.status == 200, await answer.text()
            yield browser


class Page(Browser):
    """A page of the origin that the proxy has."""

    async def request(
        self, method: str, path: str, **kwargs: Any
    ) -> aiohttp.ClientResponse:
        mine = {"Origin": self.url, "Host": self.url.removeprefix("https://")}
        headers = {**mine, **kwargs.pop("headers", {})}
        return await super().request(method, path, headers=headers, **kwargs)


@pytest.fixture(params=KINDS)
async def site(
    request: pytest.FixtureRequest, databases: Databases
) -> AsyncGenerator[Site]:
    """Run it; one of the gateways that the proxy knows of is not there."""
    port = free_port()
    async with serving() as origin:
        settings: dict[str, dict[str, Any]] = {
            "server": {
                "public_origins": [f"https://{NAME}:{port}"],
                "trusted_proxies": ["127.0.0.1"],
            },
            "proxy": {"graph": {"upstreams": [origin.url]}},
        }
        async with World(databases, settings).running() as world:
            here = f"127.0.0.1:{world.url.rpartition(':')[2]}"
            nobody = f"127.0.0.1:{free_port()}"
            async with edge(request.param, [nobody, here], port) as running:
                yield Site(world, origin, running)


async def curl(site: Site, path: str, *options: str) -> str:
    """Fetch by curl, which speaks HTTP/2, and return what it prints."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed (Debian: apt install curl)")
    process = await asyncio.create_subprocess_exec(
        *(program, "--silent", "--show-error", "--max-time", "30", "--http2"),
        *("--cacert", str(site.edge.certificate), "--ipv4", *options),
        site.edge.url + path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return said.decode()


def cookie_header(browser: Browser) -> str:
    return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


def make_tokens_big(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = site.world.provider.keys
    sign = keys.sign

    def heavy(claims: dict[str, Any], *, typ: str = "JWT") -> str:
        return sign({**claims, "groups": ["x" * 100] * 30}, typ=typ)

    monkeypatch.setattr(keys, "sign", heavy)


async def test_big_cookies_are_set_whole(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tokens_big(site, monkeypatch)
    async with site.signed_in() as browser:
        assert len(cookie_header(browser)) > 8 * 1024, "both have 4 or 8 kB by default"
        assert len(browser.cookies) > 2, "a ticket is in parts"
        assert all(name.startswith("__Host-") for name in browser.cookies)
        assert secure_ticket(browser.cookies).gen == 1
        sent = {"Cookie": cookie_header(browser)}
    async with site.browser() as other:
        assert (await other.get("/whoami", headers=sent)).status == 200


async def test_a_cookie_field_of_12_kb_passes_also_by_http_2(site: Site) -> None:
    async with site.signed_in() as browser:
        sent = f"{cookie_header(browser)}; other={'x' * 10_000}"
        assert (await browser.get("/whoami", headers={"Cookie": sent})).status == 200
        head = await curl(
            site, "/whoami", "--head", "--request", "GET", "--header", f"Cookie: {sent}"
        )

    assert head.startswith("HTTP/2 200")
    assert not re.search(r"(?i)nginx/|caddy|aiohttp", head), "to the version"


async def test_tokens_arrive_as_they_are_sent_also_by_http_2(site: Site) -> None:
    pace = 0.4
    async with site.signed_in() as browser:
        answer = await browser.get(f"{THREAD}/stream?count=5&pace={pace}")
        came = [
            time.monotonic()
            async for line in answer.content
            if line.startswith(b"id: ")
        ]
        assert len(came) == 5
        # Held back, they would come together.
        assert came[-1] - came[0] > 2 * pace
        printed = await curl(
            site,
            f"{THREAD}-2/stream?count=3&pace={pace}",
            *("--no-buffer", "--cookie", cookie_header(browser)),
            *("--write-out", "%{http_version} %{time_starttransfer} %{time_total}"),
        )
    version, first, total = printed.rsplit("\n", 1)[1].split()
    assert version == "2"
    assert printed.count("id: ") == 3
    assert float(total) - float(first) > pace


async def test_a_websocket_passes_both_ways(site: Site) -> None:
    async with site.signed_in() as browser:
        tunnel = await browser.session.ws_connect(
            f"{site.edge.url}{THREAD}/stream/events",
            headers={"Origin": site.edge.url},
        )
        for said in ("one", "two"):
            await tunnel.send_str(said)
            assert (await tunnel.receive(timeout=20)).data == said
        await tunnel.close()


async def test_an_upload_of_16_mb_arrives_whole(site: Site) -> None:
    async with site.signed_in() as browser:
        answer = await browser.post(f"{THREAD}/state", data=io.BytesIO(b"x" * UPLOAD))

        assert answer.status == 200, await answer.text()
        assert await answer.json() == {"bytes": UPLOAD}
    assert site.origin.posted == {"t": 1}


async def test_a_browser_that_leaves_ends_the_graph_servers_stream(site: Site) -> None:
    async with site.signed_in() as browser:
        answer = await browser.get(f"{THREAD}/stream?count=1000&pace=0.2")
        await answer.content.readline()
        assert site.origin.open_streams == 1

        answer.close()

        async def over() -> bool:
            return site.origin.open_streams == 0

        await until(over, seconds=20)


async def test_the_browsers_address_is_the_real_one_whatever_it_claims(
    site: Site,
) -> None:
    claims = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Proto": "http",
        "X-Real-IP": "203.0.113.7",
        "Forwarded": "for=203.0.113.7;host=evil.test",
    }
    async with site.signed_in() as browser:
        for said in ({}, claims):
            assert (await browser.get(THREAD, headers=said)).status == 200
            head = site.origin.heads[-1]
            assert head["x-forwarded-for"] == ELSEWHERE
            assert head["x-forwarded-proto"] == "https"
            assert head["x-forwarded-host"] == f"{NAME}:{site.edge.port}"
            assert "203.0.113.7" not in json.dumps(head)
            assert "evil" not in json.dumps(head)


async def test_what_cannot_be_connected_to_costs_no_request_a_post_included(
    site: Site,
) -> None:
    """Half of the gateways is away, and each POST is made once all the same."""
    async with site.signed_in() as browser:
        for number in range(30):
            answer = await browser.post(f"{THREAD}{number}/state", data=b"some words")
            assert answer.status == 200, await answer.text()
            assert await answer.json() == {"bytes": 10}
    assert site.origin.posted == {f"t{number}": 1 for number in range(30)}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_post_that_breaks_off_is_not_made_again(kind: str) -> None:
    asked: list[bytes] = []

    async def break_off(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.split(b" ", 2)
        if path == b"/healthz":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()
            return
        asked.append(method)
        writer.transport.abort()

    port = free_port()
    server = await asyncio.start_server(break_off, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, edge(kind, [address, address], port) as running:
        connector = aiohttp.TCPConnector(ssl=running.trust())
        async with aiohttp.ClientSession(connector=connector) as http:
            for path in ("/auth/logout", f"{THREAD}/state"):
                async with http.post(running.url + path, data=b"x") as answer:
                    assert answer.status == 502
            assert asked == [b"POST", b"POST"]
            async with http.get(running.url + THREAD) as answer:
                assert answer.status in {502, 503}
            assert asked.count(b"GET") > 1


async def test_another_name_gets_nothing(site: Site) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name|internal.error"):
        await asyncio.open_connection(
            "127.0.0.1",
            site.edge.port,
            ssl=site.edge.trust(),
            server_hostname="other.test",
        )


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_no_file_names_the_admin_listener(name: str) -> None:
    lines = (DEPLOY / name).read_text(encoding="utf-8").splitlines()
    said = [line for line in lines if not line.lstrip().startswith("#")]

    assert not [line for line in said if "9090" in line or "/metrics" in line]
