"""How the other tests of the provider talk to it: over a real socket, as a client."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web

from bff.dev.provider import Client, Person, Provider, Realm, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

PASSWORD = "Correct-Horse-1"
CALLBACK = "http://127.0.0.1:8080/auth/callback"
VERIFIER = "v" * 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
    .rstrip(b"=")
    .decode()
)
PEOPLE = (
    Person(
        email="alice@acme.test",
        password=PASSWORD,
        tenant_id=1001,
        roles=("admin",),
        first_name="Alice",
        last_name="Test",
    ),
    Person(email="bob@globex.test", password=PASSWORD, tenant_id=1002),
    Person(
        email="totp@acme.test", password=PASSWORD, totp_secret="NEXIUSTOTPSECRET0001"
    ),
    Person(email="disabled@acme.test", password=PASSWORD, enabled=False),
    Person(
        email="pending@acme.test",
        password=PASSWORD,
        required_actions=("UPDATE_PASSWORD",),
    ),
)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, read to its end."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def query(self) -> dict[str, str]:
        """The parameters of a redirect."""
        pairs = parse_qs(urlsplit(self.headers["Location"]).query)
        return {name: one for name, (one,) in pairs.items()}

    @property
    def action(self) -> str:
        """Where the page's form posts to."""
        found = re.search(r'<form [^>]*action="([^"]*)"', self.text)
        assert found, self.text
        return html.unescape(found[1])

    @property
    def hidden(self) -> dict[str, str]:
        """The fields that the page's form carries along."""
        found = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', self.text)
        return {name: html.unescape(value) for name, value in found}

    def asks_for(self, name: str) -> bool:
        """Tell whether the page's form has a field of this name."""
        return f'name="{name}"' in self.text

    @property
    def refusal(self) -> tuple[int, str, str | None]:
        return self.status, self.json["error"], self.json.get("error_description")


@dataclass(kw_only=True)
class Caller:
    """A client of some provider, with its credentials and one browser."""

    issuer: str
    http: aiohttp.ClientSession
    logout_tokens: list[tuple[str, str]]
    client: str = "app"

    @property
    def oidc(self) -> str:
        return f"{self.issuer}/protocol/openid-connect"

    @property
    def admin(self) -> str:
        return self.issuer.replace("/realms/", "/admin/realms/")

    async def ask(self, method: str, url: str, **options: Any) -> Answer:
        url = url if url.startswith("http") else self.issuer.split("/realms")[0] + url
        async with self.http.request(
            method, url, allow_redirects=False, **options
        ) as answer:
            headers = dict(answer.headers)
            return Answer(
                status=answer.status, headers=headers, text=await answer.text()
            )

    async def post(self, path: str, client: str = "", **form: str) -> Answer:
        client = client or self.client
        proof = {"client_id": client, "client_secret": f"{client}-secret"}
        return await self.ask("POST", f"{self.oidc}/{path}", data={**proof, **form})

    async def token(self, grant_type: str, client: str = "", **form: str) -> Answer:
        return await self.post("token", client, grant_type=grant_type, **form)

    async def password(
        self, email: str = "alice@acme.test", password: str = PASSWORD, **form: str
    ) -> Answer:
        return await self.token("password", username=email, password=password, **form)

    async def refresh(self, token: str, client: str = "") -> Answer:
        return await self.token("refresh_token", client, refresh_token=token)

    async def authorize(self, client: str = "", **changes: str | None) -> Answer:
        asked: dict[str, str | None] = {
            "client_id": client or self.client,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": "openid",
            "state": "s1",
            "nonce": "n1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        params = {name: value for name, value in asked.items() if value is not None}
        return await self.ask("GET", f"{self.oidc}/auth", params=params)

    async def sign_in(
        self, email: str = "alice@acme.test", client: str = "", **changes: str
    ) -> Answer:
        """Fill in the form; the answer is the redirect back."""
        page = await self.authorize(client, **changes)
        return await self.fill_in(page, username=email, password=PASSWORD)

    async def fill_in(self, page: Answer, **fields: str) -> Answer:
        """Post the page's form, and those that follow, with the fields they have."""
        used: set[str] = set()
        while page.status == 200:
            known = {one: fields[one] for one in fields if page.asks_for(one)}
            if used.issuperset(known):
                break
            used |= set(known)
            page = await self.ask("POST", page.action, data=known)
            if page.status == 302 and page.headers["Location"].startswith(self.issuer):
                page = await self.ask("GET", page.headers["Location"])
        return page

    async def exchange(
        self, code: str, client: str = "", **changes: str | None
    ) -> Answer:
        form = {"code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        merged = {**form, **changes}
        kept = {name: value for name, value in merged.items() if value is not None}
        return await self.token("authorization_code", client, **kept)


@dataclass(kw_only=True)
class World(Caller):
    """A running provider of ours, its clock, and a client of it."""

    provider: Provider
    clock: Clock

    def reasons(self, kind: str) -> list[str | None]:
        return [one.error for one in self.provider.events if one.type == kind]


@asynccontextmanager
async def running(
    realm: Realm | None = None, *, state_file: Path | None = None, **options: Any
) -> AsyncGenerator[World]:
    """Serve a provider, and the clients' back-channel addresses beside it."""
    clock = Clock()
    heard: list[tuple[str, str]] = []

    async def hear(request: web.Request) -> web.Response:
        form = await request.post()
        heard.append((request.match_info["client"], str(form["logout_token"])))
        return web.Response()

    clients_app = web.Application()
    clients_app.router.add_post("/{client}", hear)
    runner = web.AppRunner(clients_app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    provider = Provider(
        realm or Realm(),
        PEOPLE,
        (
            _client("app", f"{base}/app"),
            _client("erp", f"{base}/erp"),
            Client(
                client_id="provisioner",
                secret="provisioner-secret",
                direct_grant=False,
                service_account=True,
            ),
        ),
        clock=clock,
        state_file=state_file,
    )
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        serving(provider, **options) as issuer,
        aiohttp.ClientSession(cookie_jar=jar) as http,
    ):
        yield World(
            provider=provider,
            clock=clock,
            issuer=issuer,
            http=http,
            logout_tokens=heard,
        )
    await runner.cleanup()


def _client(name: str, backchannel: str) -> Client:
    return Client(
        client_id=name,
        secret=f"{name}-secret",
        redirect_uris=(CALLBACK, "http://127.0.0.1:9999/app/*"),
        post_logout_redirect_uris=("http://127.0.0.1:8080/",),
        backchannel_logout_url=backchannel,
    )


def claims(token: str) -> dict[str, Any]:
    """Read a token without checking it."""
    return dict(_part(token, 1))


def header(token: str) -> dict[str, Any]:
    return dict(_part(token, 0))


def _part(token: str, place: int) -> Any:
    part = token.split(".")[place]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def test_driver_reaches_the_provider() -> None:
    async with running() as world:
        answer = await world.ask(
            "GET", f"{world.issuer}/.well-known/openid-configuration"
        )

    assert answer.status == 200
    assert answer.json["issuer"] == world.issuer
