"""Say which provider tenants' Odoo signs people in with, and ensure its client."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bff.identity.clients import MayNotManageClients, OdooClient
from odoo.records import Provider

if TYPE_CHECKING:
    from bff.config_odoo import Odoo as Settings
    from bff.identity.clients import Clients
    from bff.identity.provider import Provider as IdentityProvider
    from bff.sites.store import Connection

log = logging.getLogger(__name__)

# Where Odoo is sent back to (odoo/addons/auth_oauth/controllers/main.py).
CALLBACK = "/auth_oauth/signin"


@dataclass(frozen=True, kw_only=True)
class SingleSignOn:
    """The identity provider as Odoo is to know it; without *clients* none is made."""

    settings: Settings
    identity: IdentityProvider
    clients: Clients | None

    def client_id(self, connection: Connection) -> str:
        """Return the client that a tenant's Odoo signs in with.

        Its own is called like the database: two installations that share a realm have
        names of their own for these.
        """
        return self.settings.sso_client_id or connection.db_name

    async def ensured(self, connection: Connection) -> Provider:
        """Return the provider for a tenant's Odoo, once its client is as it must be.

        Raises:
            ProviderUnavailable: when the identity provider does not answer.
            CallRefused: when our provisioner may not do this.
            ClientNotOurs: when somebody else's client has the name.
        """
        callback = f"{connection.base_url}{CALLBACK}"
        if self.settings.sso_client_id:
            secret = self.settings.sso_client_secret.get_secret_value()
            if self.clients is not None:
                await self._list(self.clients, callback)
            return await self._provider(connection, secret)
        if self.clients is None:
            raise RuntimeError("the configuration was not checked")
        secret = await self.clients.ensure(
            OdooClient(
                client_id=self.client_id(connection),
                name=f"Odoo of tenant {connection.tenant_id}",
                redirect_uris=(callback,),
                base_url=connection.base_url,
            )
        )
        return await self._provider(connection, secret)

    async def described(self, connection: Connection) -> Provider:
        """Return the provider without its secret: enough to recognise it.

        Raises:
            ProviderUnavailable: when the identity provider does not answer.
        """
        return await self._provider(connection, "")

    async def _list(self, clients: Clients, callback: str) -> None:
        """Add where Odoo is sent back to, unless our provisioner may not.

        Then whoever made the shared client has listed it by hand (docs/keycloak.md).
        """
        try:
            await clients.ensure_redirect(self.settings.sso_client_id, callback)
        except MayNotManageClients:
            log.warning("%s must be listed at the provider by hand", callback)

    async def _provider(self, connection: Connection, secret: str) -> Provider:
        found = await self.identity.discovery()
        return Provider(
            name=self.settings.provider_name,
            client_id=self.client_id(connection),
            client_secret=secret,
            code_verifier="",  # the tenant's own, which the library puts there
            auth_endpoint=found["authorization_endpoint"],
            token_endpoint=found["token_endpoint"],
            jwks_uri=found["jwks_uri"],
            label=self.settings.provider_name,
        )
