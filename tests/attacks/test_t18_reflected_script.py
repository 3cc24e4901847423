"""T18: nothing that a request says comes back as markup, script or header.

Seen as nextjs-auth0 CVE-2021-32702 and in caddy-security's pages.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from tests.attacks.outside import ask
from tests.bff.auth.redirects import begin
from tests.bff.raw import exchange, head

if TYPE_CHECKING:
    from tests.bff.raw import RawAnswer
    from tests.world import Browser, World

MARK = "cAnArY"
PAYLOADS = (
    f"<script>alert('{MARK}')</script>",
    f"\"><img src=x onerror=alert('{MARK}')>",
    f"'-alert('{MARK}')-'",
    f"javascript:alert('{MARK}')",
    f"</title><svg/onload=alert('{MARK}')>",
    f"&lt;b&gt;{MARK}",
    f"{{{{{MARK}}}}}${{{MARK}}}",
    f"%3Cscript%3E{MARK}",
    f"+ADw-script+AD4-{MARK}",
    f"\u2028{MARK}\u2029",
)
SPLITTING = (
    f"x\r\nX-{MARK}: 1",
    f"x\nSet-Cookie: {MARK}=1",
    f"x\rX-{MARK}: 1",
    f"\u560d\u560aX-{MARK}: 1",  # encodes to CR and LF in careless hands
)


def is_harmless(answer: RawAnswer, *, json_says: bool = False) -> None:
    """Check an answer for the mark: in no header, in no page, in no active data."""
    top, _, body = answer.raw.partition(b"\r\n\r\n")
    lines = top.decode("latin-1").split("\r\n")
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "location":
            shown = value.strip()
            assert not set(shown) & set("<>\"'\\{}"), shown
            assert shown.startswith(("/", "http://")), shown
        else:
            assert MARK not in line, line
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    kind = headers.get("content-type", "")
    if kind.startswith("text/html") or not json_says:
        assert MARK.encode() not in body
    else:
        assert kind.startswith(("application/json", "application/problem+json"))
    if kind.startswith("text/html"):
        assert "script-src" not in headers["content-security-policy"]
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]


async def test_an_address_comes_back_nowhere(world: World) -> None:
    for payload in PAYLOADS + SPLITTING:
        await ask_for(world, payload)


async def ask_for(world: World, payload: str) -> None:
    names = (
        ("/auth/sso", ("prompt", "return_to", "kc_idp_hint", "ui_locales", payload)),
        ("/login", ("return_to", "error", "message", "prompt", payload)),
        ("/auth/callback", ("error", "error_description", "state", "code", "iss")),
        ("/onboarding", ("return_to", "tenant", payload)),
        ("/account", ("return_to", "tenant", payload)),
        ("/admin", ("tenant", "before", "action", payload)),
        ("/export/latest_scores.csv", ("limit", "include")),
        ("/auth/session", ("callback", "jsonp")),
    )
    for path, ones in names:
        query = urlencode(dict.fromkeys(ones, payload))
        answer = await ask(world, f"GET {path}?{query}", "Accept: text/html")
        is_harmless(answer)
        query = urlencode({**dict.fromkeys(ones, payload), "return_to": f"/{payload}"})
        is_harmless(await ask(world, f"GET {path}?{query}", "Sec-Fetch-Mode: navigate"))
    for path in (f"/{quote(payload, safe='')}", f"/static/{quote(payload, safe='')}"):
        for method in ("GET", "POST", "DELETE"):
            is_harmless(await ask(world, f"{method} {path}"))
    is_harmless(await ask(world, f"GET /tenants/{quote(payload, safe='')}"))


async def test_a_header_comes_back_nowhere(world: World) -> None:
    for payload in PAYLOADS:
        await send_as_header(world, payload)


async def send_as_header(world: World, payload: str) -> None:
    names = [
        "Referer",
        "User-Agent",
        "Origin",
        "Accept-Language",
        "X-Forwarded-Host",
        "X-Request-ID",
        "X-Forwarded-Proto",
        "Forwarded",
        "Cookie",
        "Authorization",
        "If-None-Match",
        "Last-Event-ID",
    ]
    for path in ("/login", "/", "/auth/callback", "/nowhere", "/whoami"):
        lines = [f"{name}: {payload}" for name in names]
        raw = head(world.url, f"GET {path}", "Sec-Fetch-Mode: navigate", *lines)
        is_harmless(await exchange(world.url, raw))
        for name in ("Host", "Expect", "Content-Length", "Upgrade"):
            lines = ["Connection: close", f"{name}: {payload}", "", ""]
            raw = f"GET {path} HTTP/1.1\r\n".encode() + "\r\n".join(lines).encode()
            is_harmless(await exchange(world.url, raw))


async def test_a_failed_sign_in_shows_none_of_what_was_said(world: World) -> None:
    """A real try, so that the callback gets as far as what the provider said."""
    names = ("error", "code", "session_state")
    async with world.browser() as browser:
        for payload, name in itertools.product(PAYLOADS, names):
            state = (await begin(browser)).query["state"]
            said = {
                "error_description": payload,
                "error_uri": payload,
                name: payload,
                "state": state,
                "iss": world.issuer,
            }
            path = f"/auth/callback?{urlencode(said)}"
            answer = await ask(world, f"GET {path}", jar=browser.cookies)
            assert answer.status == 400
            is_harmless(answer)


async def test_what_a_person_typed_comes_back_as_data_only(world: World) -> None:
    for payload in PAYLOADS:
        async with world.browser() as browser:
            await type_in(browser, payload)


async def type_in(browser: Browser, payload: str) -> None:
    told = {"User-Agent": payload.encode("ascii", "replace").decode()}
    answer = await browser.post(
        "/auth/login",
        json={"email": "alice@acme.test", "password": "Correct-Horse-1"},
        headers=told,
    )
    assert answer.status == 200
    for body in (
        {"email": payload, "password": payload, "otp": payload},
        {"email": "a", "password": "b", payload: payload},
        [payload],
        payload,
    ):
        await data_only(browser, "POST", "/auth/login", json=body)
        await data_only(browser, "POST", "/onboarding/first_login", json=body)
    named = {"workspace_name": payload}
    await data_only(browser, "POST", "/onboarding/first_login", json=named)
    for path in ("/auth/sessions", "/whoami", "/onboarding/status"):
        await data_only(browser, "GET", path, headers=told)


async def data_only(browser: Browser, method: str, path: str, **sent: object) -> None:
    """Check that an answer is JSON that no browser takes for a page."""
    answer = await browser.request(method, path, **sent)
    assert answer.content_type in {"application/json", "application/problem+json"}
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert not [one for one in answer.headers.values() if MARK in one]
