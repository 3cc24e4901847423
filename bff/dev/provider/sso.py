"""The browser's own session with the provider, and the way back to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from bff.dev.provider.codes import CodeGrant
from bff.dev.provider.page_answers import redirect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from bff.dev.provider.accounts import Account
    from bff.dev.provider.authorization import AuthorizationRequest
    from bff.dev.provider.sessions import SsoSession
    from bff.dev.provider.state import State

COOKIE = "KEYCLOAK_IDENTITY"


def current(state: State, request: web.Request) -> SsoSession | None:
    """Return the session that the browser's cookie names, while it is good."""
    claims = state.keys.unsealed(request.cookies.get(COOKIE, ""))
    if claims is None or claims.get("typ") != "Serialized-ID":
        return None
    session = state.sessions.live(claims["sid"], state.clock())
    account = state.live_account(session) if session else None
    return session if account is not None and account.person.enabled else None


def signed_in(
    state: State, request: web.Request, account: Account, asked: AuthorizationRequest
) -> web.Response:
    """Let a person in who has just proven who they are."""
    now = state.now()
    session = current(state, request)
    if session is None or session.sub != account.id:
        issuer = state.issuer(request)
        session = state.sessions.begin(account.id, issuer, now)
    session.auth_time = now
    answer = admitted(state, request, session, asked, acr="1")
    cookie = {"typ": "Serialized-ID", "sid": session.id, "sub": account.id, "iat": now}
    set_cookie(state, answer, COOKIE, state.keys.seal(cookie))
    return answer


def admitted(
    state: State,
    request: web.Request,
    session: SsoSession,
    asked: AuthorizationRequest,
    *,
    acr: str,
) -> web.Response:
    """Send the browser back to the client with a code."""
    now = state.now()
    session.join(asked.client_id, now)
    session.last_refresh = now
    state.codes.forget_expired(state.clock())
    code = state.codes.issue(
        CodeGrant(
            sid=session.id,
            client_id=asked.client_id,
            redirect_uri=asked.redirect_uri,
            challenge=asked.code_challenge,
            scope=asked.scope,
            nonce=asked.nonce,
            acr=acr,
            expires_at=state.clock() + state.realm.code_ttl,
        )
    )
    state.log("LOGIN", sub=session.sub, client_id=asked.client_id, sid=session.id)
    echoed = {} if asked.state is None else {"state": asked.state}
    parameters = {
        **echoed,
        "session_state": session.id,
        "iss": state.issuer(request),
        "code": code,
    }
    return redirect(with_query(asked.redirect_uri, parameters))


def with_query(uri: str, parameters: Mapping[str, str]) -> str:
    """Append parameters to a URI that may already have some."""
    separator = "&" if "?" in uri else "?"
    return f"{uri}{separator}{urlencode(parameters)}" if parameters else uri


def set_cookie(state: State, answer: web.Response, name: str, value: str) -> None:
    """Set a cookie that only this realm receives."""
    # Not Secure: this is http on loopback, and Safari would drop it.
    path = f"/realms/{state.realm.name}/"
    answer.set_cookie(name, value, path=path, httponly=True, samesite="Lax")


def delete_cookie(state: State, answer: web.Response) -> None:
    """Make the browser forget its session."""
    path = f"/realms/{state.realm.name}/"
    answer.del_cookie(COOKIE, path=path, httponly=True, samesite="Lax")
