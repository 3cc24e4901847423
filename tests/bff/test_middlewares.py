"""Around every handler: a number, the right host, and errors that tell nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from bff.database import DatabaseUnavailable
from bff.errors import RateLimited
from bff.telemetry import REQUEST_ID, request_id
from tests.bff.raw import exchange, head
from tests.bff.small import Small, small

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


async def fine(request: web.Request) -> web.Response:
    assert request[REQUEST_ID] == request_id.get()
    return web.json_response({"id": request_id.get()})


async def bug(_: web.Request) -> web.Response:
    raise RuntimeError("CANARY password=hunter2")


async def limited(_: web.Request) -> web.Response:
    raise RateLimited(headers={"Retry-After": "7"})


async def away(_: web.Request) -> web.Response:
    raise DatabaseUnavailable("CANARY")


async def moved(_: web.Request) -> web.Response:
    raise web.HTTPFound("/fine")


async def odd(_: web.Request) -> web.Response:
    raise web.HTTPUnavailableForLegalReasons(link="https://x.test", text="CANARY")


async def broken(request: web.Request) -> web.StreamResponse:
    stream = web.StreamResponse()
    await stream.prepare(request)
    await stream.write(b"some")
    raise RuntimeError("late")


async def limited_length(request: web.Request) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Length": "100"})
    await stream.prepare(request)
    await stream.write(b"some")
    raise RateLimited


async def hang(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


@pytest.fixture
async def gateway() -> AsyncGenerator[Small]:
    handlers = {
        f"GET /{one.__name__}": one
        for one in (fine, bug, limited, away, moved, odd, broken, limited_length, hang)
    }
    async with small(handlers) as running:
        yield running


async def test_every_answer_has_a_number_that_the_browser_did_not_choose(
    gateway: Small,
) -> None:
    headers = {"X-Request-ID": "chosen-by-the-browser"}
    seen = set()
    for path in ("/fine", "/fine", "/bug", "/nowhere", "/limited"):
        answer = await gateway.ask("GET", path, headers=headers)
        body = await answer.json(content_type=None)
        assert answer.headers["X-Request-ID"] == body.get("request_id", body.get("id"))
        seen.add(answer.headers["X-Request-ID"])

    assert len(seen) == 5
    assert "chosen-by-the-browser" not in seen


async def test_an_unknown_exception_is_a_general_500_and_a_line_in_the_log(
    gateway: Small, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await gateway.ask("GET", "/bug")

    assert answer.status == 500
    assert answer.content_type == "application/problem+json"
    body = await answer.json(content_type=None)
    assert body["code"] == "internal_error"
    assert body["request_id"]
    assert "CANARY" not in await answer.text()
    assert "RuntimeError" not in await answer.text()
    assert "a handler failed" in caplog.text


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/limited", 429, "rate_limited"),
        ("/away", 503, "unavailable"),
        ("/odd", 400, "bad_request"),
        ("/nowhere", 404, "not_found"),
        ("/fine/", 404, "not_found"),
        ("//fine", 404, "not_found"),
        ("/%00", 404, "not_found"),
        ("/<script>alert(1)</script>", 404, "not_found"),
    ],
)
async def test_a_failure_is_a_problem_with_its_code(
    gateway: Small, path: str, status: int, code: str
) -> None:
    answer = await gateway.ask("GET", path)

    body = await answer.json(content_type=None)
    assert (answer.status, body["status"], body["code"]) == (status, status, code)
    text = await answer.text()
    assert "CANARY" not in text
    assert "script" not in text
    if code == "rate_limited":
        assert answer.headers["Retry-After"] == "7"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
async def test_a_wrong_method_is_405_and_says_the_right_one(
    gateway: Small, method: str
) -> None:
    answer = await gateway.ask(method, "/fine")

    assert answer.status == 405
    assert answer.headers["Allow"] == "GET"
    assert (await answer.json(content_type=None))["code"] == "method_not_allowed"


async def test_a_redirect_is_no_error(
    gateway: Small, recwarn: pytest.WarningsRecorder
) -> None:
    answer = await gateway.ask("GET", "/moved")

    assert (answer.status, answer.headers["Location"]) == (302, "/fine")
    assert not recwarn.list


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:80",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1.evil.test",
        "localhost",
        "[::1]",
        "",
        "0x7f000001",
        "evil.test@127.0.0.1",
    ],
)
async def test_another_host_is_misdirected(gateway: Small, host: str) -> None:
    for path in ("/fine", "/nowhere", "/bug"):
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        answer = await exchange(gateway.url, request.encode())

        assert answer.status == 421
        assert answer.json["code"] == "unknown_host"


async def test_a_request_without_or_with_two_hosts_is_not_served(
    gateway: Small,
) -> None:
    ours = gateway.url.removeprefix("http://")
    for lines in ("", f"Host: {ours}\r\nHost: evil.test\r\n"):
        request = f"GET /fine HTTP/1.1\r\n{lines}Connection: close\r\n\r\n"
        assert (await exchange(gateway.url, request.encode())).status in {400, 421}
    old = await exchange(gateway.url, b"GET /fine HTTP/1.0\r\n\r\n")
    assert old.status == 421


async def test_hosts_are_compared_without_case() -> None:
    async with small({"GET /fine": fine}, "http://App.Test:81") as gateway:
        for host in ("app.test:81", "APP.TEST:81"):
            answer = await gateway.ask("GET", "/fine", headers={"Host": host})
            assert answer.status == 200


async def test_further_hosts_can_be_allowed() -> None:
    async with small({"GET /fine": fine}, allowed_hosts=["probe.test"]) as gateway:
        answer = await gateway.ask("GET", "/fine", headers={"Host": "Probe.test"})
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/broken", "/limited_length"])
async def test_an_error_after_the_first_byte_breaks_the_connection(
    gateway: Small, path: str
) -> None:
    answer = await gateway.ask("GET", path)
    assert answer.status == 200
    with pytest.raises(aiohttp.ClientPayloadError):
        await answer.read()
    answer.close()

    raw = await exchange(gateway.url, head(gateway.url, f"GET {path}"))
    assert raw.raw.count(b"HTTP/1.1") == 1
    assert b"problem" not in raw.raw


async def test_what_happens_is_counted_by_route_and_class(gateway: Small) -> None:
    for path in ("/fine", "/fine", "/bug", "/limited", "/nowhere", "/elsewhere"):
        await (await gateway.ask("GET", path)).read()
    broken_answer = await gateway.ask("GET", "/broken")
    with pytest.raises(aiohttp.ClientPayloadError):
        await broken_answer.read()
    broken_answer.close()

    assert gateway.counted("/fine", "2xx") == 2
    assert gateway.counted("/bug", "5xx") == 1
    assert gateway.counted("/limited", "4xx") == 1
    assert gateway.counted("(unknown)", "4xx") == 2
    assert gateway.counted("/broken", "broken") == 1


async def test_a_browser_that_leaves_is_counted_and_logs_no_error(
    gateway: Small, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TimeoutError):
        await gateway.ask("GET", "/hang", timeout=aiohttp.ClientTimeout(total=0.1))
    for _ in range(100):
        if gateway.counted("/hang", "broken"):
            break
        await asyncio.sleep(0.01)

    assert gateway.counted("/hang", "broken") == 1
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
