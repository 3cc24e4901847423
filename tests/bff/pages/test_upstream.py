"""Another server as the user interface: `next start`, `next dev`, Vite."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from bff.dev.ports import free_port
from tests.bff.pages.test_policy import directives
from tests.bff.raw import exchange, head
from tests.bff.waiting import until
from tests.fakes.upstream import Peer, fake_upstream
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.world import Browser

FOREVER = "public, max-age=31536000, immutable"
PAGE = "<!doctype html><script>self.__next_f=[]</script>"


SCRIPT = "text/javascript"
FILES: dict[str, tuple[str, dict[str, str]]] = {
    "/_next/static/a.js": (
        SCRIPT,
        {"Cache-Control": FOREVER, "ETag": '"1"', "Vary": "RSC"},
    ),
    "/assets/plain.css": ("text/css", {}),
    "/assets/counted.js": (
        SCRIPT,
        {"Cache-Control": FOREVER, "Set-Cookie": "visits=1; Path=/"},
    ),
    "/assets/page": ("text/html", {"Cache-Control": FOREVER}),
}


class NextServer:
    """Answer as `next start` and `next dev` do, and remember who asked for what."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[web.BaseRequest] = []
        self.sockets = 0
        self.streaming = asyncio.Event()
        self.left = asyncio.Event()

    @property
    def last(self) -> web.BaseRequest:
        return self.seen[-1]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[NextServer]:
        server = web.Server(self.answer, handler_cancellation=True)
        runner = web.ServerRunner(server, shutdown_timeout=1)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        path = request.path
        made = {
            "/_next/webpack-hmr": self.reload,
            "/stream": self.stream,
            "/api/data": self.data,
            "/moved": self.moved,
            "/cookies": self.cookies,
        }.get(path)
        if made is not None:
            return await made(request)
        if path in FILES:
            kind, headers = FILES[path]
            return web.Response(text="x", content_type=kind, headers=headers)
        return web.Response(
            text=PAGE,
            status=404 if "lost" in path else 200,
            content_type="text/html",
            headers={
                "Cache-Control": "s-maxage=31536000",
                "CDN-Cache-Control": "max-age=60",
                "X-Powered-By": "Next.js",
                "Content-Security-Policy": "script-src 'nonce-abc'",
                "Clear-Site-Data": '"*"',
                "X-Frame-Options": "ALLOWALL",
                "Server": "node",
            },
        )

    async def data(self, request: web.BaseRequest) -> web.Response:
        headers = {"Cache-Control": "public, max-age=60"}
        return web.json_response({"got": await request.text()}, headers=headers)

    async def moved(self, request: web.BaseRequest) -> web.Response:
        where = request.query["to"].replace("SELF", self.url)
        return web.Response(status=307, headers={"Location": where})

    async def cookies(self, _: web.BaseRequest) -> web.Response:
        answer = web.Response(text="ok")
        for one in (
            "theme=dark; Path=/",
            "nx_access=evil; Path=/",
            "nx_refresh.1=evil",
            "__Host-nx_access=evil; Secure; Path=/",
            "=nx_access=evil",
            "nx_device=evil",
        ):
            answer.headers.add("Set-Cookie", one)
        return answer

    async def reload(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets += 1
        try:
            async for message in socket:
                await socket.send_str(f"heard {message.data}")
        finally:
            self.sockets -= 1
        return socket

    async def stream(self, request: web.BaseRequest) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(b"data: 1\n\n")
        self.streaming.set()
        try:
            await asyncio.sleep(60)
        finally:
            self.left.set()
        return stream


@pytest.fixture
async def node() -> AsyncGenerator[NextServer]:
    async with NextServer().running() as running:
        yield running


def through(databases: Databases, upstream: str, **ui: Any) -> World:
    told = {"mode": "upstream", "upstream": upstream, **ui}
    return World(databases, settings={"ui": told})


@pytest.fixture
async def site(databases: Databases, node: NextServer) -> AsyncGenerator[World]:
    async with through(databases, node.url).running() as world:
        yield world


async def test_a_stranger_reaches_the_open_files_only(
    site: World, node: NextServer
) -> None:
    async with site.browser() as browser:
        for path in ("/", "/chat", "/chat/a.js", "/api/data", "/_next/data/x.json"):
            sent = await browser.navigate(path)
            assert sent.status == 303, path
            assert sent.headers["Location"] == f"/login?return_to={path}"
            fetched = await browser.get(path)
            assert fetched.status == 401, path
            assert (await fetched.json())["code"] == "not_signed_in"
        assert (await browser.post("/_next/static/a.js")).status == 401
        assert node.seen == []
        for path in ("/_next/static/a.js", "/assets/plain.css", "/favicon.ico"):
            assert (await browser.get(path)).status == 200, path
        assert len(node.seen) == 3


async def test_a_person_sees_the_pages(site: World, node: NextServer) -> None:
    async with site.signed_in() as browser:
        page = await browser.navigate("/chat/42?x=%2F")
        assert (page.status, await page.text()) == (200, PAGE)
        assert node.last.raw_path.startswith("/chat/42?x=")
        assert page.headers["Cache-Control"] == "no-store"
        assert "CDN-Cache-Control" not in page.headers
        posted = await browser.post("/api/data", data=b"hello")
        assert (await posted.json())["got"] == "hello"
        assert posted.headers["Cache-Control"] == "no-store"
        head = await browser.request("HEAD", "/chat")
        assert (head.status, await head.read()) == (200, b"")


async def test_nothing_of_the_session_reaches_the_server(
    site: World, node: NextServer
) -> None:
    async with site.signed_in() as browser:
        jar = browser.cookies
        assert any("nx_access" in name for name in jar)
        ours = "; ".join(f"{name}={value}" for name, value in jar.items())
        for path in ("/", "/_next/static/a.js", "/api/data"):
            answer = await browser.get(
                path,
                headers={
                    "Cookie": f"theme=dark; {ours}; lang=en",
                    "Authorization": "Bearer test-token",
                    "X-Tenant-ID": "1002",
                    "X-User-Id": "mallory",
                    "X-Forwarded-For": "10.9.8.7",
                    "X-Forwarded-Host": "evil.test",
                    "X-Api-Key": "k",
                    "Accept-Encoding": "br",
                    "RSC": "1",
                },
            )
            assert answer.status == 200
            got = node.last.headers
            assert set(got["Cookie"].split("; ")) == {"theme=dark", "lang=en"}
            assert got["Host"] == node.url.removeprefix("http://")
            assert got["X-Forwarded-Host"] == site.url.removeprefix("http://")
            assert got["X-Forwarded-Proto"] == "http"
            assert got["X-Forwarded-For"] == "127.0.0.1"
            assert (got["Accept-Encoding"], got["RSC"]) == ("br", "1")
            everything = str(list(got.items()))
            for value in (*jar.values(), "test-token", "mallory", "1002", "nx_"):
                assert value not in everything


async def test_the_server_s_own_cookies_pass_and_cannot_pass_for_ours(
    site: World, node: NextServer
) -> None:
    async with site.signed_in() as browser:
        before = browser.cookies
        answer = await browser.get("/cookies")
        assert answer.headers.getall("Set-Cookie") == ["theme=dark; Path=/"]
        assert browser.cookies == before | {"theme": "dark"}
        await browser.get("/")
        assert node.last.headers["Cookie"] == "theme=dark"
        assert (await browser.get("/whoami")).status == 200


async def test_open_files_are_kept_as_the_server_says(site: World) -> None:
    async with site.browser() as browser:
        lasting = await browser.get("/_next/static/a.js")
        assert lasting.headers["Cache-Control"] == FOREVER
        assert lasting.headers["Vary"] == "RSC"
        assert lasting.headers["ETag"] == '"1"'
        plain = await browser.get("/assets/plain.css")
        assert plain.headers["Cache-Control"] == "no-cache"
        for path in ("/assets/counted.js", "/_next/static/lost.js", "/assets/page"):
            answer = await browser.get(path)
            assert answer.headers["Cache-Control"] == "no-store", path
            assert "Cookie" in answer.headers["Vary"], path


async def test_what_needs_a_session_is_kept_by_nobody(site: World) -> None:
    async with site.signed_in() as browser:
        for path in ("/", "/api/data"):
            answer = await browser.get(path)
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Cookie" in answer.headers["Vary"]


async def test_the_policy_holds_beside_the_server_s_own(site: World) -> None:
    async with site.signed_in() as browser:
        page = await browser.navigate("/")
        theirs, ours = page.headers.getall("Content-Security-Policy")
        assert theirs == "script-src 'nonce-abc'"
        said = directives(ours)
        assert said["script-src"] == ["'self'", "'unsafe-inline'"]
        socket = site.url.replace("http", "ws")
        assert said["connect-src"][:2] == ["'self'", socket]
        assert all(
            one == "'self'" or one.startswith(("ws://localhost:", "ws://127.0.0.1:"))
            for one in said["connect-src"]
        )
        assert said["frame-ancestors"] == ["'none'"]
        assert page.headers["X-Frame-Options"] == "DENY"
        for name in ("X-Powered-By", "Clear-Site-Data", "Server"):
            assert name not in page.headers


@pytest.mark.parametrize(
    ("to", "location"),
    [
        ("SELF/next?x=1", "{url}/next?x=1"),
        ("/next", "{url}/next"),
        ("https://docs.test/a", "https://docs.test/a"),
        ("next", "next"),
    ],
)
async def test_redirects_to_the_server_itself_stay_here(
    site: World, to: str, location: str
) -> None:
    async with site.signed_in() as browser:
        answer = await browser.navigate("/moved", params={"to": to})
        assert answer.status == 307
        assert answer.headers["Location"] == location.format(url=site.url)


async def test_hot_reloading_passes_and_needs_session_and_origin(
    site: World, node: NextServer
) -> None:
    path = "/_next/webpack-hmr?id=1"
    async with site.signed_in() as browser, site.browser() as stranger:
        async with browser.session.ws_connect(
            site.url + path, headers={"Origin": site.url}
        ) as socket:
            await socket.send_str("ping")
            assert (await socket.receive_str()) == "heard ping"
            big = "x" * (5 * 2**20)
            await socket.send_str(big[: 3 * 2**20])
            assert len(await socket.receive_str()) > 3 * 2**20
            assert "Cookie" not in node.last.headers
        refused = 0
        for client, origin in (
            (stranger, site.url),
            (browser, "http://evil.test"),
            (browser, "null"),
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await client.session.ws_connect(
                    site.url + path, headers={"Origin": origin}
                )
            refused += caught.value.status in {401, 403}
        assert refused == 3
        assert len(node.seen) == 1


async def test_what_streams_ends_with_its_session(
    site: World, node: NextServer
) -> None:
    async with site.signed_in() as browser:
        answer = await browser.get("/stream")
        assert await answer.content.readany() == b"data: 1\n\n"
        async with browser.session.ws_connect(
            f"{site.url}/_next/webpack-hmr", headers={"Origin": site.url}
        ) as socket:
            out = await browser.post("/auth/logout", json={})
            assert out.status == 204
            await asyncio.wait_for(node.left.wait(), 10)
            message = await asyncio.wait_for(socket.receive(), 10)
            assert message.type in {
                aiohttp.WSMsgType.CLOSED,
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.ERROR,
            }
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()


async def test_a_server_s_end_is_not_held_up_by_what_streams(
    databases: Databases, node: NextServer
) -> None:
    async with (
        through(databases, node.url).running() as world,
        world.signed_in() as browser,
    ):
        answer = await browser.get("/stream")
        assert await answer.content.readany()
        await world.app.shutdown()
        await asyncio.wait_for(node.left.wait(), 10)


async def test_a_server_that_is_away_is_said_to_be(databases: Databases) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    async with (
        through(databases, nobody).running() as world,
        world.signed_in() as browser,
    ):
        page = await browser.navigate("/")
        assert page.status == 502
        assert page.content_type == "text/html"
        text = await page.text()
        assert "cannot be reached" in text
        assert nobody not in text
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Retry-After"] == "5"
        for path in ("/api/data", "/favicon.ico"):
            answer = await browser.get(path)
            assert answer.status == 502
            assert (await answer.json())["code"] == "ui_unavailable"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await browser.session.ws_connect(
                f"{world.url}/hmr", headers={"Origin": world.url}
            )
        # The gateway's own goes on.
        assert (await browser.navigate("/login")).status == 200
        assert (await browser.get("/whoami")).status == 200


async def test_a_server_that_breaks_off_before_it_answers(databases: Databases) -> None:
    came = []

    async def breaks(peer: Peer) -> None:
        came.append(await peer.request())
        peer.reset()

    async with (
        fake_upstream(breaks) as upstream,
        through(databases, upstream.url).running() as world,
        world.signed_in() as browser,
    ):
        assert (await browser.navigate("/")).status == 502
        answer = await browser.post("/api/data", data=b"once")
        assert answer.status == 502
        assert [one.method for one in came].count("POST") == 1


async def test_a_body_has_a_limit(databases: Databases, node: NextServer) -> None:
    async with (
        through(databases, node.url, max_body=1000).running() as world,
        world.signed_in() as browser,
    ):
        assert (await browser.post("/api/data", data=b"x" * 1001)).status == 413
        assert (await browser.post("/api/data", data=b"x" * 1000)).status == 200


async def test_another_site_s_posts_do_not_pass(site: World, node: NextServer) -> None:
    async with site.signed_in() as browser:
        for headers in (
            {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.test"},
            {"Sec-Fetch-Site": "same-site", "Origin": "http://evil.test"},
        ):
            answer = await browser.post("/api/data", data=b"x", headers=headers)
            assert answer.status == 403
        assert node.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "/x/../auth/session",
        "/%61uth/session",
        "/./auth/session",
        "/x/%2e%2e/graph/ok",
        "/auth/nosuch",
        "/graph",
        "/login/x",
        "/static/../auth/session",
    ],
)
async def test_the_server_is_never_asked_for_what_is_ours(
    site: World, node: NextServer, path: str
) -> None:
    async with site.signed_in() as browser:
        jar = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        sent = head(site.url, f"GET {path}", f"Cookie: {jar}", "Sec-Fetch-Site: none")
        answer = await exchange(site.url, sent)
        assert answer.status in {200, 400, 403, 404}
        assert node.seen == []


@pytest.mark.parametrize(
    "path", ["/a%2fb", "/a%5cb", "/a%00", "/a//b", "/%252e%252e/x", "/a/..;/b", "/%ff"]
)
async def test_paths_of_two_meanings_are_refused(
    site: World, node: NextServer, path: str
) -> None:
    async with site.browser():
        answer = await exchange(site.url, head(site.url, f"GET {path}"))
        assert answer.status == 400
        assert node.seen == []


async def test_public_paths_are_open_and_no_others_by_a_detour(
    databases: Databases, node: NextServer
) -> None:
    async with (
        through(databases, node.url, public=["/about", "/docs/"]).running() as world,
        world.browser() as browser,
    ):
        for path in ("/about", "/docs/a"):
            assert (await browser.navigate(path)).status == 200
        assert (await browser.get("/_next/static/a.js")).status == 401
        posted = await browser.post("/about", data=b"x")
        assert posted.status == 401
        origin = {"Origin": world.url}
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await browser.session.ws_connect(f"{world.url}/about", headers=origin)
        assert caught.value.status == 401
        count = len(node.seen)
        detour = head(world.url, "GET /docs/../api/data", "Accept: text/html")
        assert (await exchange(world.url, detour)).status == 303
        assert len(node.seen) == count


async def test_no_more_than_so_many_are_asked_at_once(
    site: World, node: NextServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.pages.upstream.MOST", 1)
    async with site.signed_in() as browser:
        stream = await browser.get("/stream")
        busy = await browser.get("/api/data")
        assert (busy.status, busy.headers["Retry-After"]) == (503, "2")
        stream.close()

        async def free() -> bool:
            return (await browser.get("/api/data")).status == 200

        await until(free)


async def test_whoever_has_no_session_leaves_room_for_those_who_have(
    databases: Databases, node: NextServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.pages.upstream.MOST_OPEN", 1)
    async with (
        through(databases, node.url, public=["/stream"]).running() as world,
        world.browser() as anybody,
        world.signed_in() as browser,
    ):
        stream = await anybody.get("/stream")
        assert stream.status == 200
        busy = await anybody.get("/stream")
        assert (busy.status, busy.headers["Retry-After"]) == (503, "2")
        assert (await browser.get("/api/data")).status == 200
        stream.close()

        async def free() -> bool:
            async with anybody.session.get(f"{world.url}/stream") as again:
                return again.status == 200

        await until(free)


async def pages_of(browser: Browser) -> set[int]:
    ours = ("/login", "/onboarding", "/account", "/admin")
    return {(await browser.navigate(path)).status for path in ours}


async def test_our_own_pages_stay_for_what_a_ui_does_not_do(site: World) -> None:
    async with site.signed_in() as browser:
        assert await pages_of(browser) == {200}
