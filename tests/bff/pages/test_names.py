"""What a file's name says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.config_ui import Ui
from bff.pages.names import covers, is_lasting, is_text, may_be_page, type_of

FOLDERS = Ui().immutable


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("index.html", "text/html"),
        ("INDEX.HTML", "text/html"),
        ("a.js", "text/javascript"),
        ("a.mjs", "text/javascript"),
        ("a.js.map", "application/json"),
        ("a.css", "text/css"),
        ("a.json", "application/json"),
        ("a.wasm", "application/wasm"),
        ("a.woff2", "font/woff2"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.jpeg", "image/jpeg"),
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("a.ico", "image/x-icon"),
        ("a.webmanifest", "application/manifest+json"),
        ("index.txt", "text/plain"),
        ("a.pdf", "application/pdf"),
        ("a.mp4", "video/mp4"),
        ("a.js.gz", "application/gzip"),
        ("a.js.br", "application/octet-stream"),
        ("a.nobody-knows", "application/octet-stream"),
        ("LICENSE", "application/octet-stream"),
        (".html", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_types_are_the_same_everywhere(name: str, media_type: str) -> None:
    assert type_of(name) == media_type


def test_what_is_read_as_text_says_that_it_is_utf_8() -> None:
    assert all(map(is_text, ("text/html", "text/javascript", "application/json")))
    assert not any(map(is_text, ("image/png", "application/wasm", "font/woff2")))


@pytest.mark.parametrize(
    "path",
    [
        "/_next/static/chunks/main.js",
        "/_next/static/css/0a1b2c.css",
        "/_app/immutable/entry/start.js",
        "/assets/index-DkPqYzW1.js",
        "/assets/index-B9x_2-kQ.css",
        "/assets/sub/logo-a1B2c3D4.svg",
        "/assets/index-DkPqYzW1.js.map",
    ],
)
def test_hashed_names_last(path: str) -> None:
    assert is_lasting(path, FOLDERS)


@pytest.mark.parametrize(
    "path",
    [
        "/index.html",
        "/_next/data/x.json",
        "/_nextstatic/x.js",
        "/assets/logo.svg",
        "/assets/photo-portrait.jpg",
        "/assets/photo-Portrait.jpg",
        "/assets/photo-PORTRAIT.jpg",
        "/assets/trip-20240101.jpg",
        "/assets/phone-iphone15.png",
        "/assets/index-DkPqYzW.js",
        "/assets/index-DkPqYzW12.js",
        "/assets/index-DkPqYzW1",
        "/assets/index-DkPqYzW1/logo.svg",
        "/other/assets/index-DkPqYzW1.js",
    ],
)
def test_words_and_dates_are_no_hashes(path: str) -> None:
    assert not is_lasting(path, FOLDERS)


def test_a_path_covers_itself_and_a_folder_all_below_it() -> None:
    assert covers(("/a", "/b/"), "/a")
    assert covers(("/a", "/b/"), "/b/c/d")
    assert not covers(("/a", "/b/"), "/a/c")
    assert not covers(("/a", "/b/"), "/b")
    assert not covers(("/a", "/b/"), "/bc")
    assert covers(("/",), "/whatever")
    assert not covers((), "/")


@pytest.mark.parametrize(
    ("path", "may_be"),
    [
        ("/", True),
        ("/chat", True),
        ("/chat/42/", True),
        ("/v1.2/chat", True),
        ("/chat/a.js", False),
        ("/.x", False),
        ("/_next/static/lost", False),
        ("/assets/lost", False),
    ],
)
def test_only_addresses_without_an_extension_may_be_pages(
    path: str, *, may_be: bool
) -> None:
    assert may_be_page(path) is may_be


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    assert type_of(text)
    assert is_lasting(f"/{text}", FOLDERS) in {True, False}
    assert may_be_page(f"/{text}") in {True, False}
