"""Pages of configured origins read our answers, others' none, and nobody else's act."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from bff.cors import Cors
from bff.hardening import SAME_FOR_ALL
from tests.bff.configs import DEV, load
from tests.bff.pages.sites import made, showing
from tests.bff.proxied import BOTH_WAYS, STREAM, with_proxy
from tests.bff.small import small
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from multidict import CIMultiDictProxy

    from tests.databases import Databases
    from tests.world import Browser

UI = "http://localhost:3000"
SPLIT: dict[str, dict[str, Any]] = {"split_origin": {"origins": [UI]}}
FROM_UI = {"Origin": UI, "Sec-Fetch-Site": "same-site"}
LEAVE = {**FROM_UI, "Access-Control-Request-Method": "POST"}


@pytest.fixture
async def split(databases: Databases) -> AsyncGenerator[World]:
    async with World(databases, settings=dict(SPLIT)).running() as running:
        yield running


def who_may_read(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the one origin whose scripts may read an answer, by its headers."""
    assert len(headers.getall("Access-Control-Allow-Origin", [])) <= 1
    assert "Origin" in headers["Vary"]
    origin = headers.get("Access-Control-Allow-Origin")
    credentials = headers.get("Access-Control-Allow-Credentials")
    assert credentials == (None if origin is None else "true")
    return origin


ASKED = [
    ("GET", "/auth/session", 200),
    ("GET", "/whoami", 401),
    ("POST", "/auth/refresh", 401),
    ("POST", "/auth/login", 422),
    ("GET", "/nowhere", 404),
    ("DELETE", "/whoami", 405),
    ("GET", "/graph/threads/x", 401),
    ("GET", "/onboarding/events", 401),
    ("GET", "/static/session.js", 200),
    ("GET", "/info", 200),
    ("GET", "/login", 200),
]


async def test_whatever_is_answered_the_page_may_read_it(split: World) -> None:
    async with split.browser() as browser:
        for method, path, status in ASKED:
            answer = await browser.request(method, path, headers=FROM_UI)
            assert answer.status == status, path
            assert who_may_read(answer.headers) == UI
            if status > 400:
                assert answer.content_type == "application/problem+json"
                assert (await answer.json())["detail"]


async def test_a_page_signs_in_reads_and_streams(split: World) -> None:
    async with split.browser() as browser:
        login = await browser.post(
            "/auth/login",
            json={"email": "alice@acme.test", "password": "Correct-Horse-1"},
            headers=FROM_UI,
        )
        assert (login.status, who_may_read(login.headers)) == (200, UI)
        assert all("SameSite=Lax" in c for c in login.headers.getall("Set-Cookie"))
        who = await browser.get("/whoami", headers=FROM_UI)
        assert (await who.json())["email"] == "alice@acme.test"
        events = await browser.get("/onboarding/events", headers=FROM_UI)
        assert (events.status, who_may_read(events.headers)) == (200, UI)
        assert b"data: " in await events.content.readany()
        events.close()
        scores = await browser.get("/export/latest_scores.csv", headers=FROM_UI)
        assert "Content-Disposition" in scores.headers["Access-Control-Expose-Headers"]
        out = await browser.post("/auth/logout", json={}, headers=FROM_UI)
        assert (out.status, who_may_read(out.headers)) == (204, UI)
        assert "X-Logout-Url" in out.headers["Access-Control-Expose-Headers"]


@BOTH_WAYS
async def test_the_agent_s_stream_may_be_read(
    databases: Databases, heartbeat: float | None
) -> None:
    world = with_proxy(databases, heartbeat=heartbeat)
    world.settings |= SPLIT
    async with world.running(), world.signed_in() as alice:
        answer = await alice.get(STREAM, headers=FROM_UI)
        assert (answer.status, who_may_read(answer.headers)) == (200, UI)
        await answer.content.readany()
        answer.close()
        answer = await alice.post(
            "/graph/threads/t/runs/stream", json={}, headers=FROM_UI
        )
        assert who_may_read(answer.headers) == UI
        assert b"data: 4" in await answer.read()


async def test_leave_is_given_at_once_for_ten_minutes(split: World) -> None:
    async with split.browser() as browser:
        for path in ("/auth/login", "/graph/threads/t/runs/stream", "/nowhere"):
            answer = await browser.request(
                "OPTIONS",
                path,
                headers={
                    **LEAVE,
                    "Access-Control-Request-Headers": "content-type,last-event-id,"
                    "x-api-key,x-auth-scheme,x-requested-with,if-none-match",
                },
            )
            assert (answer.status, await answer.read()) == (204, b"")
            headers = answer.headers
            assert who_may_read(headers) == UI
            methods = headers["Access-Control-Allow-Methods"].split(", ")
            assert set(methods) == {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
            assert headers["Access-Control-Max-Age"] == "600"
            assert headers["Access-Control-Allow-Headers"] == (
                "content-type, last-event-id, x-api-key, x-auth-scheme, "
                "x-requested-with, if-none-match"
            )
            for name in ("Method", "Headers"):
                assert f"Access-Control-Request-{name}" in headers["Vary"]
        assert split.graph.seen == []


async def test_a_page_may_send_no_token_and_no_identity(split: World) -> None:
    names = (
        "authorization,cookie,x-tenant-id,x-user-email,x-user-roles,x-user-id,"
        "x-forwarded-for,x-gateway-key,x_api_key,forwarded, ,proxy-authorization,*"
    )
    async with split.browser() as browser:
        headers = {**LEAVE, "Access-Control-Request-Headers": names}
        answer = await browser.request("OPTIONS", "/graph/threads", headers=headers)
        assert answer.headers["Access-Control-Allow-Headers"] == ""


def test_what_settings_let_through_a_page_may_send() -> None:
    told = {
        **DEV,
        "BFF_SPLIT_ORIGIN__ORIGINS": json.dumps([UI]),
        "BFF_CSRF__REQUIRE_HEADER": "X-My-UI",
        "BFF_PROXY__GRAPH__FORWARD_HEADERS": '["X-Model"]',
    }
    assert Cors(load(told)).may_be_sent("X-My-UI, x-model, x-other") == [
        "x-my-ui",
        "x-model",
    ]
    named = Cors(load({**told, "DEV_AUTH_BYPASS": "1"}))
    assert named.may_be_sent("x-user-email,authorization") == ["x-user-email"]


async def test_strangers_get_no_leave_and_nothing_to_read(split: World) -> None:
    async with split.signed_in() as alice:
        for origin in (
            "http://localhost:3001",
            "http://evil.test",
            "null",
            f"{UI}.evil.test",
            UI.upper(),
            "",
        ):
            sent = {**LEAVE, "Origin": origin}
            answer = await alice.request("OPTIONS", "/auth/login", headers=sent)
            assert answer.status == 405
            assert who_may_read(answer.headers) is None
            assert "Access-Control-Allow-Headers" not in answer.headers
            answer = await alice.get("/whoami", headers={**FROM_UI, "Origin": origin})
            assert who_may_read(answer.headers) is None


async def test_a_plain_options_is_no_question_for_leave(split: World) -> None:
    async with split.browser() as browser:
        answer = await browser.request("OPTIONS", "/whoami", headers=FROM_UI)
        assert (answer.status, who_may_read(answer.headers)) == (405, UI)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (FROM_UI, 204),
        ({"Origin": UI, "Sec-Fetch-Site": "same-origin"}, 204),  # through its proxy
        ({"Origin": "http://localhost:3001", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": UI, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": UI.upper(), "Sec-Fetch-Site": "same-site"}, 403),
    ],
)
async def test_only_a_listed_page_acts(
    split: World, headers: dict[str, str], status: int
) -> None:
    async with split.signed_in() as alice:
        answer = await alice.post("/auth/logout", json={}, headers=headers)
        assert answer.status == status


async def test_a_websocket_opens_for_the_listed_origin_only(split: World) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    path = "/graph/threads/t/stream/events"
    async with split.signed_in() as alice:
        for origin in ("http://localhost:3001", "null", f"{UI}/", UI.upper()):
            sent = {**upgrade, **FROM_UI, "Origin": origin}
            assert (await alice.get(path, headers=sent)).status == 403
        assert split.graph.seen == []
        answer = await alice.get(path, headers={**upgrade, **FROM_UI})
        # The fake has no WebSocket: it was asked, and said what it says to anybody.
        assert answer.status == 200
        assert split.graph.seen[-1]["headers"]["upgrade"] == "websocket"


async def test_without_the_setting_nothing_is_said_to_anybody(world: World) -> None:
    async with world.signed_in() as alice:
        for headers in (FROM_UI, LEAVE, {"Origin": world.url}):
            for method in ("GET", "OPTIONS"):
                for path in ("/whoami", "/graph/threads/x"):
                    answer = await alice.request(method, path, headers=headers)
                    assert not [
                        name
                        for name in answer.headers
                        if "access-control" in name.lower()
                    ]


async def test_what_is_kept_for_all_is_kept_for_each_origin_apart(
    databases: Databases, tmp_path: Path
) -> None:
    files = {"index.html": "<p>", "assets/index-DkPqYzW1.js": "1", "favicon.ico": ""}
    world = showing(databases, made(tmp_path / "ui", files))
    world.settings |= SPLIT
    async with world.running(), world.browser() as browser:
        for headers, expected in ((FROM_UI, UI), ({"Origin": world.url}, None)):
            answer = await browser.get("/assets/index-DkPqYzW1.js", headers=headers)
            assert "immutable" in answer.headers["Cache-Control"]
            assert who_may_read(answer.headers) == expected


async def test_a_handler_s_own_vary_stays_beside() -> None:
    async def same(_: web.Request) -> web.Response:
        kept = {"Cache-Control": "public, max-age=60", "Vary": "Accept-Encoding"}
        answer = web.Response(headers=kept)
        answer[SAME_FOR_ALL] = True
        return answer

    async with small({"GET /same": same}, split_origin=[UI]) as gateway:
        answer = await gateway.ask("GET", "/same", headers={"Origin": UI})
        assert answer.headers["Vary"] == "Accept-Encoding, Origin"
        assert who_may_read(answer.headers) == UI


async def sign_in_page(browser: Browser, **query: str) -> str:
    answer = await browser.navigate("/login", params=query)
    assert answer.status == 200
    return await answer.text()


async def test_pages_are_told_where_else_one_may_return_to(
    split: World, databases: Databases
) -> None:
    meta = f'<meta name="return-origins" content="{UI}">'
    async with split.browser() as browser:
        page = await sign_in_page(browser, return_to=f"{UI}/chat")
        assert page.count(meta) == 1
        assert page.index(meta) < page.index("</head>")
        answer = await browser.navigate("/login")
        tag = {"If-None-Match": answer.headers["ETag"]}
        assert (await browser.navigate("/login", headers=tag)).status == 304
        unpacked = {"Accept-Encoding": "identity"}
        script = await browser.get("/static/paths.js", headers=unpacked)
        assert meta not in await script.text()
    # Another gateway of the same files says nothing of it.
    async with (
        World(databases, seeded=False).running() as plain,
        plain.browser() as browser,
    ):
        assert "return-origins" not in await sign_in_page(browser)
        assert (await browser.navigate("/login", headers=tag)).status == 200


async def test_nothing_that_is_refused_before_any_handler_is_a_riddle(
    split: World,
) -> None:
    """A body that is too large is refused while it is read."""
    async with split.browser() as browser:
        large = json.dumps({"email": "x" * 300_000, "password": "x"})
        answer = await browser.post(
            "/auth/login",
            data=large,
            headers={**FROM_UI, "Content-Type": "application/json"},
        )
        assert answer.status == 413
        assert who_may_read(answer.headers) == UI


async def test_a_name_that_is_not_ours_stays_refused(split: World) -> None:
    """DNS rebinding: the name a page was loaded by is the Host it sends."""
    async with aiohttp.ClientSession() as http:
        for method in ("GET", "OPTIONS"):
            headers = {**LEAVE, "Host": "localhost:3000"}
            async with http.request(
                method, f"{split.url}/whoami", headers=headers
            ) as answer:
                assert answer.status == 421
