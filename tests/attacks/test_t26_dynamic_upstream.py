"""T26: nobody outside chooses whom the gateway calls (SSRF; CVE-2022-22947).

A tenant's own Odoo address does not exist yet; when it comes, its checks (scheme and
port list, no private or link-local address after DNS, no redirects, the resolved
address pinned) belong here. Until then the promise is simpler: the gateway calls what
its configuration names, and no route takes an address to call. `INPUTS` holds every
route with everything it reads; a route that is not in it fails the first test.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from aiohttp import web

from bff.identity.logout_token import EVENT
from tests.attacks.outside import ask
from tests.bff.auth.redirects import begin, come_back, prove
from tests.bff.auth.test_backchannel import claims, signed
from tests.bff.proxied import with_proxy
from tests.bff.raw import exchange, head
from tests.bff.rawserver import listening
from tests.fakes.upstream import Peer, fake_upstream
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import pytest

    from tests.databases import Databases
    from tests.world import Browser


@dataclass(frozen=True)
class Inputs:
    """What a route reads of a request, beside cookies and the headers of HTTP."""

    query: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    form: tuple[str, ...] = ()


NONE = Inputs()
INPUTS: dict[tuple[str, str], Inputs] = {
    ("GET", "/healthz"): NONE,
    ("GET", "/info"): NONE,
    ("POST", "/auth/login"): Inputs(body=("email", "password", "otp")),
    ("GET", "/auth/sso"): Inputs(query=("return_to", "prompt")),
    ("GET", "/auth/callback"): Inputs(
        query=("code", "state", "iss", "error", "session_state")
    ),
    ("POST", "/auth/register"): Inputs(
        body=("email", "full_name", "first_name", "last_name")
    ),
    ("POST", "/auth/refresh"): NONE,
    ("POST", "/auth/logout"): Inputs(body=("everywhere",)),
    ("GET", "/auth/session"): NONE,
    ("GET", "/auth/sessions"): NONE,
    ("DELETE", "/auth/sessions/{session_id}"): NONE,
    ("GET", "/auth/tenants"): NONE,
    ("POST", "/auth/tenant"): Inputs(body=("tenant_id",)),
    ("POST", "/auth/backchannel-logout"): Inputs(form=("logout_token",)),
    ("GET", "/whoami"): NONE,
    ("POST", "/onboarding/first_login"): Inputs(body=("workspace_name",)),
    ("GET", "/onboarding/status"): NONE,
    ("GET", "/onboarding/events"): NONE,
    ("GET", "/tenants/{tenant_id}"): NONE,
    ("GET", "/onboarding/verify_odoo"): NONE,
    ("GET", "/session/odoo_info"): NONE,
    ("GET", "/tenants/{tenant_id}/odoo"): NONE,
    ("POST", "/tenants/{tenant_id}/odoo/api-key/rotate"): NONE,
    ("POST", "/tenants/{tenant_id}/odoo/repair"): NONE,
    ("POST", "/export/odoo/sync"): Inputs(body=("min_score", "limit")),
    ("GET", "/export/odoo/sync"): NONE,
    ("POST", "/tenants/{tenant_id}/invites"): Inputs(body=("email", "roles")),
    ("GET", "/tenants/{tenant_id}/invites"): NONE,
    ("DELETE", "/tenants/{tenant_id}/invites/{invite_id}"): NONE,
    ("POST", "/invites/redeem"): Inputs(body=("token",)),
    ("GET", "/tenants/{tenant_id}/members"): Inputs(
        query=("limit", "after", "removed")
    ),
    ("PATCH", "/tenants/{tenant_id}/members/{user}"): Inputs(body=("roles",)),
    ("DELETE", "/tenants/{tenant_id}/members/{user}"): NONE,
    ("DELETE", "/tenants/{tenant_id}/members/{user}/sessions"): NONE,
    ("GET", "/tenants/{tenant_id}/audit"): Inputs(query=("limit", "before", "action")),
    ("GET", "/export/latest_scores.json"): Inputs(query=("limit", "include")),
    ("GET", "/export/latest_scores.csv"): Inputs(query=("limit", "include")),
    ("GET", "/icp/rules"): NONE,
    ("POST", "/icp/rules"): Inputs(body=("name", "payload")),
    ("DELETE", "/icp/rules/{rule_id}"): NONE,
    # The body is signed, and otherwise not read.
    ("POST", "/acra/ingest"): NONE,
    ("GET", "/"): NONE,
    ("GET", "/login"): NONE,
    ("GET", "/register"): NONE,
    ("GET", "/invite"): NONE,
    ("GET", "/onboarding"): NONE,
    ("GET", "/account"): NONE,
    ("GET", "/admin"): NONE,
    ("GET", "/static/{path}"): NONE,
    ("GET", "/favicon.ico"): NONE,
    # Bodies and queries pass through unread; paths are on a list.
    ("*", "/graph/{path}"): NONE,
}
# What others have called the parameter that named an address.
NAMES = [
    "url",
    "uri",
    "u",
    "target",
    "upstream",
    "backend",
    "host",
    "server",
    "dest",
    "destination",
    "next",
    "redirect",
    "redirect_uri",
    "return_to",
    "callback",
    "webhook",
    "odoo_url",
    "base_url",
    "api_url",
    "issuer",
    "jwks_uri",
    "jku",
    "endpoint",
    "proxy",
    "image",
    "avatar",
    "feed",
    "src",
    "href",
    "link",
    "path",
    "file",
    "load",
    "fetch",
]
HEADERS = [
    "X-Upstream",
    "X-Forwarded-Host",
    "X-Forwarded-Server",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Forwarded-Uri",
    "Forwarded",
    "Destination",
    "Referer",
    "Origin",
    "Proxy",
    "X-Http-Host-Override",
    "X-Backend",
    "X-Wap-Profile",
    "Link",
    "Location",
    "Content-Location",
    "X-Odoo-Url",
    "True-Client-IP",
]


@dataclass
class Trap:
    """An address that nobody has any business to call."""

    url: str
    calls: int = 0

    @property
    def spellings(self) -> tuple[str, ...]:
        """Return the address as attackers write it."""
        port = urlsplit(self.url).port
        return (
            f"{self.url}/CANARY",
            f"//127.0.0.1:{port}/CANARY",
            f"http://localhost:{port}/",
            f"http://2130706433:{port}/",
            f"http://[::ffff:127.0.0.1]:{port}/",
            f"http://alice@127.0.0.1:{port}/",
            f"gopher://127.0.0.1:{port}/_x",
        )


@asynccontextmanager
async def trap() -> AsyncGenerator[Trap]:
    made = Trap("")

    async def fall_in(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        made.calls += 1
        del reader
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    async with listening(fall_in) as url:
        made.url = url
        yield made


async def test_every_route_is_in_the_table_with_all_it_reads(world: World) -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in world.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }

    assert served <= INPUTS.keys(), "say what the new route reads"
    addresses = {"url", "uri", "href", "link", "host", "server", "upstream", "target"}
    for (_, path), inputs in INPUTS.items():
        names = (*inputs.query, *inputs.body, *inputs.form)
        parts = {part for name in names for part in name.split("_")}
        assert not parts & addresses, f"{path} takes an address"


async def test_no_input_of_any_route_makes_a_call(world: World) -> None:
    async with trap() as it, world.signed_in() as browser:
        for (method, path), inputs in INPUTS.items():
            if path in {"/onboarding/events", "/auth/logout"}:
                continue  # an endless answer; the end of the session
            for address in it.spellings:
                await call(browser, method, path, inputs, address)
        await asyncio.sleep(0.1)
        assert it.calls == 0
        assert (await browser.get("/whoami")).status == 200
        left = await browser.post("/auth/logout", json={"url": it.url})
        assert left.status in {204, 422}
        assert it.calls == 0
    for seen in world.graph.seen:
        assert seen["headers"]["host"] == urlsplit(world.graph.url).netloc


async def call(
    browser: Browser, method: str, path: str, inputs: Inputs, address: str
) -> None:
    """Put *address* into everything that a route reads, and much that it does not."""
    verb = "POST" if method == "*" else method
    place = path.replace("{path}", "threads").replace("{tenant_id}", "1001")
    for name in ("{session_id}", "{user}", "{invite_id}"):
        place = place.replace(name, quote(address, safe=""))
    query = urlencode([(name, address) for name in (*inputs.query, *NAMES)])
    jar = browser.cookies
    lines = [f"{name}: {address}" for name in HEADERS if name != "Origin"]
    if inputs.form:
        body = urlencode([(name, address) for name in (*inputs.form, *NAMES)]).encode()
        kind = "application/x-www-form-urlencoded"
    else:
        told: dict[str, Any] = dict.fromkeys(inputs.body, address)
        body, kind = json.dumps(told).encode(), "application/json"
    if verb != "POST":
        await ask(browser.world, f"{verb} {place}?{query}", *lines, jar=jar)
        return
    cookie = "; ".join(f"{name}={one}" for name, one in jar.items())
    sized = [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    gate = ["Sec-Fetch-Site: same-origin", f"Cookie: {cookie}"]
    raw = head(browser.world.url, f"POST {place}?{query}", *gate, *sized, *lines)
    await exchange(browser.world.url, raw + body)


async def test_no_target_makes_a_proxy_of_us(world: World) -> None:
    async with trap() as it, world.signed_in() as browser:
        place = urlsplit(it.url).netloc
        for line in (
            f"GET {it.url}/",
            f"GET {it.url}/graph/threads/x",
            f"CONNECT {place}",
            f"GET //{place}/",
            f"GET /graph//{place}/",
            f"GET /graph/@{place}/",
            f"GET /graph@{place}/threads/x",
            f"GET /graph/threads/x@{place}",
            f"GET /graph/{it.url}",
            f"GET /graph/threads/x?url={it.url}",
            f"GET /graph/../{it.url}",
            f"GET /graph/\\\\{place}\\x",
        ):
            for host in (None, place):
                jar = browser.cookies
                answer = await ask(world, line, jar=jar, host=host)
                assert b"{}" not in answer.body[:2]
        assert it.calls == 0


async def test_no_token_names_where_its_key_is(world: World) -> None:
    async with trap() as it:
        for name in ("jku", "x5u", "jwk", "kid", "iss"):
            value: Any = {"kty": "RSA", "x5u": it.url} if name == "jwk" else it.url
            for said in (
                {"iss": it.url},
                {"events": {EVENT: {"jwks_uri": it.url}}},
                {name: value, "jwks_uri": it.url},
            ):
                token = signed(world, claims(world, **said))
                header, _, rest = token.partition(".")
                changed = _with(header, name, value)
                for one in (token, f"{changed}.{rest}"):
                    form = urlencode({"logout_token": one}).encode()
                    raw = head(
                        world.url,
                        "POST /auth/backchannel-logout",
                        "Content-Type: application/x-www-form-urlencoded",
                        f"Content-Length: {len(form)}",
                    )
                    await exchange(world.url, raw + form)
        assert it.calls == 0


def _with(header: str, name: str, value: object) -> str:
    import base64  # noqa: PLC0415 - only here

    plain = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    changed = json.dumps({**plain, name: value}).encode()
    return base64.urlsafe_b64encode(changed).rstrip(b"=").decode()


async def test_redirects_of_those_we_call_are_not_followed(
    databases: Databases,
) -> None:
    """Not the upstream's, and not the provider's: ours would carry the secret."""
    async with trap() as it:

        async def sends_away(peer: Peer) -> None:
            while True:
                await peer.request()
                await peer.send(
                    b"HTTP/1.1 307 Gone\r\nContent-Length: 0\r\n"
                    b"Location: " + it.url.encode() + b"/x\r\n\r\n"
                )

        async with fake_upstream(sends_away) as upstream:
            world = with_proxy(databases, upstreams=[upstream.url])
            async with world.running(), world.signed_in() as browser:
                for method in ("GET", "POST"):
                    answer = await browser.request(method, "/graph/threads/x/state")
                    assert answer.status == 307
                attempt = await begin(browser)
                back = await prove(browser, attempt)

                async def away(request: web.Request) -> web.Response | None:
                    where = f"{it.url}{request.path}"
                    return web.Response(status=307, headers={"Location": where})

                world.provider.intercept = away
                world.clock.ahead += 4000  # discovery and keys are asked for again
                assert (await browser.login("bob@globex.test")).status == 503
                await come_back(browser, back)
                await browser.post("/auth/refresh")
                await browser.post("/auth/logout")
        assert it.calls == 0


async def test_the_environment_names_no_proxy(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trap() as it:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, it.url)
        async with World(databases).running() as world, world.signed_in() as browser:
            assert (await browser.get("/graph/threads/x")).status == 200
            assert (await browser.post("/auth/refresh")).status == 200
        assert it.calls == 0
