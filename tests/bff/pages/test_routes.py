"""The built-in pages and their files."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from bff.pages.routes import FOLDER, load

if TYPE_CHECKING:
    from tests.world import World

# Those that need a session, and their files.
PAGES = {
    "/": "index.html",
    "/onboarding": "onboarding.html",
    "/account": "account.html",
    "/admin": "admin.html",
}


def test_every_file_has_a_type_and_a_mark_of_its_own() -> None:
    files = load()

    assert {"index.html", "login.html", "onboarding.html", "style.css"} <= set(files)
    assert all(
        file.content_type != "application/octet-stream" for file in files.values()
    )
    assert len({file.etag for file in files.values()}) == len(files)
    modules = [file for name, file in files.items() if name.endswith(".js")]
    assert {file.content_type for file in modules} == {"text/javascript"}


def test_pages_refer_only_to_files_that_are_there() -> None:
    for page in FOLDER.glob("*.html"):
        for name in re.findall(r'"/static/([^"]+)"', page.read_text(encoding="utf-8")):
            assert name in load(), f"{page.name} refers to {name}"


def test_modules_import_only_what_is_there() -> None:
    imported = re.compile(r'^(?:import|export) .*?from "([^"]+)";$', re.MULTILINE)
    for module in FOLDER.rglob("*.js"):
        for name in imported.findall(module.read_text(encoding="utf-8")):
            found = (module.parent / name).resolve()
            assert found.is_file(), f"{module.name} imports {name}"


async def test_a_person_who_is_no_admin_gets_the_page_too(world: World) -> None:
    """It says so itself, and holds nothing; the data's own routes refuse."""
    async with world.signed_in("bob@globex.test") as bob:
        answer = await bob.navigate("/admin")
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert (await bob.get("/tenants/1002/members")).status == 403


async def test_people_without_a_workspace_have_an_account(world: World) -> None:
    async with world.signed_in("carol@initech.test") as carol:
        assert (await carol.navigate("/account")).status == 200


async def test_a_stranger_is_sent_to_sign_in_and_sees_the_sign_in_page(
    world: World,
) -> None:
    async with world.browser() as browser:
        for path in PAGES:
            answer = await browser.navigate(path)
            assert answer.status == 303
            back = quote(path, safe="/")
            assert answer.headers["Location"] == f"/login?return_to={back}"
            fetched = await browser.get(path)
            assert fetched.status == 401
        login = await browser.navigate("/login")
        assert (login.status, login.content_type) == (200, "text/html")
        assert login.charset == "utf-8"


async def test_a_person_sees_the_pages(world: World) -> None:
    async with world.signed_in() as browser:
        for path, name in PAGES.items():
            answer = await browser.navigate(path)
            assert answer.status == 200
            assert await answer.read() == load()[name].body


async def test_files_are_revalidated_each_time(world: World) -> None:
    async with world.browser() as browser:
        answer = await browser.get("/static/chat/main.js")
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-cache"
        tag = answer.headers["ETag"]
        for sent in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await browser.get(
                "/static/chat/main.js", headers={"If-None-Match": sent}
            )
            assert (again.status, await again.read()) == (304, b""), sent
            assert again.headers["ETag"] == tag
        for sent in ('"other"', "garbage", '"unclosed'):
            changed = await browser.get(
                "/static/chat/main.js", headers={"If-None-Match": sent}
            )
            assert changed.status == 200, sent


async def test_scripts_and_styles_are_packed_for_those_who_take_it(
    world: World,
) -> None:
    path, plain = "/static/style.css", load()["style.css"].body
    tags = set()
    async with world.browser() as browser:
        for accepted in ("gzip, br", "identity", "gzip;q=0"):
            headers = {"Accept-Encoding": accepted}
            answer = await browser.get(path, headers=headers)
            body = await answer.read()
            assert "Accept-Encoding" in answer.headers["Vary"]
            if accepted == "gzip, br":
                assert answer.headers["Content-Encoding"] == "gzip"
                assert len(body) < len(plain) / 2
                body = gzip.decompress(body)
            assert body == plain
            tag = answer.headers["ETag"]
            again = await browser.get(path, headers={**headers, "If-None-Match": tag})
            assert (again.status, await again.read()) == (304, b"")
            tags.add(tag)
        assert len(tags) == 2, "what differs goes by another name"
        icon = await browser.get("/static/favicon.svg")
        assert "Content-Encoding" not in icon.headers


async def test_nothing_outside_the_folder_is_served(world: World) -> None:
    async with world.browser() as browser:
        for path in (
            "routes.py",
            "../routes.py",
            "..%2froutes.py",
            "%2e%2e/routes.py",
            "chat/..%2f..%2froutes.py",
            "/etc/passwd",
            "chat",
            "nosuch.js",
        ):
            answer = await browser.get(f"/static/{path}")
            assert answer.status == 404, path
        icon = await browser.get("/favicon.ico")
        assert (icon.status, icon.content_type) == (200, "image/svg+xml")
