"""Access tokens that come back to us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bff.dev.provider.errors import OAuthRefusal

if TYPE_CHECKING:
    from aiohttp import web

    from bff.dev.provider.state import State


def given(request: web.Request) -> str | None:
    """Return the bearer token of a request."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def claims_of(state: State, token: str) -> dict[str, Any] | None:
    """Return the claims of an access token that is still good."""
    claims = state.keys.verified(token)
    if claims is None or claims.get("typ") != "Bearer":
        return None
    if state.now() >= claims["exp"] or claims["jti"] in state.revoked:
        return None
    return claims


def person_claims(state: State, token: str | None) -> dict[str, Any]:
    """Return the claims of a person's access token whose session still lives."""
    if token is None:
        raise OAuthRefusal("invalid_request", "Missing token", status=401)
    claims = claims_of(state, token)
    if claims is None:
        raise OAuthRefusal("invalid_token", "Token verification failed", status=401)
    session = state.sessions.live(claims.get("sid", ""), state.clock())
    if session is None or claims["azp"] not in session.clients:
        raise OAuthRefusal("invalid_token", "user_session_not_found", status=401)
    return claims
