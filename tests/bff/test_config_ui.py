"""What a user interface may be told to be, and what stops the start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bff.configs import DEV, PRODUCTION, load, problems


def told(**ui: Any) -> dict[str, str]:
    environ = dict(DEV)
    for key, value in ui.items():
        is_text = isinstance(value, str)
        environ[f"BFF_UI__{key.upper()}"] = value if is_text else json.dumps(value)
    return environ


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_our_own_pages_are_the_default() -> None:
    for environ in (DEV, PRODUCTION):
        assert load(environ).ui.mode == "builtin"


def test_each_mode_is_told_where_its_pages_are() -> None:
    assert "folder" in problems(told(mode="directory"))["ui.directory"]
    assert "address" in problems(told(mode="upstream"))["ui.upstream"]
    assert "ui.mode" in problems(told(mode="nextjs"))

    directory = load(told(mode="directory", directory="/srv/ui")).ui
    assert directory.directory == Path("/srv/ui")
    for address in ("http://127.0.0.1:3000", "https://ui.internal", "unix:/run/ui"):
        assert load(told(mode="upstream", upstream=address)).ui.upstream == address


@pytest.mark.parametrize(
    "address",
    [
        "localhost:3000",
        "ftp://host",
        "http://",
        "http://host:0",
        "http://host:99999",
        "http://host:port",
        "http://user:pw@host",
        "http://host?x",
        "http://host#x",
        "http://ho st",
        "unix:relative",
        "http://localhost:8080",
    ],
)
def test_an_upstream_must_be_an_address_and_not_ours(address: str) -> None:
    assert "ui.upstream" in problems(told(mode="upstream", upstream=address))


@pytest.mark.parametrize("path", ["assets/", "", "/a//b", "/a/../b", "/%2e", "/a\\b"])
def test_public_and_lasting_paths_are_plain(path: str) -> None:
    assert "ui.public.0" in problems(told(public=[path]))
    assert "ui.immutable.0" in problems(told(immutable=[path]))


def test_lasting_is_a_folder_and_not_all_there_is() -> None:
    found = problems(told(immutable=["/ok/", "/", "/app.js"]))

    assert set(found) == {"ui.immutable.1", "ui.immutable.2"}
    assert load(told(public=["/", "/about"])).ui.public == ("/", "/about")


@pytest.mark.parametrize(
    "name", ["a/b.html", "../index.html", ".html", "index", "/x.html"]
)
def test_a_fallback_is_a_page_of_the_folder(name: str) -> None:
    assert "ui.fallback" in problems(told(fallback=name))


def test_no_fallback_at_all_is_fine() -> None:
    assert load({**DEV, "BFF_UI__FALLBACK": ""}).ui.fallback == ""


@pytest.mark.parametrize(
    ("directive", "source"),
    [
        ("connect-src", "*"),
        ("connect-src", "https:"),
        ("connect-src", "wss://*"),
        ("connect-src", "*:*"),
        ("connect-src", "https://*:443"),
        ("connect-src", "HTTPS:"),
        ("script-src", "data:"),
        ("script-src", "*"),
        ("form-action", "https://*/"),
        ("worker-src", "data:"),
        ("img-src", "a; script-src *"),
        ("img-src", "a, b"),
        ("img-src", "a b"),
        ("img-src", "'none'"),
        ("img-src", ""),
        ("img-src", "x\r\nSet-Cookie: a=b"),
    ],
)
def test_a_policy_is_not_opened_to_everybody(directive: str, source: str) -> None:
    found = problems(told(csp={directive: [source]}))

    assert f"ui.csp.{directive}.0" in found


@pytest.mark.parametrize(
    "directive",
    ["frame-ancestors", "base-uri", "object-src", "default-src", "sandbox", "x; y"],
)
def test_some_directives_are_nobody_s_to_change(directive: str) -> None:
    assert f"ui.csp.{directive}" in problems(told(csp={directive: ["'self'"]}))


@pytest.mark.parametrize(
    ("directive", "source"),
    [
        ("connect-src", "https://api.example.com"),
        ("connect-src", "wss://*.example.com"),
        ("script-src", "'unsafe-eval'"),
        ("script-src", "'wasm-unsafe-eval'"),
        ("script-src", "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"),
        ("worker-src", "blob:"),
        ("img-src", "https:"),
        ("frame-src", "https://www.example.com/embed/"),
    ],
)
def test_a_policy_may_be_widened_by_name(directive: str, source: str) -> None:
    assert load(told(csp={directive: [source]})).ui.csp == {directive: (source,)}


def test_headers_that_prove_who_somebody_is_never_pass() -> None:
    for name in ("Authorization", "Cookie", "X-Tenant-ID", "bad name"):
        assert "ui.forward_headers" in problems(told(forward_headers=[name]))
    assert load(told(forward_headers=["X-Theme"])).ui.forward_headers == ("X-Theme",)
