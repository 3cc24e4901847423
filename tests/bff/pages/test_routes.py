"""The built-in pages and their files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bff.pages.routes import FOLDER, load

if TYPE_CHECKING:
    from tests.world import World


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


async def test_a_stranger_is_sent_to_sign_in_and_sees_the_sign_in_page(
    world: World,
) -> None:
    async with world.browser() as browser:
        for path in ("/", "/onboarding"):
            answer = await browser.navigate(path)
            assert answer.status == 303
            assert answer.headers["Location"].startswith("/login?return_to=")
            fetched = await browser.get(path)
            assert fetched.status == 401
        login = await browser.navigate("/login")
        assert (login.status, login.content_type) == (200, "text/html")
        assert login.charset == "utf-8"


async def test_a_person_sees_the_pages(world: World) -> None:
    async with world.signed_in() as browser:
        for path, name in (("/", "index.html"), ("/onboarding", "onboarding.html")):
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
