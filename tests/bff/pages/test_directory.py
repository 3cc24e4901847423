"""A folder of static files as the user interface, on a real socket."""

from __future__ import annotations

import asyncio
import gzip
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bff.config import ConfigError
from bff.pages.folder import WHOLE
from tests.bff.pages.sites import FILES, PAGE, SCRIPT, aged, made, packed, raw, showing
from tests.bff.pages.test_policy import directives, of
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.world import World

ASSETS = sorted(
    name for name in FILES if not name.endswith(".html") and "/." not in f"/{name}"
)
NEXT = "/_next/static/chunks/main.js"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return made(tmp_path / "ui")


@pytest.fixture
async def site(databases: Databases, root: Path) -> AsyncGenerator[World]:
    async with showing(databases, root).running() as world:
        yield world


async def test_a_stranger_gets_the_files_but_no_page(site: World) -> None:
    async with site.browser() as browser:
        for name in ASSETS:
            answer = await browser.get(f"/{name}")
            assert answer.status == 200, name
            assert await answer.read() == FILES[name].encode()
            assert "Set-Cookie" not in answer.headers
        for path in ("/", "/about", "/about.html", "/docs/", "/chat/42", "/index.html"):
            sent = await browser.navigate(f"{path}?a=1&b=x")
            assert sent.status == 303, path
            there = f"/login?return_to={path}%3Fa%3D1%26b%3Dx"
            assert sent.headers["Location"] == there
        for path in ("/", "/about"):
            fetched = await browser.get(path)
            assert (fetched.status, (await fetched.json())["code"]) == (
                401,
                "not_signed_in",
            )


@pytest.mark.parametrize("suffix", [".gz", ".br", ".GZ", ".gz.br"])
async def test_a_packed_page_is_a_page(site: World, root: Path, suffix: str) -> None:
    (root / f"index.html{suffix}").write_bytes(b"packed")
    (root / f"app.js{suffix}").write_bytes(b"packed")
    async with site.browser() as anybody:
        assert (await anybody.get(f"/index.html{suffix}")).status == 401
        assert (await anybody.get(f"/app.js{suffix}")).status == 200
    async with site.signed_in() as browser:
        answer = await browser.get(f"/index.html{suffix}")
        assert (answer.status, await answer.read()) == (200, b"packed")
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_person_sees_the_pages(site: World) -> None:
    async with site.signed_in() as browser:
        for path, name in (
            ("/", "index.html"),
            ("/about", "about.html"),
            ("/about.html", "about.html"),
            ("/docs/", "docs/index.html"),
            ("/docs/deep/page", "docs/deep/page.html"),
            ("/chat/42", "index.html"),
            ("/chat/42?x=a.js", "index.html"),
        ):
            answer = await browser.navigate(path)
            assert answer.status == 200, path
            assert await answer.text() == FILES[name]
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert answer.headers["Cache-Control"] == "no-store"
        moved = await browser.navigate("/docs?next=//evil.test")
        assert moved.status == 307
        assert moved.headers["Location"] == "/docs/?next=//evil.test"


async def test_an_application_s_addresses_are_for_navigations_only(
    site: World,
) -> None:
    async with site.signed_in() as browser:
        for path in ("/chat/42.js", "/_next/static/lost", "/assets/lost", "/x/y.txt"):
            assert (await browser.navigate(path)).status == 404, path
        fetched = await browser.get("/chat/42", headers={"Accept": "*/*"})
        assert fetched.status == 404
        assert fetched.content_type == "application/problem+json"
        # A browser that does not say what it does, but wants a page.
        old = await raw(
            site,
            "GET /chat/42",
            "Accept: text/html,*/*",
            "Cookie: " + "; ".join(f"{k}={v}" for k, v in browser.cookies.items()),
        )
        assert old.status == 200
        assert old.body == PAGE.encode()


async def test_without_a_fallback_unknown_pages_are_not_found(
    databases: Databases, root: Path
) -> None:
    made(root, {"404.html": "<h1>Lost</h1>"})
    async with (
        showing(databases, root, fallback="").running() as world,
        world.signed_in() as browser,
    ):
        lost = await browser.navigate("/nosuch")
        assert (lost.status, await lost.text()) == (404, "<h1>Lost</h1>")
        assert lost.headers["Cache-Control"] == "no-store"
        assert "ETag" not in lost.headers
        assert (await browser.get("/nosuch")).content_type.endswith("problem+json")
        (root / "404.html").unlink()
        assert (await browser.navigate("/nosuch")).content_type.endswith("problem+json")


async def test_public_pages_need_no_session(databases: Databases, root: Path) -> None:
    told = {"public": ["/about", "/docs/"]}
    async with (
        showing(databases, root, **told).running() as world,
        world.browser() as browser,
    ):
        for path in ("/about", "/docs/", "/docs/deep/page", "/docs/unknown"):
            assert (await browser.navigate(path)).status == 200, path
        for path in ("/", "/about.html", "/aboutx", "/docs2", "/about/x"):
            assert (await browser.navigate(path)).status == 303, path
        # Out of a public folder by another way.
        answer = await raw(world, "GET /docs/../index.html", "Accept: text/html")
        assert answer.status == 303


async def test_files_are_kept_as_long_as_their_names_promise(site: World) -> None:
    lasting = {
        NEXT,
        "/_next/static/chunks/app/%5Bid%5D/page.js",
        "/assets/index-DkPqYzW1.js",
    }
    async with site.browser() as browser:
        for path in (*lasting, "/assets/logo.svg", "/data.json"):
            answer = await browser.get(path)
            said = answer.headers["Cache-Control"]
            if path in lasting:
                assert said == "public, max-age=31536000, immutable", path
            else:
                assert said == "no-cache", path
            assert answer.headers["Vary"] == "Accept-Encoding"
        lost = await browser.get("/_next/static/chunks/old.js")
        assert (lost.status, lost.headers["Cache-Control"]) == (404, "no-store")


async def test_what_is_kept_is_asked_about(site: World, root: Path) -> None:
    async with site.browser() as browser:
        first = await browser.get("/data.json")
        tag, at = first.headers["ETag"], first.headers["Last-Modified"]
        for asked in (
            {"If-None-Match": tag},
            {"If-None-Match": f'"x", W/{tag}'},
            {"If-Modified-Since": at},
        ):
            again = await browser.get("/data.json", headers=asked)
            assert (again.status, await again.read()) == (304, b""), asked
            assert again.headers["ETag"] == tag
            assert again.headers["Cache-Control"] == "no-cache"
            assert again.headers["Vary"] == "Accept-Encoding"
        (root / "data.json").write_text("[]", encoding="utf-8")
        changed = await browser.get("/data.json", headers={"If-None-Match": tag})
        assert (changed.status, await changed.text()) == (200, "[]")
        failed = await browser.get("/data.json", headers={"If-Match": tag})
        assert (failed.status, (await failed.json())["code"]) == (
            412,
            "precondition_failed",
        )


@pytest.mark.parametrize("size", [100, WHOLE + 100])
async def test_parts_of_files(site: World, root: Path, size: int) -> None:
    content = bytes(range(100)) * (size // 100 + 1)
    content = content[:size]
    (root / "film.mp4").write_bytes(content)
    async with site.browser() as browser:
        whole = await browser.get("/film.mp4")
        assert await whole.read() == content
        assert whole.headers["Accept-Ranges"] == "bytes"
        assert whole.content_type == "video/mp4"
        tag = whole.headers["ETag"]
        for asked, begin, end in (
            ("bytes=0-9", 0, 9),
            ("bytes=-5", size - 5, size - 1),
            (f"bytes={size - 1}-", size - 1, size - 1),
            ("bytes=10-", 10, size - 1),
        ):
            headers = {"Range": asked, "If-Range": tag}
            answer = await browser.get("/film.mp4", headers=headers)
            assert answer.status == 206
            assert answer.headers["Content-Range"] == f"bytes {begin}-{end}/{size}"
            assert await answer.read() == content[begin : end + 1]
        beyond = await browser.get("/film.mp4", headers={"Range": f"bytes={size}-"})
        assert beyond.status == 416
        assert beyond.headers["Content-Range"] == f"bytes */{size}"
        other = {"Range": "bytes=0-9", "If-Range": '"other"'}
        answer = await browser.get("/film.mp4", headers=other)
        assert (answer.status, await answer.read()) == (200, content)
        headed = await browser.request("HEAD", "/film.mp4")
        assert headed.status == 200
        assert headed.headers["Content-Length"] == str(size)
        assert headed.headers["ETag"] == tag
        # The connection is at its right place for what comes next.
        assert (await browser.get("/data.json")).status == 200


async def test_packed_files_are_sent_to_those_who_can_open_them(
    site: World, root: Path
) -> None:
    name = "assets/index-DkPqYzW1.js"
    brotli = packed(root / name)
    async with site.browser() as browser:
        tags = set()
        for accepted, coding in (
            ("gzip, deflate, br", "br"),
            ("gzip", "gzip"),
            ("br;q=0, gzip;q=0.1", "gzip"),
            ("identity", None),
            ("gzip;q=0", None),
        ):
            headers = {"Accept-Encoding": accepted}
            answer = await browser.get(f"/{name}", headers=headers)
            body = await answer.read()
            assert answer.headers.get("Content-Encoding") == coding
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
            if coding == "br":
                assert body == brotli
            elif coding == "gzip":
                assert gzip.decompress(body) == FILES[name].encode()
            else:
                assert body == FILES[name].encode()
            tags.add(answer.headers["ETag"])
        assert len(tags) == 3
        # A part is one of what is sent.
        headers = {"Accept-Encoding": "br", "Range": "bytes=0-8"}
        answer = await browser.get(f"/{name}", headers=headers)
        assert (answer.status, await answer.read()) == (206, brotli[:9])
    async with site.signed_in() as browser:
        packed(root / "index.html")
        aged(root / "index.html.br", 1000)  # of a release before
        page = await browser.navigate("/", headers={"Accept-Encoding": "br, gzip"})
        assert page.headers["Content-Encoding"] == "gzip"
        assert of(SCRIPT) in page.headers["Content-Security-Policy"]


async def test_methods_that_files_do_not_take(site: World) -> None:
    async with site.signed_in() as browser:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            for path in ("/", "/data.json", "/nosuch"):
                answer = await browser.request(method, path)
                assert answer.status == 405
                assert answer.headers["Allow"] == "GET, HEAD"
        head = await browser.request("HEAD", "/")
        assert (head.status, await head.read()) == (200, b"")
        assert head.headers["Content-Length"] == str(len(PAGE))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/.env", 404),
        ("/.git/config", 404),
        ("/docs/.hidden", 404),
        ("/%2eenv", 404),
        ("/docs/%2e%2e/.env", 404),
        ("/../secret.html", 404),
        ("/../../../../../../etc/passwd", 404),
        ("/docs/../../secret.html", 404),
        ("/%2e%2e/secret.html", 404),
        ("/%2e%2e%2fsecret.html", 400),
        ("/..%2fsecret.html", 400),
        ("/..%5csecret.html", 400),
        ("/..\\secret.html", 400),
        ("/docs%2f..%2f..%2fsecret.html", 400),
        ("/%252e%252e/secret.html", 400),
        ("/index.html%00.js", 400),
        ("/%00", 400),
        ("/%c0%ae%c0%ae/secret.html", 400),
        ("/%ff", 400),
        ("/%zz", 400),
        ("//secret.html", 400),
        ("/docs//index.html", 400),
        ("/..;/secret.html", 400),
        ("/link.html", 404),
        ("/up/secret.html", 404),
        ("/assets/", 404),
        ("/assets", 404),
        ("/_next/", 404),
        ("/" + "x" * 5000, 404),
        ("/" + "x/" * 3000, 404),
    ],
)
async def test_nothing_outside_the_folder_is_served(
    databases: Databases, tmp_path: Path, root: Path, path: str, status: int
) -> None:
    (tmp_path / "secret.html").write_text("SECRET", encoding="utf-8")
    (root / "link.html").symlink_to(tmp_path / "secret.html")
    (root / "up").symlink_to(tmp_path)
    async with showing(databases, root, public=["/"]).running() as world:
        answer = await raw(world, f"GET {path}", "Accept: */*")
        assert answer.status == status
        assert b"SECRET" not in answer.raw
        assert b"root:" not in answer.raw
        listed = await raw(world, f"GET {path}", "Accept: text/html")
        assert b"SECRET" not in listed.raw
        assert b"index-DkPq" not in listed.raw


async def test_pages_get_a_policy_for_their_own_scripts_and_no_other(
    site: World, root: Path
) -> None:
    async with site.signed_in() as browser:
        page = await browser.navigate("/")
        said = directives(page.headers["Content-Security-Policy"])
        assert said["script-src"] == ["'self'", of(SCRIPT)]
        assert said["connect-src"] == ["'self'"]
        assert said["frame-ancestors"] == ["'none'"]
        plain = directives(
            (await browser.navigate("/about")).headers["Content-Security-Policy"]
        )
        assert plain["script-src"] == ["'self'"]
        (root / "index.html").write_text("<script>new()</script>", encoding="utf-8")
        changed = await browser.navigate("/")
        assert of("new()") in changed.headers["Content-Security-Policy"]
        assert of(SCRIPT) not in changed.headers["Content-Security-Policy"]
        for answer in (page, await browser.get(NEXT)):
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert len(answer.headers.getall("Content-Security-Policy")) == 1
            assert "Server" not in answer.headers
        # Workers bring a policy of their own.
        script = await browser.get(NEXT)
        worker = directives(script.headers["Content-Security-Policy"])
        assert worker["connect-src"] == ["'self'"]
        assert "sandbox" not in worker


async def test_the_policy_may_be_widened_by_settings(
    databases: Databases, root: Path
) -> None:
    told = {"csp": {"connect-src": ["https://api.test"], "worker-src": ["blob:"]}}
    async with (
        showing(databases, root, **told).running() as world,
        world.signed_in() as browser,
    ):
        page = await browser.navigate("/")
        said = directives(page.headers["Content-Security-Policy"])
        assert said["connect-src"] == ["'self'", "https://api.test"]
        assert said["worker-src"] == ["'self'", "blob:"]


async def test_a_session_near_its_end_is_renewed_by_a_page_and_by_no_file(
    site: World,
) -> None:
    async with site.signed_in() as browser:
        before = browser.cookies
        site.clock.ahead += 290
        kept = await browser.get(NEXT)
        assert "Set-Cookie" not in kept.headers
        assert "public" in kept.headers["Cache-Control"]
        page = await browser.navigate("/")
        assert page.status == 200
        assert page.headers["Cache-Control"] == "no-store"
        assert browser.cookies != before


async def test_pages_move_to_the_first_origin(site: World) -> None:
    async with site.browser() as browser:
        other = site.url.replace("localhost", "127.0.0.1")
        host = {"Host": other.removeprefix("http://")}
        moved = await browser.navigate("/about?x=1", headers=host)
        assert moved.status == 307
        assert moved.headers["Location"] == f"{site.url}/about?x=1"


async def test_a_release_put_in_place_is_served_at_once(
    databases: Databases, tmp_path: Path
) -> None:
    for release in ("one", "two"):
        made(tmp_path / release, {"index.html": release, f"{release}.js": release})
    current = tmp_path / "current"
    current.symlink_to("one")
    async with (
        showing(databases, current).running() as world,
        world.signed_in() as browser,
    ):
        assert await (await browser.navigate("/")).text() == "one"
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(current)
        assert await (await browser.navigate("/")).text() == "two"
        assert (await browser.get("/one.js")).status == 404


async def test_a_file_replaced_while_it_is_sent_arrives_whole(
    site: World, root: Path
) -> None:
    size = 24 * 2**20  # far more than sockets hold
    (root / "film.mp4").write_bytes(b"a" * size)
    async with site.browser() as browser:
        answer = await browser.get("/film.mp4")
        begin = await answer.content.readexactly(1000)
        (root / "new").write_bytes(b"b" * size)
        (root / "new").rename(root / "film.mp4")
        rest = await answer.content.read()
        assert begin + rest == b"a" * size


async def test_a_file_written_over_while_it_is_sent_breaks_off(
    site: World, root: Path
) -> None:
    """Half of one release and half of another must not look like a whole."""
    size = 24 * 2**20
    for change in ("same size", "shorter"):
        (root / "film.mp4").write_bytes(b"a" * size)
        async with site.browser() as browser:
            answer = await browser.get("/film.mp4")
            await answer.content.readexactly(1000)
            with (root / "film.mp4").open("r+b") as file:
                file.write(b"b" * 1000)
                if change == "shorter":
                    file.truncate(5 * 2**20)
            with pytest.raises((aiohttp.ClientPayloadError, ConnectionError)):
                await answer.content.read()
            answer.close()


async def test_a_folder_that_is_away_is_said_to_be(site: World, root: Path) -> None:
    async with site.signed_in() as browser:
        (root / "index.html").unlink()  # in the middle of a deployment
        for path in ("/", "/chat/42"):
            away = await browser.navigate(path)
            assert away.status == 502
            assert away.headers["Retry-After"] == "5"
            assert "cannot be reached" in await away.text()
        shutil.rmtree(root)
        assert (await browser.navigate("/about")).status == 502
        fetched = await browser.get("/data.json")
        assert (fetched.status, (await fetched.json())["code"]) == (
            502,
            "ui_unavailable",
        )
        made(root)
        assert (await browser.navigate("/")).status == 200


async def test_many_at_once_leave_no_file_open(site: World, root: Path) -> None:
    (root / "film.mp4").write_bytes(b"a" * (WHOLE * 8))

    async def some() -> None:
        async with site.browser() as browser:
            answer = await browser.get("/film.mp4")
            await answer.content.readexactly(1000)
            answer.close()  # and leaves

    before = open_files(root)
    await asyncio.gather(*(some() for _ in range(20)))

    async def closed() -> bool:
        return open_files(root) == before

    await until(closed)


def open_files(root: Path) -> list[str]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one of this look
            found.append(str(link.readlink()))
    return [name for name in found if name.startswith(str(root))]


async def test_a_folder_that_is_none_stops_the_start(
    databases: Databases, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"ui\.directory: .* is no folder"):
        async with showing(databases, tmp_path / "nosuch").running():
            pass


async def test_gateway_routes_win(site: World, root: Path) -> None:
    ours: dict[str, Any] = {
        "auth/session": "mine",
        "login.html": "mine",
        "healthz": "mine",
        "static/style.css": "mine",
        "graph/ok": "mine",
    }
    made(root, ours)
    async with site.signed_in() as browser:
        for path in ("/auth/session", "/login", "/healthz", "/static/style.css"):
            answer = await browser.navigate(path)
            assert answer.status == 200, path
            assert await answer.read() != b"mine"
        for path in ("/auth/nosuch", "/%61uth/session", "/x/../auth/session"):
            odd = await raw(site, f"GET {path}", "Accept: text/html")
            assert odd.status in {200, 404}, path
            assert odd.body != b"mine"
        wrong = await browser.get("/auth/login")
        assert wrong.status == 405
        assert wrong.headers["Allow"] == "POST"
        assert (await browser.navigate("/auth/nosuch")).status == 404
        assert (await browser.navigate("/tenants/1001/settings")).status == 404
