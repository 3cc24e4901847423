"""The few records we touch, on servers with more and with fewer fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from odoo import records
from odoo.models import ExecuteKwModels, create, search
from tests.fakes.odoo_data import ADMIN, SERVICE
from tests.fakes.odoo_services import (
    SERVICE_LOGIN,
    SERVICE_PASSWORD,
    TEMPLATE,
    TEMPLATE_KEY,
)

if TYPE_CHECKING:
    from odoo.models import Models
    from tests.odoo.conftest import Odoo


@pytest.fixture
async def models(odoo: Odoo) -> Models:
    await odoo.databases.duplicate(TEMPLATE, "acme")
    return ExecuteKwModels(
        server=odoo.server, database="acme", uid=SERVICE, password=SERVICE_PASSWORD
    )


async def test_parameters(models: Models, odoo: Odoo) -> None:
    assert await records.parameter(models, "bff.tenant_id") is None
    for value in ("1001", "1001", "1002"):
        await records.set_parameter(models, "bff.tenant_id", value)
        assert await records.parameter(models, "bff.tenant_id") == value
    uuid = await records.parameter(models, records.UUID)
    assert uuid == odoo.fake.databases["acme"].uuid


async def test_who_we_are(models: Models) -> None:
    assert await records.me(models) == SERVICE


async def test_modules(models: Models) -> None:
    names = {"base", "crm", "no_such_module"}
    states = await records.module_states(models, names)
    assert states == {"base": "installed", "crm": "installed"}


@pytest.mark.parametrize("series", ["17.0", "18.0"])
async def test_keys_with_and_without_an_end(
    models: Models, odoo: Odoo, series: str
) -> None:
    odoo.fake.databases["acme"].keys[TEMPLATE_KEY].expires = "2027-02-21 00:00:00"
    (key,) = await records.keys_of(models, SERVICE)
    ends = "2027-02-21 00:00:00" if series == "18.0" else None
    assert key == records.ApiKey(id=1, name="template", expires=ends)
    assert await records.keys_of(models, ADMIN) == []


async def test_users_with_and_without_a_provider(models: Models, odoo: Odoo) -> None:
    linked = await records.user_by_login(models, SERVICE_LOGIN)
    assert linked == records.User(id=SERVICE, login=SERVICE_LOGIN, name="Service")
    row = odoo.fake.databases["acme"].records["res.users"][SERVICE]
    row |= {"oauth_uid": "sub-1", "oauth_provider_id": [7, "Keycloak"]}
    linked = await records.user_by_login(models, SERVICE_LOGIN)
    assert linked is not None
    assert (linked.provider, linked.subject) == (7, "sub-1")
    # Core Odoo has no such fields until auth_oauth is installed.
    odoo.fake.databases["acme"].extra_fields["res.users"].clear()
    assert await records.user_by_login(models, "admin") == records.User(
        id=ADMIN, login="admin", name="A"
    )
    assert await records.user_by_login(models, "nobody") is None


async def test_provider_is_written_as_its_module_wants_it(models: Models) -> None:
    provider = records.Provider(
        name="Keycloak",
        client_id="acme",
        client_secret="cl1ent-s3cret",
        code_verifier="v3rifier",
        auth_endpoint="https://id.test/auth",
        token_endpoint="https://id.test/token",
        jwks_uri="https://id.test/certs",
        label="Sign in",
    )
    assert "s3cret" not in repr(provider)
    assert "v3rifier" not in repr(provider)
    await create(models, records.PROVIDERS, provider.values())
    ours = [["name", "=", "Keycloak"]]
    (row,) = await search(models, records.PROVIDERS, ours, ["flow", "enabled"])
    assert (row["flow"], row["enabled"]) == ("id_token_code", True)
