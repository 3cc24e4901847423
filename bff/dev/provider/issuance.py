"""Turning a session into the answer of the token endpoint."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from bff.dev.provider import claims
from bff.dev.provider.errors import OAuthRefusal
from bff.dev.provider.sessions import Chain

if TYPE_CHECKING:
    from bff.dev.provider.claims import Occasion
    from bff.dev.provider.model import Client
    from bff.dev.provider.state import State

# Granted whether asked for or not, and named in the token.
_ALWAYS = ("profile", "email")
# Allowed, without a trace in the token's `scope`.
_SILENT = frozenset({"basic", "roles", "acr", "organization"})


def granted_scope(requested: str | None) -> str:
    """Turn the requested scope into the granted one."""
    asked = set((requested or "").split())
    if asked - _SILENT - {"openid", *_ALWAYS}:
        raise OAuthRefusal("invalid_scope", f"Invalid scopes: {requested}")
    return " ".join((*(("openid",) if "openid" in asked else ()), *_ALWAYS))


def tokens(
    state: State, occasion: Occasion, *, chain: str | None = None
) -> dict[str, Any]:
    """Issue tokens to a client that has joined the session."""
    access_token = state.keys.sign(claims.access(occasion))
    if occasion.realm.rotate:
        chain = chain or str(uuid.uuid4())
    refresh = claims.refresh(occasion, chain)
    if chain is not None and occasion.realm.rotate:
        joined = occasion.session.clients[occasion.client.client_id]
        link = joined.chains.setdefault(chain, Chain(current=refresh["jti"]))
        link.current = refresh["jti"]
    answer = {
        "access_token": access_token,
        "expires_in": occasion.access_expires - occasion.now,
        "refresh_expires_in": occasion.refresh_expires - occasion.now,
        "refresh_token": state.keys.seal(refresh),
        "token_type": "Bearer",
    }
    if "openid" in occasion.scope.split():
        id_token = state.keys.sign(claims.identity(occasion, access_token))
        answer["id_token"] = id_token
    return answer | {
        "not-before-policy": state.not_before,
        "session_state": occasion.session.id,
        "scope": occasion.scope,
    }


def service_token(state: State, client: Client, issuer: str) -> dict[str, Any]:
    """Issue a token to a client acting for itself: no session, no refresh."""
    realm = state.realm
    content = claims.service(realm, client, issuer, state.now())
    return {
        "access_token": state.keys.sign(content),
        "expires_in": realm.access_ttl,
        "refresh_expires_in": 0,
        "token_type": "Bearer",
        "not-before-policy": state.not_before,
        "scope": "",
    }
