"""Refresh tokens: what makes one good, and what using it does to the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bff.dev.provider import issuance
from bff.dev.provider.claims import Occasion
from bff.dev.provider.errors import OAuthRefusal
from bff.dev.provider.sessions import spend

if TYPE_CHECKING:
    from bff.dev.provider.model import Client
    from bff.dev.provider.sessions import SsoSession
    from bff.dev.provider.state import State


def refreshed(state: State, client: Client, token: str) -> dict[str, Any]:
    """Answer a refresh, or refuse in Keycloak's order and words."""
    claims = opened(state, client, token)
    now = state.now()
    if now >= claims["exp"]:
        raise _refused("Token is not active")
    if claims["iat"] < state.not_before:
        raise _refused("Stale token")
    session = state.sessions.live(claims["sid"], state.clock())
    account = state.live_account(session) if session else None
    if session is None or account is None:
        raise _refused("Session not active", sub=claims["sub"])
    if not account.person.enabled:
        raise _refused("User disabled", reason="user_disabled", sub=account.id)
    if client.client_id not in session.clients:
        raise _refused("Session doesn't have required client", sub=account.id)
    if state.realm.rotate:
        _use_up(session, client, claims)
    session.last_refresh = now
    occasion = Occasion(
        realm=state.realm,
        account=account,
        client=client,
        session=session,
        scope=issuance.granted_scope(claims["scope"]),
        now=now,
        kind="onrtrt",
    )
    return issuance.tokens(state, occasion, chain=claims.get("reuse_id"))


def opened(state: State, client: Client, token: str) -> dict[str, Any]:
    """Return the claims of a refresh token of this client, however old."""
    claims = state.keys.unsealed(token)
    if claims is None or claims.get("typ") != "Refresh":
        raise _refused("Invalid refresh token")
    if claims["azp"] != client.client_id:
        sentence = "Token client and authorized client don't match"
        raise _refused(f"Invalid refresh token. {sentence}")
    return claims


def _use_up(session: SsoSession, client: Client, claims: dict[str, Any]) -> None:
    joined = session.clients[client.client_id]
    # A token from before rotation was switched on has no chain yet.
    refusal = spend(joined, claims.get("reuse_id", ""), claims["jti"])
    if refusal:
        # The newest token dies too: nobody can tell who holds it.
        del session.clients[client.client_id]
        raise _refused(refusal, sub=claims["sub"])


def _refused(
    sentence: str, *, reason: str = "invalid_token", sub: str | None = None
) -> OAuthRefusal:
    return OAuthRefusal("invalid_grant", sentence, reason=reason, sub=sub)
