from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from graph_proxy.errors import BadPath, MethodRefused, PathRefused
from graph_proxy.langgraph import LANGGRAPH
from graph_proxy.paths import Allow, below, normalise, split_target

_FIRST = "assistants threads runs store info ok mcp a2a .well-known"
_SEGMENTS = _FIRST.split()
_PIECES = st.sampled_from(
    [
        "/",
        "//",
        ".",
        "..",
        ";",
        "%2e",
        "%2E.",
        "%2f",
        "%5c",
        "\\",
        "%00",
        "%252e",
        "%c0%af",
        "%ff",
        "%e4%b8%ad",
        "%7C",
        "|",
        "%3b",
        "%40",
        "@",
        "a",
        "threads",
        "th%72eads",
        "runs",
        "internal",
        "truncate",
        "graph",
        "%67raph",
        "%20",
        "%",
        "%g1",
        "é",
        "\x01",
        "~",
        "%7e",
        "ok",
        "info",
        "%25",
        "%2525",
        "2e",
        "..;",
        ".;x",
        "stream",
        "events",
        "state",
        "{x}",
        "[",
        ":",
        "+",
        "%0d%0a",
    ]
)
_PATHS = st.one_of(
    st.lists(_PIECES).map("".join),
    st.lists(_PIECES).map("/".join),
    st.text(),
)


@given(tail=_PATHS, method=st.sampled_from(["GET", "POST", "DELETE"]))
@example("threads/%2e%2e/internal/truncate", "POST")
@example("threads/..;/internal/truncate", "POST")
@example("threads/%252e%252e/x", "GET")
def test_what_is_sent_is_what_was_allowed_and_is_its_own_normal_form(
    tail: str, method: str
) -> None:
    try:
        path, _ = split_target(f"/graph/{tail}")
        sent = below("/graph", normalise(path))
        LANGGRAPH.check(method, sent)
    except (BadPath, PathRefused, MethodRefused):
        return
    assert sent.split("/")[1] in _SEGMENTS
    assert normalise(sent) == sent
    assert normalise(f"/graph{sent}") == f"/graph{sent}"
    assert sent.isascii()
    assert not set(sent) & set('\\ "<>\r\n\0#?')


@pytest.mark.parametrize(
    ("raw", "sent"),
    [
        ("/graph/ok", "/ok"),
        ("/graph", "/"),
        ("/graph/", "/"),
        ("/%67raph/%6Fk", "/ok"),
        ("/graph/threads/./a/../b", "/threads/b"),
        ("/graph/threads/%2e%2E/ok", "/ok"),
        ("/graph/../graph/ok", "/ok"),
        ("/graph/threads/", "/threads/"),
        ("/graph/threads/..", "/"),
        ("/graph/a|b:%7c%c3%bc%20x", "/a%7Cb:%7C%C3%BC%20x"),
        ("/graph/100%25", "/100%25"),
    ],
)
def test_a_path_is_decoded_and_resolved_once(raw: str, sent: str) -> None:
    assert below("/graph", normalise(raw)) == sent


@pytest.mark.parametrize(
    "raw",
    [
        "/graph/a%2fb",
        "/graph/a%5Cb",
        "/graph/a\\b",
        "/graph//ok",
        "/graph/a//",
        "/graph/%00",
        "/graph/a%0d%0ab",
        "/graph/a\x01",
        "/graph/%7f",
        "/graph/%c2%85",  # a control character of two bytes
        "/graph/%",
        "/graph/%zz",
        "/graph/%1",
        "/graph/%c0%ae",  # an overlong dot
        "/graph/%ff",
        "/graph/%252e%252e/x",
        "/graph/%25%32%65",
        "/graph/%25252f",
        "/graph/%2500",
        "/graph/..;/x",
        "/graph/.;a=b/x",
        "/graph/ü",
        "/graph/a b",
        "graph",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(raw: str) -> None:
    with pytest.raises(BadPath):
        normalise(raw)


@pytest.mark.parametrize("path", ["/graphs", "/", "/graph/../auth/login", "/GRAPH/ok"])
def test_a_path_outside_the_prefix_is_refused(path: str) -> None:
    with pytest.raises(PathRefused):
        below("/graph", normalise(path))


def test_the_query_is_left_as_it_is() -> None:
    assert split_target("/a/b?x=%2F..&y=?&z=%zz") == ("/a/b", "?x=%2F..&y=?&z=%zz")
    assert split_target("/a") == ("/a", "")
    assert split_target("/a?") == ("/a", "?")


@pytest.mark.parametrize(
    "target", ["http://h/graph/ok", "*", "/ok#x", "/ok?a#b", "", "h:80"]
)
def test_only_origin_form_without_fragment_is_taken(target: str) -> None:
    with pytest.raises(BadPath):
        split_target(target)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/threads/search"),
        ("GET", "/threads/t/state/c"),
        ("HEAD", "/threads/t/runs/r/stream"),
        ("POST", "/threads/t/runs/stream"),
        ("POST", "/threads/t/runs/stream/"),
        ("UPGRADE", "/threads/t/stream/events"),
        ("DELETE", "/mcp"),
        ("POST", "/a2a/x/"),
        ("GET", "/.well-known/agent-card.json"),
    ],
)
def test_a_route_of_langgraph_is_allowed(method: str, path: str) -> None:
    LANGGRAPH.check(method, path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/internal/truncate",
        "/internal/debug/thread/t",
        "/deploy",
        "/deploy/x/stream",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/ui/agent",
        "/profile",
        "/threads/t/nothing",
        "/THREADS",
        "/ok/x",
        "/threads;x/search",
        "/threads//state",
    ],
)
def test_any_other_route_is_refused(path: str) -> None:
    for method in ("GET", "POST"):
        with pytest.raises(PathRefused):
            LANGGRAPH.check(method, path)


def test_a_refused_method_says_which_are_allowed() -> None:
    with pytest.raises(MethodRefused) as refused:
        LANGGRAPH.check("PUT", "/threads/t/history")
    assert refused.value.allowed == ("GET", "HEAD", "POST")
    with pytest.raises(MethodRefused) as refused:
        LANGGRAPH.check("OPTIONS", "/threads/t/stream/events")
    assert refused.value.allowed == ("POST",)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_trace_and_connect_are_refused_even_when_all_is_open(method: str) -> None:
    for allow in (LANGGRAPH, Allow.everything(), Allow.segments(["ok"])):
        with pytest.raises(MethodRefused):
            allow.check(method, "/ok")


def test_an_operator_adds_first_segments() -> None:
    allow = LANGGRAPH | Allow.segments(["webhooks"])
    allow.check("PUT", "/webhooks/any/thing")
    allow.check("GET", "/ok")
    with pytest.raises(PathRefused):
        allow.check("GET", "/webhooksx")
    Allow.everything().check("UPGRADE", "/internal/truncate")


@pytest.mark.parametrize("name", ["", "a/b", "..", "a%2fb", "a%41", "é"])
def test_a_first_segment_must_be_one(name: str) -> None:
    with pytest.raises(ValueError, match="not one path segment"):
        Allow.segments([name])
