"""A whole small world on loopback: gateway, provider, graph server, database."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from bff import config
from bff.app import make_admin_app, make_app
from bff.database import connect
from bff.dev import demo
from bff.dev.ports import free_port
from bff.dev.provider import Client, Person, Provider, Realm, serving
from bff.graph import LIVE
from bff.wire import GatewayRunner
from tests.fakes.graph import FakeGraph, graph_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.config import Config
    from tests.databases import Databases

SECRET = "test-client-secret"
KEY = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="  # a test key, obviously
PASSWORD = demo.PASSWORD
TOTP_SECRET = "NEXIUSTOTPSECRET0001"

PROVISIONER = Client(
    client_id="nexius-provisioner",
    secret="test-provisioner-secret",
    direct_grant=False,
    service_account=True,
)
# Settings of a gateway that may open accounts.
PROVISIONED = {
    "provisioner_client_id": PROVISIONER.client_id,
    "provisioner_client_secret": PROVISIONER.secret,
}

PEOPLE = (
    *demo.PEOPLE,
    Person(
        email="dave@acme.test", password=PASSWORD, tenant_id=1001, roles=("viewer",)
    ),
    Person(email="totp@acme.test", password=PASSWORD, totp_secret=TOTP_SECRET),
    Person(email="disabled@acme.test", password=PASSWORD, enabled=False),
    Person(
        email="pending@acme.test",
        password=PASSWORD,
        required_actions=("UPDATE_PASSWORD",),
    ),
)


class Clock:
    """The time of day, which tests may move."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class World:
    """Settings first, then `running`; `restart` makes another gateway of it."""

    databases: Databases
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    realm: Realm = field(default_factory=Realm)
    seeded: bool = True
    # Another provider's issuer, to be used instead of starting ours.
    real_issuer: str = ""
    clock: Clock = field(default_factory=Clock)

    provider: Provider = field(init=False)
    graph: FakeGraph = field(init=False)
    app: web.Application = field(init=False)
    config: Config = field(init=False)
    url: str = field(init=False, default="")
    admin_url: str = field(init=False, default="")
    issuer: str = field(init=False, default="")

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[World]:
        async with AsyncExitStack() as stack:
            self.graph = await stack.enter_async_context(graph_server())
            port = free_port()
            self.url = f"http://localhost:{port}"
            origins = (self.url, f"http://127.0.0.1:{port}")
            self.provider = Provider(
                self.realm,
                PEOPLE,
                [demo.client(SECRET, origins), PROVISIONER],
                clock=self.clock,
            )
            self.issuer = self.real_issuer
            if not self.issuer:
                self.issuer = await stack.enter_async_context(serving(self.provider))
            if self.seeded:
                await self._seed()
            self.config = self._config(port, origins)
            self.app, self.admin_url = await stack.enter_async_context(
                gateway(self.config, port, self.clock)
            )
            yield self

    @asynccontextmanager
    async def another_gateway(self) -> AsyncGenerator[str]:
        """Run a second replica and yield the URL it really listens on.

        It answers to the first one's name: send it that Host.
        """
        port = free_port()
        async with gateway(self.config, port, self.clock):
            yield f"http://127.0.0.1:{port}"

    @asynccontextmanager
    async def browser(self, url: str | None = None) -> AsyncGenerator[Browser]:
        """Give a browser with a cookie jar of its own."""
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), auto_decompress=False
        ) as session:
            yield Browser(self, session, url or self.url)

    @asynccontextmanager
    async def signed_in(
        self, email: str = "alice@acme.test"
    ) -> AsyncGenerator[Browser]:
        """Give a browser in which *email* has signed in."""
        async with self.browser() as browser:
            answer = await browser.login(email)
            assert answer.status == 200, await answer.text()
            yield browser

    async def _seed(self) -> None:
        import asyncpg  # noqa: PLC0415 - only to seed

        owner = await asyncpg.connect(self.databases.owner)
        try:
            async with connect(self.databases.app, size=2) as database:
                await demo.seed(owner, database)
        finally:
            await owner.close()

    def _config(self, port: int, origins: tuple[str, str]) -> Config:
        values: dict[str, Any] = {
            "environment": "dev",
            "server": {"listen": f"127.0.0.1:{port}", "public_origins": origins},
            "database": {
                "url": self.databases.app,
                "owner_url": self.databases.owner,
                "worker_url": self.databases.worker,
                "pool_size": 5,
            },
            "auth": {
                "issuer": self.issuer,
                "client_secret": SECRET,
                "timeout": 3,
                "refusal_step": 0,  # tests are refused often, and have no secrets
            },
            "session": {"keys": KEY},
            "onboarding": {"open_to": "anyone"},
            "proxy": {"graph": {"upstreams": [self.graph.url]}},
        }
        for section, changes in self.settings.items():
            merged = {**values.get(section, {}), **changes}
            # None leaves a setting out.
            values[section] = {k: v for k, v in merged.items() if v is not None}
        return config.build(values)


@asynccontextmanager
async def gateway(
    settings: Config, port: int, clock: Clock
) -> AsyncGenerator[tuple[web.Application, str]]:
    """Serve a gateway as production does; yield its application and admin URL."""
    app = make_app(settings, clock)
    public = GatewayRunner(app, settings.server)
    await public.setup()
    admin = GatewayRunner(make_admin_app(app), settings.server)
    try:
        await admin.setup()
        await web.TCPSite(public, "127.0.0.1", port).start()
        admin_port = free_port()
        await web.TCPSite(admin, "127.0.0.1", admin_port).start()
        yield app, f"http://127.0.0.1:{admin_port}"
    finally:
        app[LIVE].cut_all()
        await public.cleanup()
        await admin.cleanup()


class Browser:
    """Send requests as a page of the gateway's own origin would."""

    def __init__(self, world: World, session: aiohttp.ClientSession, url: str) -> None:
        self.world = world
        self.session = session
        self.url = url

    async def request(
        self, method: str, path: str, **kwargs: Any
    ) -> aiohttp.ClientResponse:
        """Send a request with the headers a page's fetch carries."""
        headers = {
            "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-Mode": "cors",
            "Origin": self.world.url,
            "Host": self.world.url.removeprefix("http://"),
            **kwargs.pop("headers", {}),
        }
        kwargs.setdefault("allow_redirects", False)
        return await self.session.request(
            method, self.url + path, headers=headers, **kwargs
        )

    async def get(self, path: str, **kwargs: Any) -> aiohttp.ClientResponse:
        return await self.request("GET", path, **kwargs)

    async def post(self, path: str, **kwargs: Any) -> aiohttp.ClientResponse:
        return await self.request("POST", path, **kwargs)

    async def navigate(self, path: str, **kwargs: Any) -> aiohttp.ClientResponse:
        """Open a page as from the address bar."""
        headers = {
            "Sec-Fetch-Site": "none",
            "Sec-Fetch-Mode": "navigate",
            "Accept": "text/html",
            **kwargs.pop("headers", {}),
        }
        return await self.get(path, headers=headers, **kwargs)

    async def login(
        self, email: str, password: str = PASSWORD, otp: str | None = None
    ) -> aiohttp.ClientResponse:
        body = {"email": email, "password": password}
        if otp is not None:
            body["otp"] = otp
        return await self.post("/auth/login", json=body)

    @property
    def cookies(self) -> dict[str, str]:
        """Return the cookies held, by name, but for the one that marks the device."""
        return {
            cookie.key: cookie.value
            for cookie in self.session.cookie_jar
            if "nx_device" not in cookie.key
        }

    def set_cookies(self, cookies: dict[str, str]) -> None:
        """Replace all cookies held."""
        self.session.cookie_jar.clear()
        from yarl import URL  # noqa: PLC0415 - only here

        self.session.cookie_jar.update_cookies(cookies, URL(self.url))
