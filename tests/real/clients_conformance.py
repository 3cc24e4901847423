"""One face for both Admin APIs of clients: the real Keycloak's, and the fake's."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from bff.config_identity import Auth
from bff.identity.clients import Clients, OdooClient
from bff.outbound import client_session
from tests.dev.test_provider_driver import Caller
from tests.fakes.keycloak_clients import KeycloakClients, serving
from tests.real import conformance
from tests.real.keycloak_realms import secret
from tests.world import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.dev.test_provider_driver import Answer
    from tests.real.conformance import Side
    from tests.real.keycloak import Keycloak

KINDS = ["fake", "keycloak"]
MANAGES = "manage-clients"
BASE = "https://acme.odoo.test"
CALLBACK = f"{BASE}/auth_oauth/signin"

# Provisioners of the real one, made when first asked for.
_made: dict[tuple[str, tuple[str, ...]], str] = {}


def wanted(**values: Any) -> OdooClient:
    """Return a client that nobody has asked for yet."""
    given = {
        "client_id": f"odoo-{uuid.uuid4().hex[:10]}",
        "name": "Odoo of Acme",
        "redirect_uris": (CALLBACK,),
        "base_url": BASE,
    }
    return OdooClient(**given | values)


@dataclass(kw_only=True)
class ClientsSide:
    """An Admin API under test, and somebody at its console."""

    caller: Caller
    http: aiohttp.ClientSession
    fake: KeycloakClients | None = None
    real: Side | None = None
    _token: str = ""

    async def provisioner(self, *roles: str) -> str:
        """Return the client whose service account has these roles."""
        if self.fake is not None:
            name = "-".join(("provisioner", *roles))
            if name not in self.fake.roles:
                self.fake.add(name, *roles, secret=secret(name))
            return name
        assert self.real is not None
        key = (self.caller.issuer, roles)
        if key not in _made:
            _made[key] = await _provisioner(self.real, roles)
        return _made[key]

    async def clients(self, *roles: str) -> Clients:
        """Return what is tested, with a provisioner of these roles."""
        name = await self.provisioner(*roles)
        auth = Auth.model_validate(
            {
                "issuer": self.caller.issuer,
                "timeout": 30,
                "provisioner_client_id": name,
                "provisioner_client_secret": secret(name),
            }
        )
        return Clients(auth, self.http, Clock())

    async def manage(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        roles: tuple[str, ...] = (),
    ) -> Answer:
        """Do something at the console, or as a client of other roles."""
        token = await self._bearer(roles or (MANAGES,))
        headers = {"Authorization": f"Bearer {token}"}
        url = self.caller.admin + path
        return await self.caller.ask(method, url, json=body, headers=headers)

    async def _bearer(self, roles: tuple[str, ...]) -> str:
        if roles == (MANAGES,) and self._token:
            return self._token
        name = await self.provisioner(*(one for one in roles if one))
        answer = await self.caller.token("client_credentials", name)
        token = str(answer.json["access_token"])
        self._token = token if roles == (MANAGES,) else self._token
        return token

    async def found(self, client_id: str) -> list[dict[str, Any]]:
        """Return the clients by this id."""
        answer = await self.manage("GET", f"/clients?clientId={client_id}")
        return list(answer.json)

    async def one(self, client_id: str) -> dict[str, Any]:
        """Return the client by this id, sets in order."""
        (one,) = await self.found(client_id)
        return {
            name: sorted(value) if isinstance(value, list) else value
            for name, value in one.items()
        }

    async def change(self, client_id: str, **values: Any) -> None:
        """Change a client at the console."""
        (one,) = await self.found(client_id)
        answer = await self.manage("PUT", f"/clients/{one['id']}", values)
        assert answer.status == 204, answer.text

    async def make(self, client_id: str, **values: Any) -> None:
        """Make a client at the console."""
        body = {"clientId": client_id, **values}
        answer = await self.manage("POST", "/clients", body)
        assert answer.status == 201, answer.text


async def _provisioner(side: Side, roles: tuple[str, ...]) -> str:
    name = f"provisioner-{uuid.uuid4().hex[:8]}"
    body = {
        "clientId": name,
        "secret": secret(name),
        "serviceAccountsEnabled": True,
        "standardFlowEnabled": False,
        "fullScopeAllowed": True,
    }
    made = await side.administrate("POST", "/clients", json=body)
    path = made.headers["Location"].removeprefix(side.admin)
    account = (await side.administrate("GET", f"{path}/service-account-user")).json
    query = "/clients?clientId=realm-management"
    ((management),) = (await side.administrate("GET", query)).json
    all_roles = (
        await side.administrate("GET", f"/clients/{management['id']}/roles")
    ).json
    given = [one for one in all_roles if one["name"] in roles]
    assert len(given) == len(roles)
    place = f"/users/{account['id']}/role-mappings/clients/{management['id']}"
    await side.administrate("POST", place, json=given)
    return name


@asynccontextmanager
async def running(kind: str, keycloak: Keycloak | None) -> AsyncGenerator[ClientsSide]:
    """Give the Admin API of this kind."""
    if kind == "fake":
        async with (
            serving(KeycloakClients()) as fake,
            aiohttp.ClientSession() as browser,
            client_session() as http,
        ):
            caller = Caller(issuer=fake.issuer, http=browser, logout_tokens=[])
            yield ClientsSide(caller=caller, http=http, fake=fake)
        return
    async with (
        conformance.running("keycloak-plain", keycloak) as side,
        client_session() as http,
    ):
        yield ClientsSide(caller=side, http=http, real=side)
