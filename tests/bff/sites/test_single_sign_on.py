"""Which provider tenants' Odoo signs people in with, and by which client."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bff.config_identity import Auth
from bff.config_odoo import Odoo as Settings
from bff.identity.clients import ClientMissing, ClientNotOurs, Clients
from bff.identity.messages import ProviderUnavailable
from bff.outbound import client_session
from bff.sites.single_sign_on import SingleSignOn
from bff.sites.store import Connection
from tests.fakes.keycloak_clients import KeycloakClients, serving
from tests.world import PROVISIONED, Clock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

CONNECTION = Connection(
    tenant_id=7,
    server_url="http://odoo:8069",
    series="19.0",
    db_name="odoo_t7",
    base_url="https://seven.odoo.test",
    template="",
    sso_client_id="",
    key_expires_at=None,
    made=True,
    active=True,
    checked_at=None,
    problem=None,
)
CALLBACK = "https://seven.odoo.test/auth_oauth/signin"
FOUND = {
    "authorization_endpoint": "https://id.test/auth",
    "token_endpoint": "https://id.test/token",
    "jwks_uri": "https://id.test/certs",
}
SHARED = {"sso_client_id": "odoo", "sso_client_secret": "test-shared-secret"}


class Identity:
    """The provider's discovery document, as far as it is read."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def discovery(self) -> dict[str, str]:
        if self.error is not None:
            raise self.error
        return FOUND


@asynccontextmanager
async def signing_on(
    *roles: str,
    odoo: dict[str, str] | None = None,
    provisioner: bool = True,
    identity: Any = None,
) -> AsyncGenerator[tuple[SingleSignOn, KeycloakClients]]:
    fake, identity = KeycloakClients(), identity or Identity()
    who = PROVISIONED["provisioner_client_id"]
    fake.add(who, *roles, secret=PROVISIONED["provisioner_client_secret"])
    async with serving(fake), client_session() as http:
        auth = Auth.model_validate({"issuer": fake.issuer, "timeout": 3, **PROVISIONED})
        yield (
            SingleSignOn(
                settings=Settings.model_validate(odoo or {}),
                identity=identity,
                clients=Clients(auth, http, Clock()) if provisioner else None,
            ),
            fake,
        )


async def test_each_tenant_has_a_client_of_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with signing_on("manage-clients") as (sign_on, fake):
        provider = await sign_on.ensured(CONNECTION)
        again = await sign_on.ensured(CONNECTION)
        (client,) = fake.find("odoo_t7")
    assert client["redirectUris"] == [CALLBACK]
    assert provider == again
    assert provider.client_id == "odoo_t7"
    assert provider.client_secret == client["secret"]
    assert provider.code_verifier == "", "that is the tenant's own"
    assert (provider.auth_endpoint, provider.token_endpoint, provider.jwks_uri) == (
        *FOUND.values(),
    )
    for shown in (repr(provider), repr(sign_on), caplog.text):
        assert client["secret"] not in shown


async def test_one_client_for_all_gets_one_more_address() -> None:
    async with signing_on("manage-clients", odoo=SHARED) as (sign_on, fake):
        fake.add("odoo", redirectUris=["https://other.test/auth_oauth/signin"])
        provider = await sign_on.ensured(CONNECTION)
        (client,) = fake.find("odoo")
    assert CALLBACK in client["redirectUris"]
    assert len(client["redirectUris"]) == 2
    assert (provider.client_id, provider.client_secret) == (
        "odoo",
        "test-shared-secret",
    )


async def test_one_client_for_all_needs_no_provisioner() -> None:
    async with signing_on(provisioner=False, odoo=SHARED) as (sign_on, fake):
        assert (await sign_on.ensured(CONNECTION)).client_id == "odoo"
        assert fake.asked == []


async def test_a_provisioner_that_may_not_leaves_it_to_a_person(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with signing_on(odoo=SHARED) as (sign_on, fake):
        fake.add("odoo")
        assert (await sign_on.ensured(CONNECTION)).client_id == "odoo"
    assert f"{CALLBACK} must be listed" in caplog.text


async def test_a_shared_client_that_is_not_there_is_told() -> None:
    async with signing_on("manage-clients", odoo=SHARED) as (sign_on, _):
        with pytest.raises(ClientMissing):
            await sign_on.ensured(CONNECTION)


async def test_somebody_else_s_client_is_left_alone() -> None:
    async with signing_on("manage-clients") as (sign_on, fake):
        fake.add("odoo_t7", secret="theirs")
        with pytest.raises(ClientNotOurs):
            await sign_on.ensured(CONNECTION)
        assert fake.find("odoo_t7")[0]["redirectUris"] == []


async def test_it_is_described_without_its_secret_and_without_asking_for_it() -> None:
    async with signing_on("manage-clients") as (sign_on, fake):
        provider = await sign_on.described(CONNECTION)
        assert fake.asked == []
    assert (provider.client_id, provider.client_secret) == ("odoo_t7", "")


async def test_a_provider_that_is_away_is_told() -> None:
    identity = Identity(ProviderUnavailable("away"))
    async with signing_on(identity=identity, odoo=SHARED) as (sign_on, _):
        for act in (sign_on.ensured(CONNECTION), sign_on.described(CONNECTION)):
            with pytest.raises(ProviderUnavailable):
                await act


async def test_without_any_client_the_configuration_was_not_checked() -> None:
    async with signing_on(provisioner=False) as (sign_on, _):
        with pytest.raises(RuntimeError, match="not checked"):
            await sign_on.ensured(CONNECTION)


async def test_the_name_on_the_button_is_a_setting() -> None:
    told = {**SHARED, "provider_name": "Acme ID"}
    async with signing_on(odoo=told) as (sign_on, _):
        provider = await sign_on.described(replace(CONNECTION, tenant_id=8))
    assert (provider.name, provider.label) == ("Acme ID", "Acme ID")
