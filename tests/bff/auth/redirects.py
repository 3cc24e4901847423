"""A browser's way to the provider and back, by plain HTTP and forms."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.world import PASSWORD

if TYPE_CHECKING:
    import aiohttp

    from tests.world import Browser


@dataclass(frozen=True)
class Try:
    """A sign-in that has been sent to the provider."""

    location: str

    @property
    def query(self) -> dict[str, str]:
        pairs = parse_qs(urlsplit(self.location).query)
        return {name: one for name, (one,) in pairs.items()}


async def begin(browser: Browser, **query: str) -> Try:
    """Open /auth/sso; the answer is the way to the provider."""
    answer = await browser.navigate("/auth/sso", params=query)
    assert answer.status == 302, await answer.text()
    return Try(answer.headers["Location"])


async def prove(browser: Browser, attempt: Try, email: str = "alice@acme.test") -> str:
    """Fill in the provider's form; return the way back, path and query."""
    page = await browser.session.get(attempt.location, allow_redirects=False)
    if page.status != 302:
        found = re.search(r'<form [^>]*action="([^"]*)"', await page.text())
        assert found
        action = html.unescape(found[1])
        if action.startswith("/"):
            parts = urlsplit(attempt.location)
            action = f"{parts.scheme}://{parts.netloc}{action}"
        page = await browser.session.post(
            action,
            data={"username": email, "password": PASSWORD},
            allow_redirects=False,
        )
    assert page.status == 302, await page.text()
    back = page.headers["Location"]
    assert back.startswith(f"{browser.world.url}/auth/callback?")
    return back.removeprefix(browser.world.url)


async def come_back(
    browser: Browser, path: str, **options: Any
) -> aiohttp.ClientResponse:
    """Open the way back as the provider's redirect does."""
    headers = {"Sec-Fetch-Site": "cross-site", **options.pop("headers", {})}
    return await browser.navigate(path, headers=headers, **options)


def query_of(path: str) -> dict[str, str]:
    return Try(path).query
