from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph_proxy.headers import (
    checked,
    forwardable,
    public_location,
    to_browser,
    to_upstream,
)

_OWN = [("Authorization", "Bearer ours"), ("X-Tenant-ID", "acme")]


def _names(headers: list[tuple[str, str]]) -> set[str]:
    return {name.lower() for name, _ in headers}


def test_only_listed_fields_reach_the_upstream() -> None:
    passing = {
        "Accept": "text/event-stream",
        "Accept-Language": "fr",
        "Cache-Control": "no-store",
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
        "Last-Event-ID": "7",
        "Range": "bytes=0-1",
        "If-None-Match": '"x"',
        "User-Agent": "a",
        "Mcp-Session-Id": "s",
        "langgraph-a2a-x": "y",
        "traceparent": "00-1",
    }
    stopped = (
        "Cookie Authorization X-Auth-Scheme X-Api-Key X-Service-Key X-Tenant-ID"
        " X-User-ID Langsmith-Trace Baggage X-Forwarded-For X-Forwarded-Anything"
        " Forwarded X-Request-ID Origin Referer Accept-Encoding Host Content-Length"
        " Transfer-Encoding Upgrade TE Trailer Keep-Alive Proxy-Authorization Expect"
        " Content_Type Last_Event_Id X_Tenant_Id mcp_x Sec-WebSocket-Key X-Other"
    )
    received = [*passing.items(), *((name, "evil") for name in stopped.split())]
    sent = to_upstream(received, own=[])
    assert sent == list(passing.items())


def test_duplicate_fields_are_kept_in_order() -> None:
    received = [("Accept", "a"), ("User-Agent", "u"), ("accept", "b")]
    assert to_upstream(received, own=[]) == received


def test_configured_fields_cross_too() -> None:
    sent = to_upstream([("X-Color", "red")], own=[], extra=forwardable(["x-color"]))
    assert sent == [("X-Color", "red")]


@pytest.mark.parametrize(
    "name",
    [
        *("cookie", "Authorization", "x-api-key", "X-Forwarded-For", "connection"),
        *("host", "a_b", "a:b", "", "a b"),
    ],
)
def test_configuration_cannot_let_credentials_or_look_alikes_through(name: str) -> None:
    with pytest.raises(ValueError, match=r"header|never"):
        forwardable([name])


@given(st.lists(st.sampled_from(["authorization", "X-TENANT-ID", "close", "accept"])))
def test_a_connection_field_removes_only_the_browsers_own(listed: list[str]) -> None:
    received = [
        ("Connection", " , ".join(listed)),
        ("Accept", "x"),
        ("X-Tenant-ID", "evil"),
    ]
    sent = to_upstream(received, own=_OWN)
    assert [field for field in sent if field[0] != "Accept"] == _OWN
    assert ("accept" in listed) == ("accept" not in _names(sent))


def test_what_the_gateway_adds_replaces_the_browsers_namesake() -> None:
    own = [("Accept", "ours")]
    assert to_upstream([("aCCept", "evil")], own=own) == own


def test_handshake_fields_cross_only_in_a_handshake() -> None:
    received = [("Sec-WebSocket-Key", "k"), ("Sec-WebSocket-Protocol", "p")]
    assert to_upstream(received, own=[], websocket=True) == received
    assert to_upstream(received, own=[]) == []


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Connection", "a b", ""])
def test_the_gateway_cannot_add_framing(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        checked([(name, "1")])


def test_the_browser_gets_all_but_hop_by_hop_cookies_server_and_cors() -> None:
    passing = [
        ("Content-Type", "text/event-stream; charset=utf-8"),
        ("Vary", "Origin"),
        ("Content-Encoding", "gzip"),
        ("Location", "/threads/t/runs/r/stream"),
        ("Content-Location", "/threads/t/runs/r"),
        ("X-Accel-Buffering", "no"),
        ("X-Pagination-Total", "3"),
        ("Link", "a"),
        ("Link", "b"),
    ]
    dropped = (
        "Connection Keep-Alive Transfer-Encoding Trailer Upgrade Set-Cookie SERVER TE"
        " Access-Control-Allow-Origin access-control-x Proxy-Authenticate Set-Cookie2"
    )
    answer = [*passing, *((name, "x-hidden") for name in dropped.split())]
    assert to_browser([*answer, ("X-Hidden", "1")]) == passing


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("http://up:2024/threads/search?a=b#c", "http://gw/graph/threads/search?a=b#c"),
        ("https://UP:2024/threads", "http://gw/graph/threads"),
        ("//up:2024/x", "http://gw/graph/x"),
        ("http://up:2024", "http://gw/graph/"),
        ("http://up:2024?a", "http://gw/graph/?a"),
        ("/threads/search", "http://gw/graph/threads/search"),
        ("search?x", "search?x"),
        ("?x", "?x"),
        ("http://other/threads", "http://other/threads"),
        ("//other/threads", "//other/threads"),
        ("mailto:x", "mailto:x"),
        ("", ""),
    ],
)
def test_a_redirect_to_the_upstream_itself_stays_below_the_prefix(
    location: str, seen: str
) -> None:
    found = public_location(
        location, authority="up:2024", base="", public="http://gw/graph"
    )
    assert found == seen


def test_a_redirect_outside_the_upstreams_base_path_is_left_alone() -> None:
    def seen(location: str) -> str:
        return public_location(
            location, authority="up", base="/api", public="http://gw/graph"
        )

    assert seen("/api/x") == "http://gw/graph/x"
    assert seen("/api") == "http://gw/graph"
    assert seen("/apix") == "/apix"
    assert seen("http://up/other") == "http://up/other"
