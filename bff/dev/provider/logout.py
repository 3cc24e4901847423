"""Signing out: asked for by a client, or by a person in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aiohttp import web

from bff.dev.provider import pages, sso
from bff.dev.provider.browser import parameters
from bff.dev.provider.client_auth import authenticated, claimed_client
from bff.dev.provider.errors import OAuthRefusal, PageRefusal
from bff.dev.provider.page_answers import page, redirect
from bff.dev.provider.refreshing import opened
from bff.dev.provider.state import STATE

if TYPE_CHECKING:
    from bff.dev.provider.client_auth import Form
    from bff.dev.provider.model import Client
    from bff.dev.provider.sessions import SsoSession
    from bff.dev.provider.state import State


async def logout(request: web.Request) -> web.Response:
    """End a session, whichever way it is asked for."""
    form = await parameters(request)
    if request.method == "POST" and "refresh_token" in form:
        return await _by_client(request, form)
    return await _by_browser(request, form)


async def confirm(request: web.Request) -> web.Response:
    """End the browser's session after its person has agreed."""
    state = request.app[STATE]
    content = state.keys.unsealed(request.query.get("session_code", ""))
    session = sso.current(state, request)
    if content is None or content.get("typ") != "LogoutConfirm":
        raise PageRefusal("Logout failed")
    if session is not None and session.id != content["sid"]:
        raise PageRefusal("Logout failed")
    return await _ended(state, session, content["location"])


async def _by_client(request: web.Request, form: Form) -> web.Response:
    state = request.app[STATE]
    try:
        client = authenticated(state, request, form)
        claims = opened(state, client, form["refresh_token"])
    except OAuthRefusal as refusal:
        claimed = claimed_client(request, form)
        state.log("LOGOUT_ERROR", error=refusal.reason, client_id=claimed)
        raise
    session = state.sessions.live(claims["sid"], state.clock())
    # A session that has ended already is no error: 204 again.
    if session is not None:
        # Keycloak tells every client, the one that asks included.
        await _end(state, session, client.client_id)
    return web.Response(status=204, headers={"Cache-Control": "no-store"})


async def _by_browser(request: web.Request, form: Form) -> web.Response:
    state = request.app[STATE]
    hint = _hint(state, form)
    client = _client(state, form, hint)
    location = _location(form, client)
    session = sso.current(state, request)
    hinted = state.sessions.live(hint["sid"], state.clock()) if hint else None
    if session is not None and (hint is None or hint["sid"] != session.id):
        # Anybody can send a browser here; only its person may say yes.
        return _confirmation(state, session, location)
    return await _ended(state, session or hinted, location)


def _hint(state: State, form: Form) -> dict[str, str] | None:
    if "id_token_hint" not in form:
        return None
    # Its age does not matter: it only says who is asking.
    claims = state.keys.verified(form["id_token_hint"])
    if claims is None or claims.get("typ") != "ID":
        raise PageRefusal("Invalid parameter: id_token_hint")
    return claims


def _client(state: State, form: Form, hint: dict[str, str] | None) -> Client | None:
    client_id = form.get("client_id") or (hint["azp"] if hint else None)
    if client_id is None:
        return None
    if hint and hint["azp"] != client_id:
        raise PageRefusal("Invalid parameter: client_id")
    return state.clients.get(client_id)


def _location(form: Form, client: Client | None) -> str:
    uri = form.get("post_logout_redirect_uri", "")
    if not uri:
        return ""
    if client is None:
        raise PageRefusal("Missing parameters: id_token_hint")
    if not client.may_return_to(uri):
        raise PageRefusal("Invalid redirect uri")
    echoed = {"state": form["state"]} if form.get("state") else {}
    return sso.with_query(uri, echoed)


def _confirmation(state: State, session: SsoSession, location: str) -> web.Response:
    content = {"typ": "LogoutConfirm", "sid": session.id, "location": location}
    query = urlencode({"session_code": state.keys.seal(content)})
    path = f"/realms/{state.realm.name}/protocol/openid-connect/logout/logout-confirm"
    text = pages.form_page(
        "Logging out",
        action=f"{path}?{query}",
        fields=(),
        button="Logout",
        form_id="kc-logout-confirm",
        text="Do you want to log out?",
    )
    return page(text)


async def _ended(
    state: State, session: SsoSession | None, location: str
) -> web.Response:
    if session is not None:
        await _end(state, session, None)
    if location:
        answer = redirect(location)
    else:
        answer = page(pages.message_page("Logout", "You are logged out"))
    sso.delete_cookie(state, answer)
    return answer


async def _end(state: State, session: SsoSession, client_id: str | None) -> None:
    state.log("LOGOUT", sub=session.sub, client_id=client_id, sid=session.id)
    await state.end(session)
