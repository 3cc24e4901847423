"""Make and repair the clients by which tenants' Odoo signs people in, by the Admin API.

Each call looks first and writes only what differs, so that it may be broken off
anywhere and run again, also by several at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from bff.identity.admin_api import AdminApi, CallRefused
from bff.identity.client_settings import (
    AT_FIRST,
    ATTRIBUTES,
    LONGEST,
    MARKER,
    SETTINGS,
    attributes_of,
    check_exact,
    differing,
    with_redirect,
)
from bff.identity.messages import ProviderUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import aiohttp

    from bff.config_identity import Auth
    from bff.identity.admin_api import Answer
    from bff.identity.client_settings import Representation

# One look finds it missing, one wrong, one right; others may write meanwhile.
LOOKS = 5
# Of a write: done; somebody wrote at the same instant; somebody deleted it. The next
# look tells.
WRITTEN = (204, 409, 404)


class ClientTrouble(Exception):
    """Tell what is wrong with a client; another try would find the same."""


class ClientNotOurs(ClientTrouble):
    """Tell that somebody else made the client; nothing was changed."""

    def __init__(self, client_id: str) -> None:
        super().__init__(f"the client {client_id!r} was not made by us")


class ClientMissing(ClientTrouble):
    """Tell that there is no such client."""

    def __init__(self, client_id: str) -> None:
        super().__init__(f"there is no client {client_id!r} at the provider")


class ClientNotKept(ClientTrouble):
    """Tell that the provider, or somebody there, does not leave what we write."""

    def __init__(self, client_id: str, names: Collection[str]) -> None:
        what = ", ".join(sorted(names)) or "the client itself"
        super().__init__(f"of the client {client_id!r} was not kept: {what}")


class MayNotManageClients(CallRefused):
    """Tell that our provisioner lacks the role for this."""

    def __init__(self) -> None:
        said = "the provisioner client lacks realm-management's role manage-clients"
        super().__init__(403, said)


@dataclass(frozen=True, kw_only=True, slots=True)
class OdooClient:
    """A client for one tenant's Odoo, which people reach at *base_url*.

    Raises:
        ValueError: when Keycloak would not take it, or would see a pattern in it.
    """

    client_id: str
    name: str
    redirect_uris: tuple[str, ...]
    base_url: str

    def __post_init__(self) -> None:
        if not 0 < len(self.client_id) <= LONGEST:
            raise ValueError("a client id has 1 to 255 characters")
        if not self.redirect_uris:
            raise ValueError("a client needs a redirect URI")
        for uri in (*self.redirect_uris, self.base_url):
            check_exact(uri)

    def representation(self) -> Representation:
        """Return what must hold of it, in the Admin API's words."""
        home = self.base_url.rstrip("/")
        # Where Odoo's own sign-out ends; Keycloak sends people nowhere else.
        after_sign_out = f"{home}/web/login"
        return {
            **SETTINGS,
            "name": self.name[:LONGEST],
            "baseUrl": home,
            "redirectUris": list(self.redirect_uris),
            "attributes": {
                **ATTRIBUTES,
                MARKER: self.client_id,
                "post.logout.redirect.uris": after_sign_out,
            },
        }


class Clients:
    """Call the Admin API of the realm that the issuer names.

    The provisioner's role `manage-clients` reads and changes every client of the realm:
    docs/security.md says what that means.
    """

    def __init__(
        self, auth: Auth, http: aiohttp.ClientSession, clock: Callable[[], float]
    ) -> None:
        base, _, realm = auth.issuer.rpartition("/realms/")
        self._clients = f"{base}/admin/realms/{realm}/clients"
        self._provisioner = auth.provisioner_client_id
        self._api = AdminApi(auth, http, clock)
        self._adding = asyncio.Lock()

    async def check(self) -> None:
        """Make sure that our provisioner may do all this; changes nothing.

        Raises:
            MayNotManageClients: when it may not.
            CallRefused, ProviderUnavailable: when nobody can say.
        """
        own = await self._find(self._provisioner)
        access = own.get("access") if own else None
        if not isinstance(access, dict) or access.get("manage") is not True:
            raise MayNotManageClients

    async def ensure(self, wanted: OdooClient) -> str:
        """Make the client, or repair it, and return its present secret.

        Raises:
            ClientNotOurs: when somebody else has made one by that id.
            ClientNotKept: when it does not stay as it must be.
            MayNotManageClients, CallRefused, ProviderUnavailable: when it cannot be.
        """
        expected = wanted.representation()
        changes: Representation = {}
        for _ in range(LOOKS):
            found = await self._find(wanted.client_id)
            if found is None:
                body = {**expected, **AT_FIRST, "clientId": wanted.client_id}
                await self._ask("POST", self._clients, body, good=(201, 409))
                continue
            _claim(found, wanted.client_id)
            changes = differing(found, expected)
            if not changes:
                return await self._secret(found)
            await self._ask("PUT", self._url(found), changes, good=WRITTEN)
        raise ClientNotKept(wanted.client_id, changes)

    async def ensure_redirect(self, client_id: str, uri: str) -> None:
        """Add a redirect URI to a client that the operator made, and no more than that.

        Of two processes that add at the same instant, one may lose its own; it is there
        again after the next run.

        Raises:
            ValueError: when *uri* is not one exact address.
            ClientMissing: when there is no such client.
            ClientNotKept: when it does not stay.
            MayNotManageClients, CallRefused, ProviderUnavailable: when it cannot be.
        """
        check_exact(uri)
        async with self._adding:
            for _ in range(LOOKS):
                found = await self._find(client_id)
                if found is None:
                    raise ClientMissing(client_id)
                changes = with_redirect(found, uri)
                if not changes:
                    return
                await self._ask("PUT", self._url(found), changes, good=WRITTEN)
        raise ClientNotKept(client_id, ["redirectUris"])

    async def delete(self, client_id: str) -> bool:
        """Delete a client of ours; False when there is none.

        Raises:
            ClientNotOurs: when somebody else has made it.
            MayNotManageClients, CallRefused, ProviderUnavailable: when it cannot be.
        """
        found = await self._find(client_id)
        if found is None:
            return False
        _claim(found, client_id)
        answer = await self._ask("DELETE", self._url(found), good=(204, 404))
        return answer.status == HTTPStatus.NO_CONTENT

    async def _find(self, client_id: str) -> Representation | None:
        query = urlencode({"clientId": client_id})
        answer = await self._ask("GET", f"{self._clients}?{query}", good=(200,))
        if not isinstance(answer.body, list):
            raise ProviderUnavailable("the provider's answer is no list")
        for one in answer.body:
            if isinstance(one, dict) and one.get("clientId") == client_id:
                # Its secret is in there too; nothing here has use for that.
                return {name: value for name, value in one.items() if name != "secret"}
        return None

    async def _secret(self, found: Representation) -> str:
        url = f"{self._url(found)}/client-secret"
        for method in ("GET", "POST"):  # the latter makes one where there is none
            answer = await self._ask(method, url, good=(200, 404))
            secret = answer.member("value")
            if isinstance(secret, str) and secret:
                if set(secret) == {"*"}:  # for those who may only view (26.8)
                    raise MayNotManageClients
                return secret
        raise ProviderUnavailable("the provider shows no secret of the client")

    def _url(self, found: Representation) -> str:
        return f"{self._clients}/{quote(str(found.get('id')), safe='')}"

    async def _ask(
        self, method: str, url: str, body: object = None, *, good: tuple[int, ...]
    ) -> Answer:
        answer = await self._api.ask(method, url, body)
        if answer.status == HTTPStatus.FORBIDDEN:
            raise MayNotManageClients
        if answer.status not in good:
            answer.expect(good[0])
        return answer


def _claim(found: Representation, client_id: str) -> None:
    if attributes_of(found).get(MARKER) != client_id:
        raise ClientNotOurs(client_id)
