"""Which user interface is shown, and what of it is the gateway's own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bff.dev.ports import free_port
from bff.pages.ui import TAKEN_OVER, clashes
from bff.routes import PUBLIC, reserved
from tests.bff.configs import DEV, load
from tests.bff.pages.sites import made, showing
from tests.bff.test_doctor import healthy, look, wrong

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.databases import Databases
    from tests.world import World


def test_every_address_of_ours_but_two_is_reserved() -> None:
    kept = reserved(load(DEV))

    assert "/graph" in kept
    for route in PUBLIC:
        first = f"/{route.path.split('/')[1]}"
        assert (first in kept) is (route.path not in TAKEN_OVER), route.path


def test_prefixes_of_proxies_are_reserved_as_a_whole_and_no_more() -> None:
    told = {**DEV, "BFF_PROXY__OTHER__PREFIX": "/api/agents"}

    assert "/api/agents" in reserved(load(told))
    assert "/api" not in reserved(load(told))


async def test_the_built_in_pages_are_the_default(world: World) -> None:
    async with world.signed_in() as browser:
        page = await browser.navigate("/")
        assert page.status == 200
        assert "/static/chat/main.js" in await page.text()
        assert (await browser.get("/favicon.ico")).content_type == "image/svg+xml"
        for path in ("/nosuch", "/chat/42"):
            lost = await browser.navigate(path)
            assert lost.status == 404
            assert lost.content_type == "application/problem+json"
        assert (await browser.post("/nosuch")).status == 404


def test_what_would_never_be_shown_is_named(tmp_path: Path) -> None:
    made(tmp_path, {"login.html": "", "auth/x": "", "api/agents/y": "", "app.js": ""})
    found = clashes(tmp_path, ("/api/agents", "/auth", "/graph", "/login"))

    assert [said.split(" is ")[0] for said in found] == [
        "api/agents",
        "auth",
        "login.html",
    ]


async def test_a_clash_is_told_at_the_start(
    databases: Databases, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = made(tmp_path / "ui", {"index.html": "", "static/app.js": ""})
    with caplog.at_level(logging.WARNING):
        async with showing(databases, root).running() as world:
            assert "static is never shown at /static" in caplog.text
            async with world.browser() as browser:
                assert (await browser.get("/static/app.js")).status == 404


async def test_the_doctor_looks_at_the_user_interface(
    databases: Databases, tmp_path: Path
) -> None:
    async with healthy(databases) as given:
        assert "user interface" not in await look(given)
        root = made(tmp_path / "ui", {"login.html": ""})
        told = given | {"ui": {"mode": "directory", "directory": root}}
        said = (await look(told))["user interface"]
        assert not said.ok
        assert "login.html is never shown" in said.said
        assert "there is no index.html" in said.said
        (root / "login.html").rename(root / "index.html")
        assert wrong(await look(told)) == set()
        told["ui"] = {"mode": "directory", "directory": tmp_path / "nosuch"}
        assert "is no folder" in (await look(told))["user interface"].said
        nobody = f"http://127.0.0.1:{free_port()}"
        told["ui"] = {"mode": "upstream", "upstream": nobody}
        assert "cannot be reached" in (await look(told))["user interface"].said
        (there,) = given["proxy"]["graph"]["upstreams"]
        told["ui"] = {"mode": "upstream", "upstream": there}
        assert (await look(told))["user interface"].ok
