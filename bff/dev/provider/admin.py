"""The Admin API's acts: who may call it, sessions, passwords, mails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bff.dev.provider import bearer, credentials
from bff.dev.provider.errors import AdminRefusal
from bff.dev.provider.model import Mail
from bff.dev.provider.state import STATE

if TYPE_CHECKING:
    from bff.dev.provider.accounts import Account
    from bff.dev.provider.state import State

ACTIONS = frozenset(
    {
        "CONFIGURE_TOTP",
        "TERMS_AND_CONDITIONS",
        "UPDATE_EMAIL",
        "UPDATE_PASSWORD",
        "UPDATE_PROFILE",
        "VERIFY_EMAIL",
        "VERIFY_PROFILE",
    }
)


def allowed(request: web.Request) -> State:
    """Return the state to a caller who may manage users."""
    state = request.app[STATE]
    if "manage-users" not in _caller_roles(state, request):
        raise AdminRefusal(403, {"error": "HTTP 403 Forbidden"})
    return state


def account_of(state: State, request: web.Request) -> Account:
    """Return the account that the path names."""
    account = state.accounts.get(request.match_info["id"])
    if account is None:
        raise AdminRefusal(404, {"error": "User not found"})
    return account


async def json_body(request: web.Request) -> Any:  # noqa: ANN401 -- JSON is what it is
    """Read the body as JSON."""
    try:
        return json.loads(await request.read())
    except ValueError as error:
        body = {
            "error": "invalid_request",
            "error_description": "Cannot parse the JSON",
        }
        raise AdminRefusal(400, body) from error


async def json_object(request: web.Request) -> dict[str, Any]:
    """Read the body as a JSON object."""
    body = await json_body(request)
    if not isinstance(body, dict):
        raise unreadable()
    return body


def unreadable() -> AdminRefusal:
    """Build the refusal of JSON that is not of the form expected."""
    body = {"error": "unknown_error", "error_description": "Cannot parse the JSON"}
    return AdminRefusal(400, body)


def known_actions(listed: Any) -> tuple[str, ...]:  # noqa: ANN401 -- JSON is what it is
    """Return what a body lists, if it is required actions and nothing else."""
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise unreadable()
    if not ACTIONS.issuperset(listed):
        raise AdminRefusal(400, {"errorMessage": "Provided invalid required actions"})
    return tuple(listed)


async def forbidden(request: web.Request) -> web.Response:
    """Refuse what `manage-users` does not include."""
    _caller_roles(request.app[STATE], request)
    raise AdminRefusal(403, {"error": "HTTP 403 Forbidden"})


async def describe(request: web.Request) -> web.Response:
    """Say the little about the realm that `manage-users` may know."""
    state = allowed(request)
    return web.json_response({"realm": state.realm.name})


async def end_sessions(request: web.Request) -> web.Response:
    """End every session of a user."""
    state = allowed(request)
    await state.end_all(account_of(state, request).id)
    return web.Response(status=204)


async def end_session(request: web.Request) -> web.Response:
    """End one session."""
    state = allowed(request)
    session = state.sessions.live(request.match_info["sid"], state.clock())
    if session is None:
        # The third s is Keycloak's.
        raise AdminRefusal(404, {"error": "Sesssion not found"})
    await state.end(session)
    return web.Response(status=204)


async def reset_password(request: web.Request) -> web.Response:
    """Set a user's password."""
    state = allowed(request)
    account = account_of(state, request)
    body = await json_object(request)
    password = body.get("value")
    if not isinstance(password, str) or not password:
        raise AdminRefusal(400, {"error": "No password provided"})
    broken = credentials.broken_policy(password, account.person.email, state.realm)
    if broken:
        key, sentence = broken
        raise AdminRefusal(400, {"error": key, "error_description": sentence})
    actions = set(account.person.required_actions) - {"UPDATE_PASSWORD"}
    if body.get("temporary"):
        actions.add("UPDATE_PASSWORD")
    state.accounts.change(
        account, password=password, required_actions=tuple(sorted(actions))
    )
    return web.Response(status=204)


async def mail_actions(request: web.Request) -> web.Response:
    """Ask a user by mail to do something."""
    state = allowed(request)
    account = account_of(state, request)
    return _mailed(state, account, known_actions(await json_body(request)))


async def mail_verification(request: web.Request) -> web.Response:
    """Ask a user by mail to prove the address."""
    state = allowed(request)
    return _mailed(state, account_of(state, request), ("VERIFY_EMAIL",))


def _mailed(state: State, account: Account, actions: tuple[str, ...]) -> web.Response:
    if not account.person.enabled:
        raise AdminRefusal(400, {"errorMessage": "User is disabled"})
    state.mails.append(Mail(to=account.person.email, actions=actions))
    return web.Response(status=204)


def _caller_roles(state: State, request: web.Request) -> frozenset[str]:
    token = bearer.given(request)
    claims = bearer.claims_of(state, token) if token else None
    if claims is None:
        raise AdminRefusal(401, {"error": "HTTP 401 Unauthorized"})
    management = claims.get("resource_access", {}).get("realm-management", {})
    return frozenset(management.get("roles", ()))
