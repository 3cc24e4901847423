"""What is not even HTTP gets an answer that repeats nothing of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from bff import config
from bff.wire import GatewayRunner
from tests.bff.raw import exchange, head

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.config import Config

CANARY = "nx_access=1CANARY-in-a-cookie"
COOKIE = f"Cookie: {CANARY}"
LIMIT = 32 * 1024


@pytest.fixture
async def url() -> AsyncGenerator[str]:
    """Serve an application that knows a few ways to fail, without our middlewares."""

    async def fine(_: web.Request) -> web.Response:
        return web.Response(text="fine")

    async def bug(_: web.Request) -> web.Response:
        raise RuntimeError("CANARY in an exception")

    async def slow(_: web.Request) -> web.Response:
        raise TimeoutError("CANARY")

    async def late(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        await stream.write(b"first bytes")
        raise RuntimeError("a late failure")

    async def left(_: web.Request) -> web.Response:
        raise ConnectionResetError("left")

    app = web.Application()
    for handler in (fine, bug, slow, late, left):
        app.router.add_get(f"/{handler.__name__}", handler)
    settings: Config = config.Config.model_construct()
    runner = GatewayRunner(app, settings.server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def bare(request: str) -> bytes:
    return request.replace("\n", "\r\n").encode()


MALFORMED = {
    "no http": bare(f"{CANARY}\n\n"),
    "blank in the target": bare(f"GET /fi ne HTTP/1.1\nHost: x\n{COOKIE}\n\n"),
    "another protocol": bare(f"GET /fine HTTQ/1.1\nHost: x\n{COOKIE}\n\n"),
    "version 9": bare(f"GET /fine HTTP/9.1\nHost: x\n{COOKIE}\n\n"),
    "two lengths": bare(
        f"POST /fine HTTP/1.1\nHost: x\n{COOKIE}\nContent-Length: 1\n"
        "Content-Length: 2\n\nab"
    ),
    "a length that is none": bare(
        f"POST /fine HTTP/1.1\nHost: x\n{COOKIE}\nContent-Length: -1\n\n"
    ),
    "length and chunks": bare(
        f"POST /fine HTTP/1.1\nHost: x\n{COOKIE}\nContent-Length: 3\n"
        "Transfer-Encoding: chunked\n\n0\n\n"
    ),
    "a name with a blank": bare(f"GET /fine HTTP/1.1\nHost: x\nA b: c\n{COOKIE}\n\n"),
    "a folded line": bare(f"GET /fine HTTP/1.1\nHost: x\n{COOKIE}\n more: CANARY\n\n"),
    "a null byte": bare(f"GET /fine HTTP/1.1\nHost: x\n{COOKIE}\0\n\n"),
    "no colon": bare(f"GET /fine HTTP/1.1\nHost: x\nCANARY\n{COOKIE}\n\n"),
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03CANARY\r\n\r\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
async def test_bad_http_is_a_problem_that_repeats_no_byte(
    url: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    answer = await exchange(url, MALFORMED[kind])

    assert answer.status == 400
    assert answer.json["code"] == "bad_request"
    assert_hardened(answer.headers, answer.json["request_id"])
    assert b"CANARY" not in answer.raw
    assert "CANARY" not in caplog.text


@pytest.mark.parametrize("size", [LIMIT + 1, 2 * LIMIT, 10 * LIMIT])
@pytest.mark.parametrize("name", ["Cookie", "X-Other"])
async def test_a_header_over_the_limit_is_431_and_shows_no_cookie(
    url: str, size: int, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    value = "nx_access=1CANARY" + "x" * size

    answer = await exchange(url, head(url, "GET /fine", f"{name}: {value}"))

    assert answer.status == 431
    assert answer.json["code"] == "headers_too_large"
    assert_hardened(answer.headers, answer.json["request_id"])
    assert b"CANARY" not in answer.raw
    assert b"xxxx" not in answer.raw
    assert "CANARY" not in caplog.text
    assert "xxxx" not in caplog.text


async def test_a_request_line_over_the_limit_is_431(url: str) -> None:
    answer = await exchange(url, head(url, "GET /CANARY" + "x" * LIMIT))

    assert answer.status == 431
    assert b"CANARY" not in answer.raw


async def test_a_header_within_the_limit_passes(url: str) -> None:
    answer = await exchange(
        url, head(url, "GET /fine", "Cookie: " + "x" * (LIMIT - 50))
    )

    assert answer.status == 200


@pytest.mark.parametrize("path", ["bug", "slow"])
async def test_an_error_outside_our_middlewares_tells_nothing(
    url: str, path: str
) -> None:
    answer = await exchange(url, head(url, f"GET /{path}", COOKIE))

    assert answer.status == 500
    assert answer.json["code"] == "internal_error"
    assert_hardened(answer.headers, answer.json["request_id"])
    assert b"CANARY" not in answer.raw
    assert b"Traceback" not in answer.raw


async def test_what_aiohttp_answers_itself_is_said_in_our_words(url: str) -> None:
    refused = await exchange(url, head(url, "GET /fine", "Expect: CANARY"))
    absent = await exchange(url, head(url, "GET /CANARY"))

    assert (refused.status, refused.json["code"]) == (417, "expectation_failed")
    assert (absent.status, absent.json["code"]) == (404, "not_found")
    for answer in (refused, absent):
        assert_hardened(answer.headers, answer.json["request_id"])
        assert b"CANARY" not in answer.raw


async def test_a_failure_after_the_first_byte_breaks_the_connection_and_is_logged(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await exchange(url, head(url, "GET /late"))

    assert answer.status == 200
    assert b"first bytes" in answer.body
    assert not answer.raw.endswith(b"0\r\n\r\n"), "a clean end would be a lie"
    assert b"HTTP/1.1" not in answer.body
    assert "a late failure" in caplog.text


async def test_a_browser_that_left_is_no_error(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await exchange(url, head(url, "GET /left"))

    assert answer.raw == b""
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


async def test_a_connection_serves_again_after_a_good_answer(url: str) -> None:
    request = head(url, "GET /fine").replace(b"Connection: close\r\n", b"")

    answer = await exchange(url, request + head(url, "GET /fine"))

    assert answer.raw.count(b"HTTP/1.1 200") == 2


def assert_hardened(headers: dict[str, str], identity: str) -> None:
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["x-request-id"] == identity
    assert "server" not in headers
