"""Every kind of answer carries the headers that make browsers careful."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from bff.errors_access import NotSignedIn
from bff.hardening import DATA_POLICY, PAGE_POLICY, SAME_FOR_ALL, Hardener
from tests.bff.configs import DEV, load
from tests.bff.small import Small, small

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


async def data(_: web.Request) -> web.Response:
    return web.json_response({})


async def page(_: web.Request) -> web.Response:
    return web.Response(text="<p>", content_type="text/html")


async def own(_: web.Request) -> web.Response:
    return web.Response(
        headers={
            "Content-Security-Policy": "default-src 'self'; script-src 'none'",
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding",
            "Server": "upstream/1.0",
            "X-Frame-Options": "ALLOWALL",
        }
    )


async def stream(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    await answer.write(b"data: 1\n\n")
    return answer


async def refused(_: web.Request) -> web.Response:
    raise NotSignedIn


async def bug(_: web.Request) -> web.Response:
    raise RuntimeError("bug")


async def elsewhere(_: web.Request) -> web.Response:
    return web.Response(status=303, headers={"Location": "/"})


def _same_for_all(**headers: str) -> web.Response:
    answer = web.Response(headers={"Cache-Control": "public, max-age=60", **headers})
    answer[SAME_FOR_ALL] = True
    return answer


async def same(_: web.Request) -> web.Response:
    return _same_for_all(Vary="Accept-Encoding")


async def same_but_with_a_cookie(_: web.Request) -> web.Response:
    return _same_for_all(**{"Set-Cookie": "a=b"})


async def same_but_unsaid(_: web.Request) -> web.Response:
    answer = web.Response()
    answer[SAME_FOR_ALL] = True
    return answer


HANDLERS = {
    f"GET /{one.__name__}": one
    for one in (
        data,
        page,
        own,
        stream,
        refused,
        bug,
        elsewhere,
        same,
        same_but_with_a_cookie,
        same_but_unsaid,
    )
}


@pytest.fixture
async def gateway() -> AsyncGenerator[Small]:
    async with small(HANDLERS) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/data", 200),
        ("GET", "/page", 200),
        ("GET", "/own", 200),
        ("GET", "/stream", 200),
        ("GET", "/elsewhere", 303),
        ("GET", "/refused", 401),
        ("GET", "/nowhere", 404),
        ("POST", "/data", 405),
        ("GET", "/bug", 500),
    ],
)
async def test_every_answer_is_hardened(
    gateway: Small, method: str, path: str, status: int
) -> None:
    answer = await gateway.ask(method, path)

    assert answer.status == status
    headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"]
    assert len(headers["X-Request-ID"]) == 32
    assert "Cookie" in headers["Vary"]
    assert "Server" not in headers
    assert "Strict-Transport-Security" not in headers
    if path != "/own":
        assert headers["Cache-Control"] == "no-store"


async def test_a_refused_host_is_hardened_too(gateway: Small) -> None:
    answer = await gateway.ask("GET", "/data", headers={"Host": "evil.test"})

    assert answer.status == 421
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == DATA_POLICY


async def test_pages_may_load_our_own_and_data_may_do_nothing(gateway: Small) -> None:
    for path, policy in (
        ("/page", PAGE_POLICY),
        ("/data", DATA_POLICY),
        ("/stream", DATA_POLICY),
        ("/bug", DATA_POLICY),
    ):
        answer = await gateway.ask("GET", path)
        assert answer.headers["Content-Security-Policy"] == policy
    assert "unsafe" not in PAGE_POLICY
    assert "frame-ancestors 'none'" in PAGE_POLICY
    assert "base-uri 'none'" in PAGE_POLICY
    assert "sandbox" in DATA_POLICY


async def test_a_handlers_own_policy_and_caching_stay(gateway: Small) -> None:
    headers = (await gateway.ask("GET", "/own")).headers

    assert headers["Content-Security-Policy"].endswith("script-src 'none'")
    assert headers["Cache-Control"] == "no-cache"
    assert headers["Vary"] == "Accept-Encoding, Cookie, Origin, Sec-Fetch-Site"


async def test_https_is_kept_to_where_it_is_the_origin() -> None:
    async with small(HANDLERS, "https://app.test") as gateway:
        for path in ("/data", "/nowhere"):
            answer = await gateway.ask("GET", path, headers={"Host": "app.test"})
            assert answer.headers["Strict-Transport-Security"] == (
                "max-age=31536000; includeSubDomains"
            )


def test_long_fields_are_not_kept_whichever_part_is_long() -> None:
    hardener = Hardener(load(DEV, None))
    fields = [("X-Short", "a"), ("X-Long", "a" * 300), ("X-" + "a" * 300, "b")]
    lines = hardener.lines(fields, "id")
    assert all(f"{name}: {value}\r\n" in lines for name, value in fields)
    assert hardener._known.cache_info().currsize == 1


async def test_what_is_the_same_for_everybody_may_be_kept(gateway: Small) -> None:
    kept = await gateway.ask("GET", "/same")
    assert kept.headers["Cache-Control"] == "public, max-age=60"
    assert kept.headers["Vary"] == "Accept-Encoding"
    assert kept.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/same_but_with_a_cookie", "/same_but_unsaid"):
        answer = await gateway.ask("GET", path)
        assert answer.headers["Cache-Control"] == "no-store", path
        assert "Cookie" in answer.headers["Vary"], path
