"""Keycloak's Admin API for clients, as far as we use it, and what may go wrong there.

Measured on 26.7.1; `tests/real/test_clients_conformance.py` asserts that both answer
alike. `masking` does what 26.8 announces for those who may only view.
"""

from __future__ import annotations

import json
import secrets
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

REALM = "nexius"
MASKED = "*" * 10
COLUMN = 255
MANAGES = "manage-clients"
VIEWING = {MANAGES, "view-clients"}
NEW: dict[str, Any] = {
    "surrogateAuthRequired": False,
    "enabled": True,
    "alwaysDisplayInConsole": False,
    "clientAuthenticatorType": "client-secret",
    "redirectUris": [],
    "webOrigins": [],
    "notBefore": 0,
    "bearerOnly": False,
    "consentRequired": False,
    "standardFlowEnabled": True,
    "implicitFlowEnabled": False,
    "directAccessGrantsEnabled": False,
    "serviceAccountsEnabled": False,
    "publicClient": False,
    "frontchannelLogout": False,
    "protocol": "openid-connect",
    "attributes": {},
    "authenticationFlowBindingOverrides": {},
    "fullScopeAllowed": True,
    "nodeReRegistrationTimeout": -1,
    "defaultClientScopes": ["web-origins", "acr", "profile", "roles", "basic", "email"],
    "optionalClientScopes": ["address", "phone", "offline_access"],
}
OTHERS = {"clientId", "name", "baseUrl", "secret", "authorizationServicesEnabled"}

Handler: TypeAlias = "Callable[[web.Request], Awaitable[web.StreamResponse]]"
# None lets the call pass.
Act: TypeAlias = "Callable[[web.Request], Awaitable[web.StreamResponse | None]]"


@dataclass
class KeycloakClients:
    """A realm's clients; what is done to calls can be set at any time."""

    issuer: str = ""
    # By Keycloak's own id.
    clients: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Of realm-management, by the client whose service account has them.
    roles: dict[str, set[str]] = field(default_factory=dict)
    masking: bool = False
    asked: list[str] = field(default_factory=list)
    written: list[dict[str, Any]] = field(default_factory=list)
    # Called before a call is carried out, and before its answer goes back.
    before: Act | None = None
    after: Act | None = None

    def add(self, client_id: str, *roles: str, **values: Any) -> dict[str, Any]:
        """Have a client from the start, with these roles."""
        self.roles[client_id] = set(roles)
        return self._make({"clientId": client_id, **values})

    def find(self, client_id: str) -> list[dict[str, Any]]:
        """Return the clients by this id: one, or none."""
        return [one for one in self.clients.values() if one["clientId"] == client_id]

    def _make(self, body: dict[str, Any]) -> dict[str, Any]:
        made = {**json.loads(json.dumps(NEW)), "id": str(uuid.uuid4())}
        made["attributes"] = {"realm_client": "false"}
        self.clients[made["id"]] = made
        _set(made, body)
        return made

    async def token(self, request: web.Request) -> web.Response:
        """Give a service account its token: its name."""
        form = await request.post()
        known = self.find(str(form.get("client_id")))
        if not known or known[0].get("secret") != form.get("client_secret"):
            return _error(401, "unauthorized_client")
        said = {"access_token": known[0]["clientId"], "expires_in": 60}
        return web.json_response(said)

    async def list(self, request: web.Request) -> web.Response:
        """Show the client of this id, to those who may see clients."""
        roles = self._roles(request)
        found = self.find(request.query["clientId"]) if roles & VIEWING else []
        return web.json_response([self._shown(one, roles) for one in found])

    async def create(self, request: web.Request) -> web.Response:
        """Make a client."""
        body = await request.json()
        self.written.append(body)
        if refusal := _refusal(body):
            return refusal
        if self.find(body["clientId"]):
            said = f"Client {body['clientId']} already exists"
            return web.json_response({"errorMessage": said}, status=409)
        location = f"{request.url}/{self._make(body)['id']}"
        return web.Response(status=201, headers={"Location": location})

    async def update(self, request: web.Request) -> web.Response:
        """Write what is named."""
        one, body = self.clients[request.match_info["id"]], await request.json()
        self.written.append(body)
        if refusal := _refusal(body):
            return refusal
        _set(one, {"authorizationServicesEnabled": None, **body})
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a client."""
        del self.clients[request.match_info["id"]]
        return web.Response(status=204)

    async def secret(self, request: web.Request) -> web.Response:
        """Show its secret, or make another."""
        one = self.clients[request.match_info["id"]]
        if request.method == "POST":
            one["secret"] = secrets.token_urlsafe(32)
        shown = self._shown(one, self._roles(request)).get("secret")
        said = {"type": "secret"} | ({} if shown is None else {"value": shown})
        return web.json_response(said)

    @web.middleware
    async def judge(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note the call, and let it through to whom it is allowed."""
        self.asked.append(f"{request.method} {request.path.rpartition('/')[2]}")
        if self.before and (instead := await self.before(request)) is not None:
            return instead
        done = self._refused(request) or await handler(request)
        if self.after and (instead := await self.after(request)) is not None:
            return instead
        return done

    def _refused(self, request: web.Request) -> web.Response | None:
        if request.path.endswith("/token"):
            return None
        if self._bearer(request) not in self.roles:
            return _error(401, "HTTP 401 Unauthorized")
        client, roles = request.match_info.get("id"), self._roles(request)
        needed = VIEWING if request.method == "GET" else {MANAGES}
        lists = request.method == "GET" and client is None
        if not roles & (needed | {"query-clients"} if lists else needed):
            return _error(403, "HTTP 403 Forbidden")
        if client is not None and client not in self.clients:
            return _error(404, "Could not find client")
        return None

    def _bearer(self, request: web.Request) -> str:
        return request.headers.get("Authorization", "").removeprefix("Bearer ")

    def _roles(self, request: web.Request) -> set[str]:
        return self.roles[self._bearer(request)]

    def _shown(self, one: dict[str, Any], roles: set[str]) -> dict[str, Any]:
        manages = MANAGES in roles
        access = {"view": True, "configure": manages, "manage": manages}
        masked = self.masking and not manages and "secret" in one
        return {**one, "access": access, **({"secret": MASKED} if masked else {})}


def _set(one: dict[str, Any], body: dict[str, Any]) -> None:
    """Write what is named, with what Keycloak does along with it."""
    attributes = {**one["attributes"], **body.get("attributes", {})}
    one.update(body)
    one["attributes"] = {name: said for name, said in attributes.items() if said}
    if "webOrigins" not in body and not one["webOrigins"]:
        places = (urlsplit(uri) for uri in one["redirectUris"])
        one["webOrigins"] = sorted({f"{at.scheme}://{at.netloc}" for at in places})
    if not one.get("authorizationServicesEnabled"):
        one.pop("authorizationServicesEnabled", None)
    if one["publicClient"]:
        one.pop("secret", None)
    else:
        one.setdefault("secret", secrets.token_urlsafe(32))


def _refusal(body: dict[str, Any]) -> web.Response | None:
    if unknown := set(body) - set(NEW) - OTHERS:
        said = f'Unrecognized field "{min(unknown)}"'
        return _error(
            400, f"Invalid json representation for ClientRepresentation. {said}"
        )
    if any("#" in uri for uri in body.get("redirectUris", ())):
        return _invalid("A redirect URI must not contain an URL fragment")
    sized = (body.get("name"), body.get("clientId"), *body.get("redirectUris", ()))
    if any(len(one or "") > COLUMN for one in sized):
        return _error(500, "unknown_error")
    if not urlsplit(body.get("baseUrl", "http://a.test")).netloc:
        return _invalid("Base URL is not a valid URL")
    return None


def _invalid(said: str) -> web.Response:
    body = {"error": "invalid_input", "error_description": said}
    return web.json_response(body, status=400)


def _error(status: int, said: str) -> web.Response:
    return web.json_response({"error": said}, status=status)


@asynccontextmanager
async def serving(fake: KeycloakClients) -> AsyncGenerator[KeycloakClients]:
    """Serve on a free port; its issuer says where."""
    app = web.Application(middlewares=[fake.judge])
    admin = f"/admin/realms/{REALM}/clients"
    app.add_routes(
        [
            web.post(f"/realms/{REALM}/protocol/openid-connect/token", fake.token),
            web.get(admin, fake.list),
            web.post(admin, fake.create),
            web.put(f"{admin}/{{id}}", fake.update),
            web.delete(f"{admin}/{{id}}", fake.delete),
            web.get(f"{admin}/{{id}}/client-secret", fake.secret),
            web.post(f"{admin}/{{id}}/client-secret", fake.secret),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}/realms/{REALM}"
    try:
        yield fake
    finally:
        await runner.cleanup()
