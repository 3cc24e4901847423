"""Signing in with a browser: the authorization endpoint and its form."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bff.dev.provider import authorization, credentials, pages, sso, tickets
from bff.dev.provider.client_auth import Form, read_form
from bff.dev.provider.credentials import Denial
from bff.dev.provider.errors import PageRefusal, RedirectRefusal
from bff.dev.provider.page_answers import page
from bff.dev.provider.registration import registration_form
from bff.dev.provider.required_actions import next_step
from bff.dev.provider.state import STATE

if TYPE_CHECKING:
    from aiohttp import web

    from bff.dev.provider.state import State
    from bff.dev.provider.tickets import Ticket

_TIMED_OUT = "Your login attempt timed out. Login will start from the beginning."
_DENIED = {
    Denial.DISABLED: "Account is disabled, contact your administrator.",
    Denial.CODE_MISSING: "Enter the code of your authenticator app as well.",
    Denial.CODE_WRONG: "Invalid authenticator code.",
}


async def authorize(request: web.Request) -> web.Response:
    """Send the browser back at once if it is known, else ask who it is."""
    state = request.app[STATE]
    asked = authorization.read(await parameters(request), state.clients)
    session = sso.current(state, request)
    known = (
        session if session and asked.accepts(session.auth_time, state.now()) else None
    )
    if known and not asked.prompts("login") and not asked.prompts("create"):
        # acr 0: nobody proved anything this time.
        return sso.admitted(state, request, known, asked, acr="0")
    if asked.prompts("none"):
        raise RedirectRefusal(asked.redirect_uri, asked.state, "login_required")
    ticket = tickets.begun(request, asked)
    if asked.prompts("create"):
        if not state.realm.registration:
            raise PageRefusal("Registration not allowed")
        return registration_form(state, ticket)
    return _login_form(state, ticket, email=asked.login_hint)


async def login(request: web.Request) -> web.Response:
    """Show the form again, as after a reload."""
    state = request.app[STATE]
    ticket = tickets.presented(state, request)
    return _login_form(state, ticket, email=ticket.asked.login_hint)


async def authenticate(request: web.Request) -> web.Response:
    """Check what was typed into the form."""
    state = request.app[STATE]
    ticket = tickets.presented(state, request)
    form = await read_form(request)
    email = form.get("username", "")
    if ticket.has_expired:
        return _login_form(state, ticket, email=email, error=_TIMED_OUT)
    account = state.accounts.find(email)
    denied = credentials.denial(
        account,
        form.get("password", ""),
        form.get("otp", ""),
        realm=state.realm,
        now=state.clock(),
    )
    if account is not None and denied in {None, Denial.UNFINISHED}:
        return next_step(state, request, replace(ticket, account=account))
    denied = denied or Denial.UNKNOWN
    state.log(
        "LOGIN_ERROR",
        error=denied.reason,
        sub=account.id if account else None,
        client_id=ticket.asked.client_id,
    )
    error = _DENIED.get(denied, "Invalid username or password.")
    return _login_form(state, ticket, email=email, error=error)


async def parameters(request: web.Request) -> Form:
    """Read the request's parameters from wherever its method carries them."""
    if request.method == "POST":
        return await read_form(request)
    form = Form()
    for name, value in request.query.items():
        form.is_repeated |= name in form
        form.setdefault(name, value)
    return form


def _login_form(
    state: State, ticket: Ticket, *, email: str, error: str = ""
) -> web.Response:
    text = pages.login_page(
        ticket.url(state, "authenticate"),
        email=email,
        register=(
            ticket.url(state, "registration") if state.realm.registration else None
        ),
        error=error,
    )
    return ticket.bind(state, page(text))
