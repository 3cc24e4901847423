"""Opening an account with a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from bff.dev.provider import credentials, pages, tickets
from bff.dev.provider.client_auth import Form, read_form
from bff.dev.provider.errors import PageRefusal
from bff.dev.provider.model import Person
from bff.dev.provider.page_answers import page
from bff.dev.provider.required_actions import next_step
from bff.dev.provider.state import STATE

if TYPE_CHECKING:
    from aiohttp import web

    from bff.dev.provider.state import State
    from bff.dev.provider.tickets import Ticket

_EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+")
_LONGEST = 255


async def show(request: web.Request) -> web.Response:
    """Show the form."""
    state = request.app[STATE]
    return registration_form(state, _ticket(state, request))


async def register(request: web.Request) -> web.Response:
    """Open the account and go on as after a sign-in."""
    state = request.app[STATE]
    ticket = _ticket(state, request)
    form = await read_form(request)
    problem = _problem(state, form)
    if problem:
        client_id = ticket.asked.client_id
        state.log("REGISTER_ERROR", error="invalid_registration", client_id=client_id)
        return registration_form(state, ticket, form, error=problem)
    person = Person(
        email=form["email"].strip().lower(),
        password=form["password"],
        first_name=form.get("firstName", "").strip(),
        last_name=form.get("lastName", "").strip(),
        # Nobody has proven the address, whether the realm asks for that or not.
        email_verified=False,
    )
    account = state.accounts.add(person, state.clock())
    state.log("REGISTER", sub=account.id, client_id=ticket.asked.client_id)
    return next_step(state, request, replace(ticket, account=account))


def registration_form(
    state: State, ticket: Ticket, form: Form | None = None, *, error: str = ""
) -> web.Response:
    """Draw the form with what was typed so far, passwords aside."""
    typed = form or {"email": ticket.asked.login_hint}
    text = pages.register_page(
        ticket.url(state, "registration"),
        first=typed.get("firstName", ""),
        last=typed.get("lastName", ""),
        email=typed.get("email", ""),
        login=ticket.url(state, "authenticate"),
        error=error,
    )
    return ticket.bind(state, page(text))


def is_email(text: str) -> bool:
    """Tell whether this looks like an address."""
    return len(text) <= _LONGEST and _EMAIL.fullmatch(text) is not None


def _ticket(state: State, request: web.Request) -> Ticket:
    if not state.realm.registration:
        raise PageRefusal("Registration not allowed")
    return tickets.presented(state, request)


def _problem(state: State, form: Form) -> str:
    # Names are not asked for: our realm's user profile does not require them.
    if any(len(form.get(one, "")) > _LONGEST for one in ("firstName", "lastName")):
        return f"Length must be at most {_LONGEST}."
    email = form.get("email", "").strip()
    if not is_email(email):
        return "Invalid email address."
    password = form.get("password", "")
    broken = credentials.broken_policy(password, email, state.realm)
    if broken:
        return broken[1]
    if password != form.get("password-confirm", ""):
        return "Passwords don't match."
    return "Email already exists." if state.accounts.find(email) else ""
