"""What the provider says, read as Keycloak means it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.identity.messages import (
    Refusal,
    TokenRefused,
    read_tokens,
)

GOOD = {
    "access_token": "a",
    "refresh_token": "r",
    "expires_in": 300,
    "refresh_expires_in": 1800,
    "id_token": "i",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(GOOD)), inner, max_size=6)
    ),
    max_leaves=12,
)


def refused(status: int, error: str, description: str, grant: str) -> Refusal:
    with pytest.raises(TokenRefused) as caught:
        read_tokens(
            status, {"error": error, "error_description": description}, grant=grant
        )
    assert caught.value.description.startswith(f"{status} {error}")
    return caught.value.refusal


# --- Keycloak's answers to a password


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize(
    ("error", "description", "expected"),
    [
        ("invalid_grant", "Invalid user credentials", Refusal.CREDENTIALS),
        ("invalid_grant", "Account disabled", Refusal.CREDENTIALS),
        ("invalid_grant", "Account is not fully set up", Refusal.ACTION_REQUIRED),
        ("invalid_request", "Missing parameter: username", Refusal.MISCONFIGURED),
        (
            "unauthorized_client",
            "Client not allowed for direct access grants",
            Refusal.MISCONFIGURED,
        ),
        (
            "invalid_client",
            "Invalid client or Invalid client credentials",
            Refusal.MISCONFIGURED,
        ),
        (
            "unauthorized_client",
            "Invalid client or Invalid client credentials",
            Refusal.MISCONFIGURED,
        ),
        ("unsupported_grant_type", "Unsupported grant_type", Refusal.MISCONFIGURED),
        ("invalid_request", "duplicated parameter", Refusal.MISCONFIGURED),
        ("", "", Refusal.MISCONFIGURED),
    ],
)
def test_a_refused_password_means_what_keycloak_means(
    status: int, error: str, description: str, expected: Refusal
) -> None:
    assert refused(status, error, description, "password") is expected


# --- Keycloak's answers to a refresh token


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize(
    "description",
    [
        "Token is not active",
        "Session not active",
        "Session doesn't have required client",
        "Maximum allowed refresh token reuse exceeded",
        "Stale token",
        "Invalid refresh token",
        "User disabled",
        "Offline user session not found",
        "Account is not fully set up",
    ],
)
def test_a_refused_refresh_token_means_the_session_is_over(
    status: int, description: str
) -> None:
    found = refused(status, "invalid_grant", description, "refresh_token")

    assert found is Refusal.SESSION_OVER


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client", "other"])
def test_a_gateway_that_is_not_known_ends_no_session(status: int, error: str) -> None:
    assert refused(status, error, "", "refresh_token") is Refusal.MISCONFIGURED


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("grant", ["password", "refresh_token", "authorization_code"])
def test_an_outage_is_never_a_refusal(status: int, grant: str) -> None:
    assert refused(status, "invalid_grant", "", grant) is Refusal.UNAVAILABLE


@pytest.mark.parametrize("body", [None, [], "text", 5])
@pytest.mark.parametrize("status", [200, 400, 401, 502])
def test_what_is_no_json_object_is_an_outage(status: int, body: object) -> None:
    with pytest.raises(TokenRefused) as caught:
        read_tokens(status, body, grant="refresh_token")

    assert caught.value.refusal is Refusal.UNAVAILABLE


def test_a_long_description_is_cut() -> None:
    with pytest.raises(TokenRefused) as caught:
        read_tokens(400, {"error": "x" * 5000}, grant="password")

    assert len(caught.value.description) == 300


# --- the answer with tokens


def test_a_full_answer_is_read() -> None:
    tokens = read_tokens(200, GOOD, grant="password")

    assert (tokens.access_token, tokens.refresh_token, tokens.id_token) == (
        "a",
        "r",
        "i",
    )
    assert (tokens.expires_in, tokens.refresh_expires_in) == (300, 1800)


@pytest.mark.parametrize(
    "change",
    [
        {"access_token": None},
        {"access_token": ""},
        {"access_token": 5},
        {"refresh_token": None},
        {"expires_in": None},
        {"expires_in": "300"},
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": float("nan")},
        {"expires_in": float("inf")},
    ],
)
def test_an_answer_without_what_we_need_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(TokenRefused) as caught:
        read_tokens(200, {**GOOD, **change}, grant="password")

    assert caught.value.refusal is Refusal.MISCONFIGURED


@given(st.sampled_from([200, 201, 302, 400, 401, 404, 500]), JSON)
def test_every_answer_is_tokens_or_a_refusal(status: int, body: object) -> None:
    try:
        tokens = read_tokens(status, body, grant="refresh_token")
    except TokenRefused:
        return
    assert tokens.access_token
    assert status == 200
