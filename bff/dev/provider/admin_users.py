"""The Admin API's users: search, create, show, update, delete."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bff.dev.provider import credentials
from bff.dev.provider.admin import ACTIONS, account_of, allowed, json_object, unreadable
from bff.dev.provider.errors import AdminRefusal
from bff.dev.provider.model import Person
from bff.dev.provider.registration import is_email

if TYPE_CHECKING:
    from bff.dev.provider.accounts import Account
    from bff.dev.provider.state import State

_TENANT = re.compile(r"[0-9]{1,18}")
_KEY = "tenant_id"
_PAGE = 100


async def search(request: web.Request) -> web.Response:
    """List users whose address matches, fully or in part."""
    state = allowed(request)
    query = request.query
    wanted = query.get("email") or query.get("username") or query.get("search") or ""
    is_exact = query.get("exact") == "true"
    found = [one for one in state.accounts if _matches(one, wanted.lower(), is_exact)]
    first, most = _number(query.get("first"), 0), _number(query.get("max"), _PAGE)
    return web.json_response([_shown(one) for one in found[first : first + most]])


async def create(request: web.Request) -> web.Response:
    """Create a user; only `Location` says the id."""
    state = allowed(request)
    body = await json_object(request)
    email = _text(body, "email") or _text(body, "username")
    if not email:
        raise AdminRefusal(400, {"errorMessage": "User name is missing"})
    _check_email(email)
    if state.accounts.find(email):
        raise AdminRefusal(409, {"errorMessage": "User exists with same email"})
    password, is_temporary = _password(state, body, email)
    actions = _actions(body, ())
    if is_temporary and "UPDATE_PASSWORD" not in actions:
        actions = (*actions, "UPDATE_PASSWORD")
    person = Person(
        email=email.lower(),
        password=password,
        tenant_id=_tenant(body),
        first_name=_text(body, "firstName"),
        last_name=_text(body, "lastName"),
        enabled=bool(body.get("enabled", False)),
        email_verified=bool(body.get("emailVerified", False)),
        required_actions=actions,
    )
    account = state.accounts.add(person, state.clock())
    base = state.issuer(request).replace("/realms/", "/admin/realms/")
    return web.Response(status=201, headers={"Location": f"{base}/users/{account.id}"})


async def show(request: web.Request) -> web.Response:
    """Show one user."""
    state = allowed(request)
    return web.json_response(_shown(account_of(state, request)))


async def update(request: web.Request) -> web.Response:
    """Change a user; with attributes in the body, what it leaves out is gone."""
    state = allowed(request)
    account = account_of(state, request)
    body = await json_object(request)
    person = account.person
    email = _text(body, "email") or person.email
    _check_email(email)
    other = state.accounts.find(email)
    if other is not None and other is not account:
        raise AdminRefusal(409, {"errorMessage": "User exists with same email"})
    kept = person if body.get("attributes") is None else None
    state.accounts.change(
        account,
        email=email.lower(),
        first_name=_text(body, "firstName") or (kept.first_name if kept else ""),
        last_name=_text(body, "lastName") or (kept.last_name if kept else ""),
        tenant_id=kept.tenant_id if kept else _tenant(body),
        enabled=bool(body.get("enabled", person.enabled)),
        email_verified=bool(body.get("emailVerified", person.email_verified)),
        required_actions=_actions(body, person.required_actions),
    )
    return web.Response(status=204)


async def delete(request: web.Request) -> web.Response:
    """Delete a user; the sessions go with them, unannounced."""
    state = allowed(request)
    account = account_of(state, request)
    state.accounts.remove(account)
    for session in state.sessions.of(account.id):
        state.sessions.forget(session.id)
    return web.Response(status=204)


def _matches(account: Account, wanted: str, is_exact: bool) -> bool:  # noqa: FBT001 -- a query parameter handed on
    email = account.person.email.lower()
    return not wanted or (email == wanted if is_exact else wanted in email)


def _shown(account: Account) -> dict[str, Any]:
    person = account.person
    tenant = person.tenant_id
    attributes = {} if tenant is None else {"attributes": {"tenant_id": [str(tenant)]}}
    names = {"firstName": person.first_name, "lastName": person.last_name}
    return {
        "id": account.id,
        "username": person.email.lower(),
        **{key: name for key, name in names.items() if name},
        "email": person.email,
        "emailVerified": person.email_verified,
        **attributes,
        "enabled": person.enabled,
        "createdTimestamp": int(account.created_at * 1000),
        "totp": person.totp_secret is not None,
        "disableableCredentialTypes": [],
        "requiredActions": list(person.required_actions),
        "notBefore": 0,
        "access": {"manage": True},
    }


def _password(state: State, body: dict[str, Any], email: str) -> tuple[str, bool]:
    given = [one for one in _list(body, "credentials") if isinstance(one, dict)]
    found = next(
        (one for one in given if one.get("type", "password") == "password"), None
    )
    if found is None:
        # Without one nobody gets in: no form accepts an empty password.
        return "", False
    password = _text(found, "value")
    broken = credentials.broken_policy(password, email, state.realm)
    if broken:
        key, sentence = broken
        raise AdminRefusal(400, {"error": key, "error_description": sentence})
    return password, bool(found.get("temporary", False))


def _tenant(body: dict[str, Any]) -> int | None:
    # Attributes nobody declared are dropped in silence, like Keycloak does.
    attributes = body.get("attributes") or {}
    values = attributes.get(_KEY) if isinstance(attributes, dict) else None
    value = values[0] if isinstance(values, list) and values else values
    if not value:
        return None
    if _TENANT.fullmatch(str(value)) is None:
        problem = {"field": _KEY, "errorMessage": "tenant_id must be a number"}
        raise AdminRefusal(400, problem)
    return int(value)


def _actions(body: dict[str, Any], otherwise: tuple[str, ...]) -> tuple[str, ...]:
    # Only mails refuse an action that nobody knows; here it is dropped in silence.
    if body.get("requiredActions") is None:
        return otherwise
    listed = _list(body, "requiredActions")
    if not all(isinstance(one, str) for one in listed):
        raise unreadable()
    return tuple(one for one in listed if one in ACTIONS)


def _list(body: dict[str, Any], name: str) -> list[Any]:
    listed = body.get(name)
    if listed is not None and not isinstance(listed, list):
        raise unreadable()
    return listed or []


def _check_email(email: str) -> None:
    if not is_email(email):
        problem = {"field": "email", "errorMessage": "error-invalid-email"}
        raise AdminRefusal(400, problem)


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    return value.strip() if isinstance(value, str) else ""


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdecimal() else otherwise
