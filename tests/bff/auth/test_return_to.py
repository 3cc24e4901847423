"""A sign-in returns to a path of our own, however the address is dressed up."""

from __future__ import annotations

from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from bff.auth.return_to import MAX_LENGTH, local_path, return_target

HOME = "http://localhost:8080"

HOSTILE = (
    "http://evil.test",
    "https://evil.test/",
    "HTTPS://EVIL.TEST",
    "//evil.test",
    "//evil.test/%2f..",
    "///evil.test",
    "////evil.test",
    "//evil.test@localhost:8080/",
    "//localhost:8080@evil.test/",
    "/\\evil.test",
    "/\\/evil.test",
    "\\\\evil.test",
    "\\/evil.test",
    "/\\\\evil.test",
    "//\\evil.test",
    "/path\\..\\..\\evil.test",
    "/%2fevil.test",
    "/%2Fevil.test",
    "/%5cevil.test",
    "/%5Cevil.test",
    "/%2f%2fevil.test",
    "//%2fevil.test",
    "%2f%2fevil.test",
    "%2fevil.test",
    "/\tevil.test",
    "/\t/evil.test",
    "\t//evil.test",
    "/\n/evil.test",
    "/\r\n/evil.test",
    "/\x0b/evil.test",
    "/\x0c/evil.test",
    "/\x00/evil.test",
    " //evil.test",
    " /path",
    "/ /evil.test",
    "/path\r\nSet-Cookie: a=b",
    "/path\nLocation: //evil.test",
    "/path\r",
    "/path\n",
    "/path\x7f",
    "/path\x00",
    "/path with blank",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "\x01javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "http:evil.test",
    "http:/evil.test",
    "https:evil.test",
    "http:\\\\evil.test",
    "//evil\u3002test",
    "/\uff0fevil.test",
    "\uff0f\uff0fevil.test",
    "/\u2044evil.test",
    "/evil\u2028.test",
    "/\u202e/evil",
    "/ünicode",
    "\ufeff//evil.test",
    "/\u200b/evil.test",
    "@evil.test",
    ".evil.test",
    ":8080/evil",
    "evil.test",
    "../evil",
    "./evil",
    "?next=//evil.test",
    "#//evil.test",
    "\ud800",
    "/\ud800",
    "*",
    "",
)


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_hostile_address_leads_home(value: str) -> None:
    assert local_path(value) == "/"


@pytest.mark.parametrize(
    "value",
    [
        "/",
        "/chat",
        "/onboarding?step=2&x=%2Fy",
        "/a/b;c=d?e=f#g",
        "/threads/1?q=http://elsewhere.test/",
        "/a//b",
        "/@user",
        "/!$&'()*+,;=:@~",
        "/%E4%B8%AD",
        "/" + "x" * (MAX_LENGTH - 1),
    ],
)
def test_a_path_of_ours_is_kept(value: str) -> None:
    assert local_path(value) == value


def test_what_is_missing_or_endless_leads_to_the_default() -> None:
    assert local_path(None) == "/"
    assert local_path(None, "/chat") == "/chat"
    assert local_path("/" + "x" * MAX_LENGTH) == "/"


ALPHABET = st.sampled_from(
    [*"/\\.:@%?#;&=\t\r\n 25cCfF", "evil.test", "http", "\uff0f"]
)


@given(st.lists(ALPHABET, max_size=12).map("".join) | st.text())
def test_no_address_ever_leaves_the_origin(value: str) -> None:
    for lead in (value, "/" + value, "/" + unquote(value, errors="replace")):
        path = local_path(lead)

        assert path.startswith("/")
        assert path.isascii()
        assert path.isprintable()
        assert " " not in path
        assert urlsplit(urljoin(HOME, path))[:2] == ("http", "localhost:8080")
        assert URL(HOME).join(URL(path, encoded=True)).origin() == URL(HOME)
        # As browsers read it: a backslash is a slash, tabs and breaks are nothing.
        assert not path.replace("\\", "/").startswith("//")


UI = "http://localhost:3000"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (UI, f"{UI}/"),
        (f"{UI}/", f"{UI}/"),
        (f"{UI}/threads/1?a=b&c=%2F#d", f"{UI}/threads/1?a=b&c=%2F#d"),
        ("/onboarding", "/onboarding"),
        (None, "/"),
    ],
)
def test_a_ui_on_its_own_origin_is_returned_to(
    value: str | None, expected: str
) -> None:
    assert return_target(value, (UI, "http://localhost:5173")) == expected


@pytest.mark.parametrize(
    "value",
    [
        *HOSTILE,
        "http://localhost:30000/",
        "http://localhost:300/",
        "http://localhost/",
        "https://localhost:3000/",
        "HTTP://localhost:3000/",
        "http://LOCALHOST:3000/",
        "http://127.0.0.1:3000/",
        f"{UI}@evil.test/",
        f"{UI}.evil.test/",
        f"{UI}:80/",
        f"{UI}?/",
        f"{UI}#/",
        f"{UI}\\evil.test",
        f"{UI}/\\evil.test",
        f"{UI}//evil.test",
        f"{UI}/%2fevil.test",
        f"{UI}/a b",
        f"{UI}/a\r\nSet-Cookie: a=b",
        f"{UI}/\x00",
        f" {UI}/",
        f"\t{UI}/",
        "//localhost:3000/",
        f"//{UI}",
        f"{UI}/" + "x" * MAX_LENGTH,
    ],
    ids=ascii,
)
def test_nothing_like_it_is(value: str) -> None:
    assert return_target(value, (UI,)) == "/"
    assert return_target(value.replace(UI, "http://elsewhere.test"), (UI,)) == "/"


@given(st.lists(ALPHABET, max_size=12).map("".join) | st.text())
def test_no_address_leaves_both_origins(value: str) -> None:
    for lead in (value, UI + value, f"{UI}/{value}", value + UI):
        found = URL(HOME).join(URL(return_target(lead, (UI,)), encoded=True))
        assert str(found.origin()) in {HOME, UI}
