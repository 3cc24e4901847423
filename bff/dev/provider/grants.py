"""The grants of the token endpoint, each decided without a pause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bff.dev.provider import credentials, issuance, pkce
from bff.dev.provider.claims import Occasion
from bff.dev.provider.codes import detach_replayed
from bff.dev.provider.credentials import Denial
from bff.dev.provider.errors import OAuthRefusal
from bff.dev.provider.refreshing import refreshed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bff.dev.provider.codes import CodeGrant
    from bff.dev.provider.model import Client
    from bff.dev.provider.state import State

Answer = dict[str, Any]

_DENIED = {
    Denial.DISABLED: "Account disabled",
    Denial.UNFINISHED: "Account is not fully set up",
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of an authenticated client."""

    state: State
    client: Client
    form: Mapping[str, str]
    issuer: str


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A grant and what the event log calls its success and its failure."""

    decide: Callable[[Call], Answer]
    success: str
    failure: str


def password(call: Call) -> Answer:
    """Sign somebody in by password, and by one-time code if they have one."""
    state, form = call.state, call.form
    if not call.client.direct_grant:
        sentence = "Client not allowed for direct access grants"
        raise OAuthRefusal("unauthorized_client", sentence, reason="not_allowed")
    scope = issuance.granted_scope(form.get("scope"))
    if "username" not in form:
        sentence = "Missing parameter: username"
        raise OAuthRefusal(
            "invalid_request", sentence, status=401, reason="user_not_found"
        )
    account = state.accounts.find(form["username"])
    denied = credentials.denial(
        account,
        form.get("password", ""),
        form.get("otp") or form.get("totp") or "",
        realm=state.realm,
        now=state.clock(),
    )
    if denied or account is None:
        denied = denied or Denial.UNKNOWN
        sentence = _DENIED.get(denied, "Invalid user credentials")
        sub = account.id if account else None
        raise OAuthRefusal("invalid_grant", sentence, reason=denied.reason, sub=sub)
    now = state.now()
    session = state.sessions.begin(account.id, call.issuer, now)
    session.join(call.client.client_id, now)
    occasion = Occasion(
        realm=state.realm,
        account=account,
        client=call.client,
        session=session,
        scope=scope,
        now=now,
    )
    return issuance.tokens(state, occasion)


def authorization_code(call: Call) -> Answer:
    """Exchange a code; whatever goes wrong, the code is spent."""
    state, form = call.state, call.form
    if "code" not in form:
        sentence = "Missing parameter: code"
        raise OAuthRefusal("invalid_request", sentence, reason="invalid_code")
    code = form["code"]
    grant = state.codes.take(code, state.clock())
    if grant is None:
        detach_replayed(code, state.sessions, state.clock())
        raise OAuthRefusal("invalid_grant", "Code not valid", reason="invalid_code")
    occasion = _signed_in(call, grant)
    if form.get("redirect_uri") != grant.redirect_uri:
        sentence = "Incorrect redirect_uri"
        raise OAuthRefusal("invalid_grant", sentence, reason="invalid_code")
    if call.client.client_id != grant.client_id:
        sentence = "Auth error: Found different client_id in clientSession"
        raise OAuthRefusal("invalid_grant", sentence, reason="invalid_code")
    pkce.check(form.get("code_verifier"), grant.challenge)
    return issuance.tokens(state, occasion)


def refresh_token(call: Call) -> Answer:
    """Continue a session."""
    if "refresh_token" not in call.form:
        sentence = "No refresh token"
        raise OAuthRefusal("invalid_request", sentence, reason="invalid_token")
    return refreshed(call.state, call.client, call.form["refresh_token"])


def client_credentials(call: Call) -> Answer:
    """Let a client act for itself."""
    if not call.client.service_account:
        sentence = "Client not enabled to retrieve service account"
        raise OAuthRefusal("unauthorized_client", sentence, status=401)
    issuance.granted_scope(call.form.get("scope"))
    return issuance.service_token(call.state, call.client, call.issuer)


def _signed_in(call: Call, grant: CodeGrant) -> Occasion:
    state = call.state
    session = state.sessions.live(grant.sid, state.clock())
    account = state.live_account(session) if session else None
    if session is None or account is None:
        sentence = "Session not active"
        raise OAuthRefusal("invalid_grant", sentence, reason="user_session_not_found")
    if not account.person.enabled:
        raise OAuthRefusal("invalid_grant", "User disabled", reason="user_disabled")
    if grant.client_id not in session.clients:
        raise OAuthRefusal("invalid_grant", "Code not valid", reason="invalid_code")
    return Occasion(
        realm=state.realm,
        account=account,
        client=call.client,
        session=session,
        scope=grant.scope,
        now=state.now(),
        kind="onrtac",
        acr=grant.acr,
        nonce=grant.nonce,
    )


GRANTS = {
    "password": Grant(decide=password, success="LOGIN", failure="LOGIN_ERROR"),
    "authorization_code": Grant(
        decide=authorization_code,
        success="CODE_TO_TOKEN",
        failure="CODE_TO_TOKEN_ERROR",
    ),
    "refresh_token": Grant(
        decide=refresh_token, success="REFRESH_TOKEN", failure="REFRESH_TOKEN_ERROR"
    ),
    "client_credentials": Grant(
        decide=client_credentials, success="CLIENT_LOGIN", failure="CLIENT_LOGIN_ERROR"
    ),
}
