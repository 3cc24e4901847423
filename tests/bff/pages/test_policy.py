"""The Content-Security-Policy of others' pages."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.pages.policy import INLINE, MOST_HASHES, inline_hashes, policy


def of(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def directives(text: str) -> dict[str, list[str]]:
    return {
        name: sources
        for name, *sources in (directive.split() for directive in text.split("; "))
    }


def test_pages_talk_to_us_only_and_are_framed_by_nobody() -> None:
    said = directives(policy({}))

    assert said["connect-src"] == ["'self'"]
    assert said["script-src"] == ["'self'"]
    assert said["frame-ancestors"] == ["'none'"]
    assert said["object-src"] == ["'none'"]
    assert said["form-action"] == ["'self'"]


def test_sources_are_added_to_what_holds_without_them() -> None:
    extra = {"worker-src": ["blob:"], "img-src": ["https:"], "script-src": ["'self'"]}
    said = directives(policy(extra, scripts=["'sha256-x'"], connect=["ws://a"]))

    assert said["worker-src"] == ["'self'", "blob:"]
    assert said["img-src"] == ["'self'", "data:", "blob:", "https:"]
    assert said["script-src"] == ["'self'", "'sha256-x'"]
    assert said["connect-src"] == ["'self'", "ws://a"]


def test_a_hash_does_not_undo_what_was_allowed() -> None:
    said = directives(policy({"script-src": [INLINE]}, scripts=["'sha256-x'"]))

    assert said["script-src"] == ["'self'", INLINE]


@pytest.mark.parametrize(
    ("page", "scripts"),
    [
        ("<p>none</p>", []),
        ("<script>one()</script>", ["one()"]),
        ("<SCRIPT TYPE='module'>one()</SCRIPT >", ["one()"]),
        ("<script>\r\none()\r</script>", ["\none()\n"]),
        ("<script>a</script><script>b</script><script>a</script>", ["a", "b"]),
        ('<script src="/a.js"></script>', []),
        ("<script async src=/a.js></script>", []),
        ("<script async\nSRC = '/a.js'></script>", []),
        ('<script data-src="x">one()</script>', ["one()"]),
        ('<script id="src=">one()</script>', ["one()"]),
        ('<script data-x="a > b">one()</script>', ["one()"]),
        ("<script>if (a < b && '</p>') one()</script>", ["if (a < b && '</p>') one()"]),
        ("<script></script>", [""]),
        ("<scripts>no</scripts>", []),
        ("<script>never closed", []),
        ("\ufeff<script>ü</script>", ["ü"]),
        ("<script>\0</script>", ["\ufffd"]),
    ],
)
def test_what_stands_in_a_page_is_allowed_and_nothing_else(
    page: str, scripts: list[str]
) -> None:
    assert inline_hashes(page.encode()) == tuple(map(of, scripts))


def test_too_many_scripts_would_burst_the_head() -> None:
    pages = [
        "".join(f"<script>{n}</script>" for n in range(many))
        for many in (MOST_HASHES, MOST_HASHES + 1)
    ]

    assert len(inline_hashes(pages[0].encode())) == MOST_HASHES
    assert inline_hashes(pages[1].encode()) == (INLINE,)


@given(st.binary(max_size=300))
def test_any_bytes_are_read(page: bytes) -> None:
    for source in inline_hashes(b"<script>" + page + b"</script>"):
        assert source.startswith("'sha256-")
