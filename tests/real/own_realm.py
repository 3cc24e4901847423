"""Realms in the real Keycloak that are seen through a relay, one of each kind."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.real.conformance import Side
from tests.real.keycloak_import import representation
from tests.real.keycloak_realms import BFF, PLAIN, ROTATE
from tests.real.relay import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.dev.provider import Realm
    from tests.dev.test_provider_driver import Answer
    from tests.real.keycloak import Keycloak

# Made when first asked for: an import takes seconds on a busy machine. By Keycloak,
# rotation and lifespan.
_made: dict[tuple[str, bool, int], Realm] = {}


@dataclass
class OwnRealm:
    """Its administrator's side, and the issuer that gateways are given."""

    keycloak: Keycloak
    side: Side
    relay: Relay
    _token: str = field(default="", repr=False)

    @property
    def issuer(self) -> str:
        """What its tokens say: the relay's address."""
        return f"{self.relay.url}/realms/{self.side.realm.name}"

    async def person(self, tenant: int = 1001) -> dict[str, Any]:
        """Make a person who may sign in."""
        return await self.side.somebody(attributes={"tenant_id": [str(tenant)]})

    async def renewals(self, user: dict[str, Any]) -> int:
        """Count the accepted renewals of a person's tokens."""
        query = f"/events?type=REFRESH_TOKEN&user={user['id']}&max=100"
        return len((await self.administrate("GET", query)).json)

    async def refusals(self) -> int:
        """Count refused renewals of anybody: some are noted without a person."""
        query = "/events?type=REFRESH_TOKEN_ERROR&max=100"
        return len((await self.administrate("GET", query)).json)

    async def end_sessions(self, user: dict[str, Any]) -> None:
        """End a person's sessions as an administrator does."""
        await self.administrate("POST", f"/users/{user['id']}/logout")

    async def tell_of_logouts(self, url: str) -> None:
        """Have Keycloak's back channel call *url*."""
        (client,) = (await self.administrate("GET", f"/clients?clientId={BFF}")).json
        client["attributes"]["backchannel.logout.url"] = url
        await self.administrate("PUT", f"/clients/{client['id']}", json=client)

    async def administrate(
        self, method: str, path: str, *, realm: str | None = None, **options: Any
    ) -> Answer:
        """Call the Admin API; signing in for each call would take longer."""
        place = self.side.realm.name if realm is None else realm
        url = f"{self.keycloak.url}/admin/realms{place and '/'}{place}{path}"
        done = await self._ask(method, url, options)
        if done.status == 401:  # no token yet, or one too old
            self._token = await self._sign_in()
            done = await self._ask(method, url, options)
        assert done.status < 300, done.text
        return done

    async def _ask(self, method: str, url: str, options: dict[str, Any]) -> Answer:
        headers = {"Authorization": f"Bearer {self._token}"}
        return await self.side.ask(method, url, headers=headers, **options)

    async def _sign_in(self) -> str:
        name, password = self.keycloak.admin
        answer = await self.side.ask(
            "POST",
            f"{self.keycloak.url}/realms/master/protocol/openid-connect/token",
            data={
                "client_id": "admin-cli",
                "grant_type": "password",
                "username": name,
                "password": password,
            },
        )
        return str(answer.json["access_token"])

    async def prepare(self) -> None:
        """Have tokens and discovery name the relay; forget what was noted before."""
        attributes = (await self.administrate("GET", "")).json["attributes"]
        body = {"attributes": {**attributes, "frontendUrl": self.relay.url}}
        await self.administrate("PUT", "", json=body)
        await self.administrate("DELETE", "/events")


@asynccontextmanager
async def own_realm(
    keycloak: Keycloak, *, rotate: bool, access_ttl: int = 60
) -> AsyncGenerator[OwnRealm]:
    """Give the realm of this kind, and a relay in front of it."""
    kind = (keycloak.url, rotate, access_ttl)
    name = f"own-{uuid.uuid4().hex[:8]}"
    fresh = replace(ROTATE if rotate else PLAIN, name=name, access_ttl=access_ttl)
    realm = _made.get(kind, fresh)
    async with (
        Relay(keycloak.url).running() as relay,
        aiohttp.ClientSession() as http,
    ):
        side = Side(
            issuer=keycloak.issuer(realm),
            http=http,
            logout_tokens=[],
            realm=realm,
            real=keycloak,
        )
        own = OwnRealm(keycloak, side, relay)
        if kind not in _made:
            body = representation(realm, keycloak.logouts.url)
            await own.administrate("POST", "", realm="", json=body)
            _made[kind] = realm
        await own.prepare()
        yield own
