"""Files of one folder, and none that lies outside it."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bff.pages.folder import TOLERANCE, WHOLE, Folder, Found, Moved
from bff.pages.opening import FolderGone
from graph_proxy.errors import BadPath
from graph_proxy.paths import normalise, split_target
from tests.bff.pages.sites import FILES, PAGE, aged, made, packed

if TYPE_CHECKING:
    from collections.abc import Generator

SECRET = b"SECRET"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside.html").write_bytes(SECRET)
    return made(tmp_path / "ui")


def content(found: Found | Moved | None) -> bytes:
    assert isinstance(found, Found)
    assert isinstance(found.content, bytes)
    return found.content


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "index.html"),
        ("/index.html", "index.html"),
        ("/about", "about.html"),
        ("/about/", "about.html"),
        ("/about.html", "about.html"),
        ("/docs/", "docs/index.html"),
        ("/docs/deep/page", "docs/deep/page.html"),
        (
            "/_next/static/chunks/app/[id]/page.js",
            "_next/static/chunks/app/[id]/page.js",
        ),
        ("/app.wasm", "app.wasm"),
    ],
)
def test_an_address_finds_its_file(root: Path, path: str, name: str) -> None:
    assert content(Folder(root).find(path)) == FILES[name].encode()


def test_a_folder_with_a_page_needs_its_slash(root: Path) -> None:
    folder = Folder(root)

    assert folder.find("/docs") == Moved("/docs/")
    assert folder.find("/assets") is None
    assert folder.find("/assets/") is None
    (root / "docs.html").write_text("beside", encoding="utf-8")
    assert content(folder.find("/docs")) == b"beside"


@pytest.mark.parametrize(
    "path",
    [
        "/.env",
        "/.env.html",
        "/.git/config",
        "/docs/.hidden",
        "/..",
        "/../outside.html",
        "/../outside",
        "/docs/../../outside.html",
        "/./index.html",
        "/nosuch",
        "/nosuch/deep/er",
        "/index.html/",
        "/index.html/x",
        "/" + "x" * 300,
        "/" + "ü" * 200,
        "/docs//index.html",
        "//",
    ],
)
def test_other_addresses_find_nothing(root: Path, path: str) -> None:
    assert Folder(root).find(path) is None


def test_links_are_not_followed_whatever_they_are_called(
    root: Path, tmp_path: Path
) -> None:
    (root / "link.html").symlink_to(tmp_path / "outside.html")
    (root / "inside.html").symlink_to(root / "about.html")
    (root / "loop.html").symlink_to(root / "loop.html")
    (root / "up").symlink_to(tmp_path)
    (root / "about.html.gz").symlink_to(tmp_path / "outside.html")
    folder = Folder(root)

    for path in (
        "/link",
        "/link.html",
        "/inside",
        "/loop",
        "/up/outside",
        "/up/",
        "/up",
    ):
        assert folder.find(path, ("gzip",)) is None, path
    assert content(folder.find("/about", ("gzip",))) == FILES["about.html"].encode()


def test_the_folder_itself_may_be_a_link_and_lead_elsewhere_at_once(
    tmp_path: Path,
) -> None:
    for release in ("one", "two"):
        made(tmp_path / release, {"index.html": release})
    current = tmp_path / "current"
    current.symlink_to("one")
    folder = Folder(current)
    assert content(folder.find("/")) == b"one"

    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(current)

    assert content(folder.find("/")) == b"two"


def test_what_is_no_file_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "pipe.html")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)  # the path of a socket must be short
        try:
            listener.bind("socket.html")
        finally:
            os.chdir(here)

        assert Folder(root).find("/pipe") is None
        assert Folder(root).find("/socket") is None


def failing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let `about.html` not be opened; for root, no file is unreadable."""
    real: Any = os.open

    def without(name: object, *args: Any, **kwargs: Any) -> int:
        if name == b"about.html":
            raise OSError(number, os.strerror(number))
        opened: int = real(name, *args, **kwargs)
        return opened

    monkeypatch.setattr(os, "open", without)


def test_a_file_we_may_not_read_is_told_of_in_the_log(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing(monkeypatch, errno.EACCES)

    assert Folder(root).find("/about") is None
    assert "about.html" in caplog.text


def test_a_folder_that_is_gone_is_no_missing_page(root: Path) -> None:
    folder = Folder(root)
    shutil.rmtree(root)

    with pytest.raises(FolderGone):
        folder.find("/")


def test_when_files_run_out_pages_are_not_missing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, errno.EMFILE)

    with pytest.raises(FolderGone, match="Too many"):
        Folder(root).find("/about")


def test_the_packed_file_is_sent_where_it_is_welcome(root: Path) -> None:
    plain = root / "assets/logo.svg"
    brotli = packed(plain)
    folder = Folder(root)
    tags = set()
    for liked, coding in (((), None), (("gzip",), "gzip"), (("br", "gzip"), "br")):
        found = folder.find("/assets/logo.svg", liked)
        assert isinstance(found, Found)
        assert found.coding == coding
        assert found.media_type == "image/svg+xml"
        tags.add(found.version.etag)
    assert len(tags) == 3
    assert content(folder.find("/assets/logo.svg", ("br",))) == brotli


def test_a_packed_file_of_a_release_before_is_left_out(root: Path) -> None:
    plain = root / "assets/logo.svg"
    packed(plain)
    aged(plain.with_name("logo.svg.br"), TOLERANCE + 10)
    aged(plain.with_name("logo.svg.gz"), TOLERANCE - 10)
    found = Folder(root).find("/assets/logo.svg", ("br", "gzip"))

    assert isinstance(found, Found)
    assert found.coding == "gzip"


def test_a_packed_page_is_allowed_the_plain_one_s_scripts(root: Path) -> None:
    plain, sent = root / "index.html", packed(root / "index.html")
    folder = Folder(root)
    found, brotli = folder.find("/"), folder.find("/", ("br",))

    assert isinstance(found, Found)
    assert isinstance(brotli, Found)
    assert (content(found), content(brotli)) == (PAGE.encode(), sent)
    assert found.scripts == brotli.scripts != ()
    plain.write_text("<script>other</script>", encoding="utf-8")
    changed = folder.find("/")
    assert isinstance(changed, Found)
    assert changed.scripts not in {(), found.scripts}


def test_versions_are_told_apart_by_what_is_in_them(root: Path) -> None:
    """Builds that can be repeated give every file the same age, and often one size."""
    folder, place = Folder(root), root / "data.json"
    tags = []
    for text in ("[1]", "[2]", "[1]"):
        place.write_text(text, encoding="utf-8")
        os.utime(place, (1, 1))
        found = folder.find("/data.json")
        assert isinstance(found, Found)
        tags.append(found.version.etag)
    assert tags[0] == tags[2] != tags[1]


def test_large_files_are_opened_and_told_apart_alike(root: Path) -> None:
    folder, tags = Folder(root), []
    for fill in (b"a", b"b"):
        (root / "new").write_bytes(fill * (WHOLE + 1))
        os.utime(root / "new", (1, 1))
        (root / "new").rename(root / "film.mp4")
        found = folder.find("/film.mp4")
        assert isinstance(found, Found)
        assert not isinstance(found.content, bytes)
        with found.content:
            assert found.read(WHOLE - 1, 10) == fill * 2
            assert not found.has_changed()
            tags.append(found.version.etag)
            (root / "film.mp4").rename(root / "old")  # replaced: no harm
            assert not found.has_changed()
            with (root / "old").open("ab") as file:
                file.write(b"x")
            assert found.has_changed()
    assert tags[0] != tags[1]


def test_a_file_that_changes_while_it_is_read_is_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, real, looks = root / "data.json", os.fstat, iter(range(100))

    def changing(number: int) -> os.stat_result:
        known = real(number)
        if next(looks) == 1:  # the one right before reading
            place.write_text('{"new": 1}', encoding="utf-8")
        return known

    place.write_text('{"old": 1234}', encoding="utf-8")
    monkeypatch.setattr(os, "fstat", changing)
    assert content(Folder(root).find("/data.json")) == b'{"new": 1}'
    assert next(looks) > 3, "it was read twice"


@pytest.fixture(scope="module")
def trap() -> Generator[Folder]:
    with tempfile.TemporaryDirectory() as place:
        outside = Path(place)
        made(outside, {"secret.html": "SECRET", "secret/index.html": "SECRET"})
        root = made(outside / "ui")
        (root / "up").symlink_to(outside)
        yield Folder(root)


_PARTS = st.sampled_from(
    [
        "..", ".", "/", "//", "\\", "%2e", "%2E%2e", "%2f", "%5c", "%00", "%252e",
        "secret", "secret.html", "up", "docs", ".env", ".git", "config", "index.html",
        ";", "?", "#", "~", " ", "\x00", "\n", "ui", "\u2025", "\uff0e", "%c0%ae",
        "%25", "C:", "|", ":$DATA", "*",
    ]
)  # fmt: skip


@given(st.one_of(st.lists(_PARTS).map("".join), st.text()))
@example("/../secret.html")
@example("/up/secret")
@example("/docs/..%2f../secret")
def test_no_address_leads_out_of_the_folder(trap: Folder, target: str) -> None:
    for raw in (target, f"/{target}", f"/docs/{target}"):
        try:
            path = unquote(normalise(split_target(raw)[0]))
        except BadPath:
            continue
        found = trap.find(path, ("br", "gzip"))
        if isinstance(found, Found):
            assert SECRET not in content(found), raw


@given(st.text())
def test_no_decoded_path_leads_out_either(trap: Folder, path: str) -> None:
    """Even if the normalising before it were lost."""
    if "\0" in path or any("\ud800" <= sign <= "\udfff" for sign in path):
        return
    found = trap.find(f"/{path}")
    if isinstance(found, Found):
        assert SECRET not in content(found)
