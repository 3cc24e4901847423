"""The endpoints for programs: token, certs, userinfo, revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from bff.dev.provider import bearer
from bff.dev.provider.claims import profile
from bff.dev.provider.client_auth import authenticated, claimed_client, read_form
from bff.dev.provider.errors import OAuthRefusal
from bff.dev.provider.grants import GRANTS, Call
from bff.dev.provider.state import STATE

if TYPE_CHECKING:
    from typing import Any

    from bff.dev.provider.client_auth import Form
    from bff.dev.provider.grants import Answer, Grant
    from bff.dev.provider.model import Client
    from bff.dev.provider.state import State

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


async def token(request: web.Request) -> web.Response:
    """Issue tokens."""
    state = request.app[STATE]
    form = await read_form(request)
    grant = _grant(form)
    try:
        # From here to the answer nothing waits: parallel calls are decided one
        # after the other.
        answer = _decide(state, request, form, grant)
    except OAuthRefusal as refusal:
        claimed = claimed_client(request, form)
        state.log(
            grant.failure, error=refusal.reason, sub=refusal.sub, client_id=claimed
        )
        raise
    return web.json_response(answer, headers=NO_STORE)


async def certs(request: web.Request) -> web.Response:
    """Publish the keys."""
    # Keycloak says no-cache too: a client must see a new key at once.
    headers = {"Cache-Control": "no-cache"}
    return web.json_response(request.app[STATE].keys.public(), headers=headers)


async def userinfo(request: web.Request) -> web.Response:
    """Describe the person whose access token this is."""
    state = request.app[STATE]
    given = bearer.given(request)
    if given is None and request.method == "POST":
        given = (await read_form(request)).get("access_token")
    claims = bearer.person_claims(state, given)
    account = state.accounts.get(claims["sub"])
    if account is None or not account.person.enabled:
        raise OAuthRefusal("invalid_token", "User disabled", status=401)
    if "openid" not in claims["scope"].split():
        raise OAuthRefusal("insufficient_scope", "Missing openid scope", status=403)
    body = {"sub": account.id, **profile(account.person)}
    return web.json_response(body, headers={"Cache-Control": "no-store"})


async def revoke(request: web.Request) -> web.Response:
    """Take back one client's token; no other client hears of it (RFC 7009)."""
    state = request.app[STATE]
    form = await read_form(request)
    client = authenticated(state, request, form)
    if form.is_repeated:
        raise OAuthRefusal("invalid_request", "duplicated parameter")
    if "token" not in form:
        raise OAuthRefusal("invalid_request", "Token not provided")
    claims = state.keys.unsealed(form["token"]) or state.keys.verified(form["token"])
    if claims is not None and claims.get("typ") not in {"Refresh", "Bearer"}:
        raise OAuthRefusal("unsupported_token_type", "Unsupported token type")
    if claims is None or not _may_be_taken_back(state, client, claims):
        state.log(
            "REVOKE_GRANT_ERROR", error="invalid_token", client_id=client.client_id
        )
        # RFC 7009: an unknown token is no error. Keycloak says 200 and names it.
        body = {"error": "invalid_token", "error_description": "Invalid token"}
        return web.json_response(body, headers=NO_STORE)
    _take_back(state, client, claims)
    return web.Response(headers=NO_STORE)


def _grant(form: Form) -> Grant:
    if "grant_type" not in form:
        raise OAuthRefusal("invalid_request", "Missing form parameter: grant_type")
    if form["grant_type"] not in GRANTS:
        raise OAuthRefusal("unsupported_grant_type", "Unsupported grant_type")
    return GRANTS[form["grant_type"]]


def _decide(state: State, request: web.Request, form: Form, grant: Grant) -> Answer:
    client = authenticated(state, request, form)
    if form.is_repeated:
        raise OAuthRefusal("invalid_request", "duplicated parameter")
    call = Call(state=state, client=client, form=form, issuer=state.issuer(request))
    answer = grant.decide(call)
    sid = answer.get("session_state", "")
    session = state.sessions.live(sid, state.clock())
    sub = session.sub if session else None
    state.log(grant.success, sub=sub, client_id=client.client_id, sid=sid or None)
    return answer


def _may_be_taken_back(state: State, client: Client, claims: dict[str, Any]) -> bool:
    if claims["azp"] != client.client_id:
        raise OAuthRefusal("invalid_request", "Unmatching clients")
    session = state.sessions.live(claims.get("sid", ""), state.clock())
    return session is not None and client.client_id in session.clients


def _take_back(state: State, client: Client, claims: dict[str, Any]) -> None:
    if claims["typ"] == "Bearer":
        state.revoked[claims["jti"]] = claims["exp"]
    else:
        session = state.sessions.live(claims["sid"], state.clock())
        if session is not None:
            session.clients.pop(client.client_id, None)
            if not session.clients:
                state.sessions.forget(session.id)
    state.log(
        "REVOKE_GRANT",
        sub=claims["sub"],
        client_id=client.client_id,
        sid=claims.get("sid"),
    )
