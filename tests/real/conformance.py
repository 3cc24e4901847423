"""One face for both providers: the real Keycloak, and the one of ours."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from bff.dev.provider import Provider, serving
from tests.dev.test_provider_driver import Answer, Caller, claims
from tests.real.keycloak_realms import (
    BFF,
    PASSWORD,
    PEOPLE,
    PLAIN,
    PROVISIONER,
    ROTATE,
    clients,
)
from tests.real.listeners import LogoutListener

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.dev.provider import Realm
    from tests.real.keycloak import Keycloak

REALMS = {"plain": PLAIN, "rotate": ROTATE}
KINDS = [f"{who}-{realm}" for who in ("ours", "keycloak") for realm in REALMS]


@dataclass(kw_only=True)
class Side(Caller):
    """A provider under test; what only its administrator can do is a method."""

    realm: Realm
    client: str = BFF
    ours: Provider | None = None
    real: Keycloak | None = None
    token_of_provisioner: str = ""

    async def manage(self, method: str, path: str, **options: Any) -> Answer:
        """Call the Admin API as the client that may manage users."""
        headers = {"Authorization": f"Bearer {await self.provisioner()}"}
        return await self.ask(method, self.admin + path, headers=headers, **options)

    async def provisioner(self) -> str:
        """Return the access token of the client that may manage users."""
        if not self.token_of_provisioner:
            answer = await self.token("client_credentials", PROVISIONER)
            self.token_of_provisioner = answer.json["access_token"]
        return self.token_of_provisioner

    async def create(self, **changes: Any) -> Answer:
        """Create a user who may sign in at once."""
        email = f"user-{uuid.uuid4().hex[:12]}@new.test"
        body = {
            "username": email,
            "email": email,
            "enabled": True,
            "emailVerified": True,
            "credentials": [{"type": "password", "value": PASSWORD}],
            **changes,
        }
        return await self.manage("POST", "/users", json=body)

    async def somebody(self, **changes: Any) -> dict[str, Any]:
        """Return a new user, so that no test meets another one's failures."""
        created = await self.create(**changes)
        assert created.status == 201, created.text
        path = created.headers["Location"].removeprefix(self.admin)
        return dict((await self.manage("GET", path)).json)

    async def enable(self, user: dict[str, Any], *, enabled: bool) -> None:
        """Lock a user out, or let them in again."""
        body = {**user, "enabled": enabled}
        changed = await self.manage("PUT", f"/users/{user['id']}", json=body)
        assert changed.status == 204, changed.text

    async def push_not_before(self, moment: int) -> None:
        """Make all tokens of before that moment stale; 0 takes it back."""
        self.token_of_provisioner = ""
        if self.ours is not None:
            self.ours.not_before = moment
        else:
            await self.administrate("PUT", "", json={"notBefore": moment})

    async def rotate_keys(self) -> None:
        """Sign with a new key from now on."""
        if self.ours is not None:
            self.ours.rotate_keys()
            return
        realm = (await self.administrate("GET", "")).json["id"]
        body = {
            "name": "newer",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "parentId": realm,
            "config": {"priority": [str(uuid.uuid4().int % 10**6 + 200)]},
        }
        await self.administrate("POST", "/components", json=body)

    async def administrate(self, method: str, path: str, **options: Any) -> Answer:
        """Call the real Admin API as the bootstrap administrator."""
        assert self.real is not None
        name, password = self.real.admin
        form = {"client_id": "admin-cli", "grant_type": "password"}
        answer = await self.ask(
            "POST",
            f"{self.real.url}/realms/master/protocol/openid-connect/token",
            data={**form, "username": name, "password": password},
        )
        headers = {"Authorization": f"Bearer {answer.json['access_token']}"}
        done = await self.ask(method, self.admin + path, headers=headers, **options)
        assert done.status < 300, done.text
        return done

    async def tick(self) -> None:
        """Wait until the clock that tokens are stamped with shows another second."""
        await asyncio.sleep(1.05)

    def heard_of(self, sid: str) -> list[tuple[str, str]]:
        """List who was told of the end of a session, with the tokens."""
        return [one for one in self.logout_tokens if claims(one[1])["sid"] == sid]


@asynccontextmanager
async def running(kind: str, keycloak: Keycloak | None) -> AsyncGenerator[Side]:
    """Give the provider of this kind, with a browser of its own."""
    realm = REALMS[kind.rpartition("-")[2]]
    async with AsyncExitStack() as stack:
        ours, listener = None, keycloak.logouts if keycloak else LogoutListener()
        if keycloak is None:
            stack.callback(listener.stop)
            ours = Provider(realm, PEOPLE, clients(listener.url))
            issuer = await stack.enter_async_context(serving(ours))
        else:
            issuer = keycloak.issuer(realm)
        # Keycloak's cookies are Secure on loopback too, as browsers allow.
        jar = aiohttp.CookieJar(
            unsafe=True, treat_as_secure_origin=URL(issuer).origin()
        )
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
        yield Side(
            issuer=issuer,
            http=http,
            logout_tokens=listener.heard,
            realm=realm,
            ours=ours,
            real=keycloak,
        )
