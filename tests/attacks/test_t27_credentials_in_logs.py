"""T27: no credential is ever written down, whatever goes wrong with it.

A real `bff serve` at DEBUG, its standard output and error in a file. Each secret of a
day is sent along every way it may go, the failing ones above all; then the file is
searched for each of them, whole and in pieces.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pytest
from aiohttp import web

from bff.dev.ports import free_port
from bff.dev.provider import Person, otp
from bff.sessions.browser import COOKIES
from tests.attacks.outside import ask
from tests.attacks.processes import environment, run, served, settings_of
from tests.bff.auth.redirects import begin, come_back, prove, query_of
from tests.bff.auth.test_backchannel import PATH, claims, signed
from tests.bff.raw import exchange, head
from tests.world import KEY, SECRET

if TYPE_CHECKING:
    from tests.attacks.processes import Served
    from tests.world import Browser, World

PASSWORD, WRONG, OTP = "Canary-Right-Horse-1", "Canary-Wrong-Horse-2", "canary-otp-3"
GATEWAY_KEY = "canary-gateway-key-4"
MADE_UP = "canary-made-up-token-5"
EMAIL, TOTP = "canary@acme.test", "totp@acme.test"


@dataclass
class Canaries:
    """Every secret that was sent or made, by what it is."""

    known: dict[str, str] = field(default_factory=dict)

    def note(self, name: str, secret: str) -> None:
        assert len(secret) >= 6, name
        self.known[f"{name} {len(self.known)}"] = secret

    def session(self, world: World, browser: Browser) -> None:
        """Note a browser's cookies and what is sealed in them."""
        cookies = world.app[COOKIES]
        access = cookies.open_access(browser.cookies)
        refresh = cookies.open_refresh(browser.cookies)
        assert access is not None
        assert refresh is not None
        self.note("session id", str(access.sid))
        self.note("session id", access.sid.hex)
        self.note("access token", access.access_token)
        self.note("refresh token", refresh.refresh_token)
        for cookie in browser.session.cookie_jar:
            if "nx_" in cookie.key:
                self.note(cookie.key, cookie.value)

    def found_in(self, text: str) -> list[str]:
        """Return which of them stand in *text*, in whole or in good part."""
        return [
            name
            for name, secret in self.known.items()
            if any(piece in text for piece in _pieces(secret))
        ]


def _pieces(secret: str) -> set[str]:
    if len(secret) < 80:
        return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}
    middle = len(secret) // 2
    return {secret[middle : middle + 24], secret[-24:]}


@pytest.mark.parametrize("form", ["json", "text"])
async def test_a_day_of_successes_and_failures_writes_no_secret(
    world: World, form: str
) -> None:
    told = Canaries()
    for name, secret in (
        ("client secret", SECRET),
        ("key ring", KEY.partition(":")[2]),
        ("gateway key", GATEWAY_KEY),
        ("password", PASSWORD),
        ("password", WRONG),
        ("otp", OTP),
        ("made up", MADE_UP),
    ):
        told.note(name, secret)
    for url in world.databases.urls.values():
        told.note("database", urlsplit(url).password or "")
    world.provider.accounts.add(
        Person(email=EMAIL, password=PASSWORD, tenant_id=1001), time.time()
    )
    dead = f"http://127.0.0.1:{free_port()}"
    proxies = {
        "graph": {"upstreams": [world.graph.url], "gateway_key": GATEWAY_KEY},
        "dead": {"prefix": "/dead", "upstreams": [dead], "allow": ["*"]},
    }
    async with served(
        world,
        proxy=proxies,
        telemetry={"log_level": "DEBUG", "log_format": form},
    ) as it:
        await by_password(world, it, told)
        await by_redirect(world, it, told)
        await by_the_provider(world, it, told)
        await as_bad_http(it, told)
        await without_database(world, it)
        async with world.browser(it.url) as browser:
            metrics = await browser.session.get(f"{it.admin_url}/metrics")
            assert told.found_in(await metrics.text()) == []
        said = await it.stop()

    assert told.found_in(said) == []
    assert "CANARY" not in said.upper().replace(EMAIL.upper(), "")
    # What went wrong was written down, or the search proves nothing.
    for word in (
        "DEBUG" if form == "json" else " D ",
        "/auth/callback",
        "a logout token was refused",
        "refused a malformed request",
        "the provider refused a password grant",
        "/dead/",
    ):
        assert word.lower() in said.lower(), word


async def by_password(world: World, it: Served, told: Canaries) -> None:
    async with world.browser(it.url) as browser:
        good = {"email": EMAIL, "password": PASSWORD}
        code = otp.code_at(world_secret(world), time.time())
        told.note("code of now", code)
        for body in (
            {**good, "password": WRONG},
            {**good, "password": WRONG, "otp": OTP},
            {"email": TOTP, "password": WRONG, "otp": code},
            {"email": WRONG, "password": EMAIL},
            {**good, "secret": WRONG},
            {"email": [PASSWORD], "password": {PASSWORD: PASSWORD}},
            {**good, "password": f"{WRONG}\u0000\r\n{WRONG}"},
        ):
            await browser.post("/auth/login", json=body)
        for raw, kind in (
            (f'{{"email": "{EMAIL}", "password": "{PASSWORD}', "application/json"),
            (f"email={EMAIL}&password={PASSWORD}", "application/x-www-form-urlencoded"),
            (f'{{"password": "{PASSWORD}"}}', "text/plain"),
        ):
            headers = {"Content-Type": kind}
            for path in ("/auth/login", "/auth/register", "/invites/redeem"):
                await browser.post(path, data=raw, headers=headers)
        await browser.post("/invites/redeem", json={"token": MADE_UP})
        for where in ("/auth/login", "/login", "/whoami", "/nowhere", "/auth/sso"):
            await browser.get(f"{where}?password={PASSWORD}&token={MADE_UP}")
        assert (await browser.post("/auth/login", json=good)).status == 200
        told.session(world, browser)
        bearer = {"Authorization": f"Bearer {MADE_UP}", "X-Api-Key": MADE_UP}
        for path in ("/whoami", "/graph/threads/x", "/dead/x", "/auth/sessions"):
            await browser.get(path, headers=bearer)
        await browser.get(f"/graph/threads/x?token={MADE_UP}&access_token={MADE_UP}")
        await browser.get("/graph/threads/slow-no-such/%00")
        sid = world.app[COOKIES].open_access(browser.cookies)
        assert sid is not None
        assert (await browser.post("/auth/refresh")).status == 200
        told.session(world, browser)
        ended = await browser.request("DELETE", f"/auth/sessions/{sid.sid}")
        assert ended.status == 204


def world_secret(world: World) -> str:
    (person,) = (one for one in world.provider.people if one.email == TOTP)
    assert person.totp_secret is not None
    return person.totp_secret


async def by_redirect(world: World, it: Served, told: Canaries) -> None:
    async with world.browser(it.url) as browser:
        attempt = await begin(browser)
        for name in ("state", "nonce", "code_challenge"):
            told.note(name, attempt.query[name])
        back = await prove(browser, attempt, "bob@globex.test")
        told.note("code", query_of(back)["code"])
        for cookie in browser.session.cookie_jar:
            if "nx_signin" in cookie.key:
                told.note("try", cookie.value)
        stranger = back.replace("state=", "state=x")
        assert (await come_back(browser, stranger)).status == 400
        assert (await come_back(browser, f"{back}&code={MADE_UP}")).status == 400
        assert (await come_back(browser, back)).status == 303
        told.session(world, browser)
        assert (await come_back(browser, back)).status == 400
        assert (await browser.post("/auth/logout", json={})).status == 204


async def by_the_provider(world: World, it: Served, told: Canaries) -> None:
    """The provider repeats what it was sent, and ends sessions."""
    async with world.browser(it.url) as browser:
        assert (await browser.login("alice@acme.test")).status == 200
        told.session(world, browser)

        async def echo(request: web.Request) -> web.Response | None:
            if not request.path.endswith("/token"):
                return None
            form = await request.post()
            said = "&".join(f"{name}={value!s}" for name, value in form.items())
            status = 500 if form["grant_type"] == "refresh_token" else 400
            text = json.dumps({"error": "invalid_grant", "error_description": said})
            return web.Response(status=status, text=text)

        world.provider.intercept = echo
        assert (await browser.post("/auth/refresh")).status == 503
        assert (await browser.login(EMAIL, PASSWORD, OTP)).status == 401
        world.provider.intercept = None
        good = signed(world, claims(world))
        told.note("logout token", good)
        for token in (good[:-9], f"{good}x", MADE_UP, good):
            answer = await browser.post(PATH, data={"logout_token": token})
            assert answer.status in {200, 400}
        await browser.post(f"{PATH}?logout_token={good}", data={"x": "y"})


async def as_bad_http(it: Served, told: Canaries) -> None:
    """Requests that are none, with a cookie in the bytes that are stumbled over."""
    cookie = next(value for name, value in told.known.items() if "nx_access" in name)
    field_ = f"Cookie: nx_access={cookie}"
    for raw in (
        f"GET /whoami HTTP/1.1\r\nHost: x\r\n{field_}\r\n bad: 1\r\n\r\n",
        f"GET /whoami?token={MADE_UP} HTTQ/1.1\r\n{field_}\r\n\r\n",
        f"{field_}\r\n\r\n",
        f"POST /auth/login HTTP/1.1\r\n{field_}\r\nContent-Length: x\r\n\r\n{PASSWORD}",
        f"GET /whoami HTTP/1.1\r\nHost: x\r\n{field_}{'x' * 40_000}\r\n\r\n",
        f"GET /{MADE_UP}{'x' * 40_000} HTTP/1.1\r\n\r\n",
        f"GET /whoami HTTP/1.1\r\nHost: {MADE_UP}\r\n{field_}\r\n\r\n",
    ):
        closing = raw.replace("HTTP/1.1\r\n", "HTTP/1.1\r\nConnection: close\r\n", 1)
        await exchange(it.url, closing.encode())
    raw_head = head(it.url, "GET /whoami", field_, f"Authorization: Basic {MADE_UP}")
    await exchange(it.url, raw_head)


async def without_database(world: World, it: Served) -> None:
    """Its connections break in the middle of the day."""
    async with world.browser(it.url) as browser:
        async with world.databases.superuser() as database:
            await database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        for _ in range(3):
            await browser.login(EMAIL, WRONG)
            await browser.login(EMAIL, PASSWORD)


STARTS: tuple[dict[str, dict[str, str]], ...] = (
    {"database": {"url": "postgresql://bff_app:{canary}@{place}"}},
    {
        "database": {
            "url": "mysql://bff_app:{canary}@{place}",
            "worker_url": "postgresql:/bff_worker:{canary}@[::1/{place}",
        }
    },
    {"session": {"keys": "1:{canary}"}},
)


async def test_a_start_that_fails_writes_no_secret(world: World) -> None:
    place = world.databases.app.partition("@")[2]
    runs = []
    for changes in STARTS:
        filled = {
            section: {
                key: value.format(canary="canary-at-the-start", place=place)
                for key, value in keys.items()
            }
            for section, keys in changes.items()
        }
        # `serve` may wait for its database; the doctor asks once.
        waits = "database" in filled
        told = environment(settings_of(world, filled))
        runs.append(run(told, "doctor" if waits else "serve", seconds=40))

    for ended in await asyncio.gather(*runs):
        assert ended.status == 1, ended.said
        assert ended.said
        assert "canary" not in ended.said.lower()
        assert SECRET not in ended.said


async def test_a_long_path_with_a_token_is_not_kept_in_queries(world: World) -> None:
    """The one thing of a request that is logged as it came is its path."""
    answer = await ask(world, f"GET /whoami?code={MADE_UP}")

    assert answer.status == 401
    assert MADE_UP.encode() not in answer.raw
