"""The provider as a web application: every URL, and how refusals look."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from aiohttp import web

from bff.dev.provider import (
    admin,
    admin_users,
    browser,
    discovery,
    logout,
    pages,
    registration,
    required_actions,
    sso,
    token_endpoint,
)
from bff.dev.provider.errors import (
    AdminRefusal,
    OAuthRefusal,
    PageRefusal,
    RedirectRefusal,
)
from bff.dev.provider.page_answers import page, redirect
from bff.dev.provider.state import STATE, State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp.typedefs import Handler

    Refused = OAuthRefusal | AdminRefusal | RedirectRefusal | PageRefusal

_REALM = "/realms/{realm}"
_OIDC = f"{_REALM}/protocol/openid-connect"
_ACTIONS = f"{_REALM}/login-actions"
_ADMIN = "/admin/realms/{realm}"


async def _discovery(request: web.Request) -> web.Response:
    return web.json_response(
        discovery.document(request.app[STATE].issuer(request)),
        headers={"Cache-Control": "no-cache, must-revalidate, no-transform, no-store"},
    )


ROUTES = (
    web.get(f"{_REALM}/.well-known/openid-configuration", _discovery),
    web.get(f"{_OIDC}/auth", browser.authorize, allow_head=False),
    web.post(f"{_OIDC}/auth", browser.authorize),
    web.post(f"{_OIDC}/token", token_endpoint.token),
    web.get(f"{_OIDC}/certs", token_endpoint.certs),
    web.get(f"{_OIDC}/userinfo", token_endpoint.userinfo),
    web.post(f"{_OIDC}/userinfo", token_endpoint.userinfo),
    web.post(f"{_OIDC}/revoke", token_endpoint.revoke),
    web.get(f"{_OIDC}/logout", logout.logout, allow_head=False),
    web.post(f"{_OIDC}/logout", logout.logout),
    web.post(f"{_OIDC}/logout/logout-confirm", logout.confirm),
    web.get(f"{_ACTIONS}/authenticate", browser.login),
    web.post(f"{_ACTIONS}/authenticate", browser.authenticate),
    web.get(f"{_ACTIONS}/registration", registration.show),
    web.post(f"{_ACTIONS}/registration", registration.register),
    web.post(f"{_ACTIONS}/required-action", required_actions.perform),
    web.get(_ADMIN, admin.describe),
    web.get(f"{_ADMIN}/events", admin.forbidden),
    web.delete(f"{_ADMIN}/sessions/{{sid}}", admin.end_session),
    web.get(f"{_ADMIN}/users", admin_users.search),
    web.post(f"{_ADMIN}/users", admin_users.create),
    web.get(f"{_ADMIN}/users/{{id}}", admin_users.show),
    web.put(f"{_ADMIN}/users/{{id}}", admin_users.update),
    web.delete(f"{_ADMIN}/users/{{id}}", admin_users.delete),
    web.post(f"{_ADMIN}/users/{{id}}/logout", admin.end_sessions),
    web.put(f"{_ADMIN}/users/{{id}}/reset-password", admin.reset_password),
    web.put(f"{_ADMIN}/users/{{id}}/execute-actions-email", admin.mail_actions),
    web.put(f"{_ADMIN}/users/{{id}}/send-verify-email", admin.mail_verification),
)


def application(state: State) -> web.Application:
    """Build the application around a state."""
    app = web.Application(middlewares=[_checked_host, _intercepted, _answered])
    app[STATE] = state
    app.add_routes(ROUTES)
    app.cleanup_ctx.append(_backchannel)
    return app


def is_loopback(host: str) -> bool:
    """Tell whether a host name can only mean this machine."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


async def _backchannel(app: web.Application) -> AsyncGenerator[None]:
    yield
    await app[STATE].backchannel.close()


@web.middleware
async def _checked_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    # A page of the web that rebinds its name to 127.0.0.1 ends here.
    if not is_loopback(request.url.host or ""):
        return web.Response(status=421, text="This provider is for this machine only.")
    return await handler(request)


@web.middleware
async def _intercepted(request: web.Request, handler: Handler) -> web.StreamResponse:
    intercept = request.app[STATE].intercept
    instead = await intercept(request) if intercept else None
    return await handler(request) if instead is None else instead


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    state = request.app[STATE]
    try:
        _check_realm(state, request)
        return await handler(request)
    except (AdminRefusal, OAuthRefusal, PageRefusal, RedirectRefusal) as refusal:
        return _refused(state, request, refusal)
    except web.HTTPException as error:
        body = {"error": f"HTTP {error.status} {error.reason}"}
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return web.json_response(body, status=error.status, headers=allow)
    finally:
        # Before the answer leaves: what it promises must survive a restart.
        state.save()


def _check_realm(state: State, request: web.Request) -> None:
    if request.match_info.get("realm", state.realm.name) == state.realm.name:
        return
    if request.path.startswith("/admin/"):
        raise AdminRefusal(404, {"error": "Realm not found."})
    raise OAuthRefusal("Realm does not exist", status=404)


def _refused(state: State, request: web.Request, refusal: Refused) -> web.Response:
    match refusal:
        case OAuthRefusal():
            headers, status = dict(token_endpoint.NO_STORE), refusal.status
            if request.path.endswith("/userinfo"):
                headers["WWW-Authenticate"] = _challenge(state, refusal)
                return web.Response(status=status, headers=headers)
            return web.json_response(refusal.body, status=status, headers=headers)
        case AdminRefusal():
            return web.json_response(refusal.body, status=refusal.status)
        case RedirectRefusal():
            parameters = refusal.parameters | {"iss": state.issuer(request)}
            return redirect(sso.with_query(refusal.redirect_uri, parameters))
        case _:
            text = pages.message_page("We are sorry...", refusal.message)
            return page(text, status=refusal.status)


def _challenge(state: State, refusal: OAuthRefusal) -> str:
    if refusal.error == "invalid_request":  # no token at all
        return f'Bearer realm="{state.realm.name}"'
    return (
        f'Bearer realm="{state.realm.name}", error="{refusal.error}",'
        f' error_description="{refusal.description}"'
    )
