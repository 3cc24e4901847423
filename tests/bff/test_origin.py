"""Only a page of our own origin passes, however a stranger spells it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from bff.origin import Gate, passes

ORIGINS = ("https://app.test", "http://localhost:8080")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE", "QUERY", "post", "CONNECT")
STRANGERS = (
    "null",
    "",
    " ",
    "https://app.test/",
    "https://app.test:443",
    "https://app.test.evil.test",
    "https://evil.test",
    "https://evilapp.test",
    "https://sub.app.test",
    "http://app.test",
    "HTTPS://APP.TEST",
    "https://App.test",
    "https://app.test.",
    "https://app.test:8443",
    "https://app.test https://evil.test",
    "https://app.test, https://app.test",
    "https://app.test@evil.test",
    "https://app.tes",
    "app.test",
    "http://localhost:80800",
    "http://localhost:808",
    "http://localhost",
    "http://127.0.0.1:8080",
    "https://app.test\x00",
    "https://аpp.test",  # noqa: RUF001 - a Cyrillic letter on purpose
)


def asked(
    method: str,
    gate: Gate = Gate.UNSAFE_METHODS,
    *,
    need: str | None = None,
    **sent: str,
) -> bool:
    headers = CIMultiDict({name.replace("_", "-"): sent[name] for name in sent})
    return passes(method, headers, ORIGINS, gate, required_header=need)


@pytest.mark.parametrize("method", UNSAFE)
def test_a_change_needs_proof_of_our_own_origin(method: str) -> None:
    assert not asked(method)
    assert asked(method, origin=ORIGINS[0])
    assert asked(method, origin=ORIGINS[1])
    assert asked(method, sec_fetch_site="same-origin")


@pytest.mark.parametrize(
    "site", ["cross-site", "none", "", "same-origin ", "Same-Origin", "x"]
)
@pytest.mark.parametrize("method", UNSAFE)
def test_fetch_metadata_is_believed_before_the_origin(method: str, site: str) -> None:
    assert not asked(method, sec_fetch_site=site)
    assert not asked(method, sec_fetch_site=site, origin=ORIGINS[0])
    assert not asked(method, sec_fetch_site=site, sec_fetch_mode="navigate")


def test_a_sister_site_needs_to_be_listed() -> None:
    assert asked("POST", sec_fetch_site="same-site", origin=ORIGINS[0])
    assert not asked("POST", sec_fetch_site="same-site", origin="https://b.app.test")
    assert not asked("POST", sec_fetch_site="same-site")


@pytest.mark.parametrize("origin", STRANGERS, ids=ascii)
def test_a_stranger_is_refused(origin: str) -> None:
    for method in ("POST", "GET"):
        assert not asked(method, Gate.EVERY_REQUEST, origin=origin)
        assert not asked(
            method, Gate.EVERY_REQUEST, origin=origin, sec_fetch_site="same-site"
        )


@given(st.text(max_size=40), st.text(max_size=6), st.text(max_size=6))
def test_only_the_exact_origin_passes(any_text: str, before: str, after: str) -> None:
    for origin in (any_text, before + ORIGINS[0] + after, ORIGINS[0].upper() + after):
        expected = origin in ORIGINS
        assert asked("POST", origin=origin) is expected
        assert asked("GET", Gate.EVERY_REQUEST, origin=origin) is expected
        assert asked("GET", Gate.OPEN, origin=origin, upgrade="websocket") is expected


@given(
    st.sampled_from(["GET", "POST"]),
    st.none() | st.sampled_from(["same-origin", "same-site", "cross-site", "none"]),
    st.none() | st.sampled_from([*ORIGINS, "null", "https://evil.test"]),
    st.none() | st.sampled_from(["navigate", "cors", "no-cors", "websocket"]),
)
def test_the_graph_is_closed_to_every_other_site(
    method: str, site: str | None, origin: str | None, mode: str | None
) -> None:
    sent = {"sec_fetch_site": site, "origin": origin, "sec_fetch_mode": mode}
    present = {name: value for name, value in sent.items() if value is not None}

    found = asked(method, Gate.EVERY_REQUEST, **present)

    expected = {
        None: origin in ORIGINS or (origin is None and method == "GET"),
        "same-origin": True,
        "same-site": origin in ORIGINS,
        "cross-site": False,
        "none": method == "GET" and mode == "navigate",
    }[site]
    assert found is expected


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_passes_where_only_changes_are_guarded(
    method: str,
) -> None:
    assert asked(method, sec_fetch_site="cross-site", origin="https://evil.test")
    assert asked(method)


@pytest.mark.parametrize("gate", Gate)
@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket", "h2c", "x"])
def test_an_upgrade_needs_the_exact_origin_always(gate: Gate, upgrade: str) -> None:
    assert asked("GET", gate, upgrade=upgrade, origin=ORIGINS[0])
    assert not asked("GET", gate, upgrade=upgrade)
    assert not asked("GET", gate, upgrade=upgrade, sec_fetch_site="same-origin")
    assert not asked(
        "GET", gate, upgrade=upgrade, origin="null", sec_fetch_site="same-origin"
    )


def test_an_open_route_asks_nothing_of_plain_requests() -> None:
    assert asked("POST", Gate.OPEN, sec_fetch_site="cross-site", origin="null")


def test_a_required_header_is_asked_for_beside_the_origin() -> None:
    assert not asked("POST", need="X-Requested-With", sec_fetch_site="same-origin")
    assert asked(
        "POST",
        need="X-Requested-With",
        sec_fetch_site="same-origin",
        x_requested_with="fetch",
    )
    assert not asked(
        "POST",
        need="X-Requested-With",
        sec_fetch_site="cross-site",
        x_requested_with="fetch",
    )
    assert asked("GET", need="X-Requested-With")
