"""oauth2-proxy, which does the same job in Go: flags, and a sign-in by plain HTTP."""

from __future__ import annotations

import html
import re
import secrets
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from bench.contenders import SMALL, Contender, SignInFailed
from bench.gateway import PEOPLE
from bff.dev.provider import Client, Person

if TYPE_CHECKING:
    from pathlib import Path

CLIENT_ID = "oauth2-proxy"
FORM = re.compile(r'<form[^>]*action="([^"]+)"')


def client(secret: str, port: int) -> Client:
    """Return its client at the provider."""
    callback = f"http://127.0.0.1:{port}/oauth2/callback"
    return Client(client_id=CLIENT_ID, secret=secret, redirect_uris=(callback,))


def oauth2_proxy(
    program: Path, origin: int, issuer: str, secret: str, port: int
) -> Contender:
    """Return its command: sessions in the cookie, the token passed on, no logs."""
    flags = {
        "provider": "oidc",
        "oidc-issuer-url": issuer,
        "client-id": CLIENT_ID,
        "code-challenge-method": "S256",
        "redirect-url": f"http://127.0.0.1:{port}/oauth2/callback",
        "email-domain": "*",
        "http-address": f"127.0.0.1:{port}",
        "upstream": f"http://127.0.0.1:{origin}/",
        "cookie-secure": "false",
        "skip-provider-button": "true",
        "pass-access-token": "true",
        "pass-authorization-header": "true",
        "flush-interval": "-1s",
        "request-logging": "false",
        "auth-logging": "false",
    }
    environment = {
        "OAUTH2_PROXY_CLIENT_SECRET": secret,
        "OAUTH2_PROXY_COOKIE_SECRET": secrets.token_hex(16),
    }
    command = (str(program), *(f"--{name}={value}" for name, value in flags.items()))
    return Contender("oauth2-proxy", port, command, environment, sign_in=_sign_all_in)


async def _sign_all_in(url: str) -> tuple[str, ...]:
    return tuple([await _sign_in(url, person) for person in PEOPLE])


async def _sign_in(url: str, person: Person) -> str:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(url + SMALL, headers={"Accept": "text/html"}) as page:
            form = FORM.search(await page.text())
        if form is None:
            raise SignInFailed(f"oauth2-proxy: no form: {page.status} {page.url.path}")
        typed = {"username": person.email, "password": person.password}
        target = page.url.join(URL(html.unescape(form[1]), encoded=True))
        async with browser.post(target, data=typed) as answer:
            if not answer.ok or answer.url != URL(url + SMALL):
                raise SignInFailed(f"oauth2-proxy: {answer.status} {answer.url.path}")
    sent = jar.filter_cookies(URL(url + SMALL))
    # The provider is the same host to a cookie jar; a browser would send its own too.
    ours = {name: one.value for name, one in sent.items() if "oauth2" in name}
    return "; ".join(f"{name}={value}" for name, value in ours.items())
