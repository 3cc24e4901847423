"""What a person must still do between the right password and the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff.dev.provider import credentials, pages, sso, tickets
from bff.dev.provider.client_auth import read_form
from bff.dev.provider.errors import PageRefusal
from bff.dev.provider.page_answers import page
from bff.dev.provider.state import STATE

if TYPE_CHECKING:
    from aiohttp import web

    from bff.dev.provider.accounts import Account
    from bff.dev.provider.state import State
    from bff.dev.provider.tickets import Ticket

_EXPLAINED = {
    "VERIFY_EMAIL": (
        "You need to verify your email address to activate your account."
        " No mail is sent here; this button stands for the link in it."
    ),
}


def next_step(state: State, request: web.Request, ticket: Ticket) -> web.Response:
    """Show what is left to do, or let the person in when nothing is."""
    account = _account(ticket)
    actions = credentials.open_actions(account.person, state.realm)
    if not actions:
        return sso.signed_in(state, request, account, ticket.asked)
    return _form(state, ticket, actions[0])


async def perform(request: web.Request) -> web.Response:
    """Do the first thing that is left."""
    state = request.app[STATE]
    ticket = tickets.presented(state, request)
    form = await read_form(request)
    account = _account(ticket)
    if ticket.has_expired or not account.person.enabled:
        raise PageRefusal("Page has expired. To restart the login process go back.")
    actions = credentials.open_actions(account.person, state.realm)
    if not actions:
        return next_step(state, request, ticket)
    if actions[0] == "UPDATE_PASSWORD":
        password = form.get("password-new", "")
        error = _password_problem(
            state, account, password, form.get("password-confirm", "")
        )
        if error:
            return _form(state, ticket, actions[0], error=error)
        state.accounts.change(account, password=password)
    if actions[0] == "VERIFY_EMAIL":
        state.accounts.change(account, email_verified=True)
    left = tuple(one for one in account.person.required_actions if one != actions[0])
    state.accounts.change(account, required_actions=left)
    return next_step(state, request, ticket)


def _account(ticket: Ticket) -> Account:
    if ticket.account is None:
        raise PageRefusal("Page has expired. To restart the login process go back.")
    return ticket.account


def _form(
    state: State, ticket: Ticket, action: str, *, error: str = ""
) -> web.Response:
    url = ticket.url(state, "required-action")
    if action == "UPDATE_PASSWORD":
        text = pages.update_password_page(url, error=error)
    else:
        text = pages.form_page(
            "Account action required",
            action=url,
            fields=(),
            button="Continue",
            form_id="kc-required-action-form",
            text=_EXPLAINED.get(action, f"Still to do: {action}."),
        )
    return ticket.bind(state, page(text))


def _password_problem(
    state: State, account: Account, password: str, repeated: str
) -> str:
    broken = credentials.broken_policy(password, account.person.email, state.realm)
    if broken:
        return broken[1]
    return "" if password == repeated else "Passwords don't match."
