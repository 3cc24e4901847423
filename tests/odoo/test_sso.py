"""The provider's row in Odoo, and whose the administrator's account is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from odoo import errors, records
from odoo.models import write
from odoo.sso import Founder, ensure_oidc
from tests.fakes.odoo_data import ADMIN
from tests.odoo.provisioning import (
    BASE_URL,
    FOUNDER,
    PROVIDER,
    MemorySafe,
    fake_template,
    provisioned,
    site_of,
)

if TYPE_CHECKING:
    from odoo.entering import Site
    from odoo.models import Models
    from tests.odoo.conftest import Odoo

NAME = "acme"


@pytest.fixture
def site(odoo: Odoo) -> Site:
    return site_of(odoo.server, NAME, MemorySafe())


@pytest.fixture
async def models(odoo: Odoo, site: Site) -> Models:
    return await provisioned(site, fake_template(odoo.fake), patience=1)


def _rows(odoo: Odoo) -> list[dict[str, Any]]:
    rows = odoo.fake.databases[NAME].records[records.PROVIDERS].values()
    return [row for row in rows if row["name"] == PROVIDER.name]


def _founder(odoo: Odoo) -> dict[str, Any]:
    return odoo.fake.databases[NAME].records["res.users"][ADMIN]


async def test_verifier_is_each_tenants_own(odoo: Odoo, models: Models) -> None:
    del models
    other, safe = "other", MemorySafe()
    template = fake_template(odoo.fake)
    await provisioned(site_of(odoo.server, other, safe), template, patience=1)
    (ours,) = _rows(odoo)
    assert len(ours["code_verifier"]) >= 43
    assert ours["code_verifier"] != safe.known.code_verifier


async def test_second_run_writes_nothing(
    odoo: Odoo, site: Site, models: Models
) -> None:
    for method in ("write", "create", "load"):
        for model in (records.PROVIDERS, records.USERS, records.PARAMETERS):
            odoo.fake.fail(f"{model}/{method}", cut=True)
    await ensure_oidc(site, models, PROVIDER, FOUNDER, BASE_URL)


async def test_what_changed_is_written(odoo: Odoo, site: Site, models: Models) -> None:
    moved = replace(PROVIDER, token_endpoint="https://id2.test/token")
    await ensure_oidc(site, models, moved, FOUNDER, BASE_URL)
    (row,) = _rows(odoo)
    assert row["token_endpoint"] == "https://id2.test/token"


async def test_other_providers_are_switched_off(
    odoo: Odoo, site: Site, models: Models
) -> None:
    stock = {"name": "Odoo.com Accounts", "enabled": True, "auth_endpoint": "https://o"}
    database = odoo.fake.databases[NAME]
    at = database.insert(records.PROVIDERS, {**stock, "body": "Odoo.com"})
    database.set_parameter("auth_signup.invitation_scope", "b2c")
    await ensure_oidc(site, models, PROVIDER, FOUNDER, BASE_URL)
    assert database.records[records.PROVIDERS][at]["enabled"] is False
    scope = await records.parameter(models, "auth_signup.invitation_scope")
    assert scope == "b2b"


async def test_what_the_founder_changed_stays(
    odoo: Odoo, site: Site, models: Models
) -> None:
    await write(models, "res.users", [ADMIN], {"name": "Fay F.", "login": "fay@x.test"})
    await ensure_oidc(site, models, PROVIDER, FOUNDER, BASE_URL)
    founder = _founder(odoo)
    assert (founder["name"], founder["login"]) == ("Fay F.", "fay@x.test")


async def test_account_of_somebody_else_is_not_given_away(
    odoo: Odoo, site: Site, models: Models
) -> None:
    other = Founder(subject="sub-2", email=FOUNDER.email, name="Mallory")
    with pytest.raises(errors.NotOurs, match="another person"):
        await ensure_oidc(site, models, PROVIDER, other, BASE_URL)
    assert _founder(odoo)["oauth_uid"] == FOUNDER.subject


async def test_row_that_was_deleted_is_made_and_linked_again(
    odoo: Odoo, site: Site, models: Models
) -> None:
    odoo.fake.databases[NAME].records[records.PROVIDERS].clear()
    row = await ensure_oidc(site, models, PROVIDER, FOUNDER, BASE_URL)
    assert _founder(odoo)["oauth_provider_id"] == row
    assert len(_rows(odoo)) == 1


async def test_core_signs_in_implicitly_where_it_may(
    odoo: Odoo, site: Site, models: Models
) -> None:
    database = odoo.fake.databases[NAME]
    database.extra_fields[records.PROVIDERS].clear()
    with pytest.raises(errors.NotOffered, match="auth_oidc"):
        await ensure_oidc(site, models, PROVIDER, FOUNDER, BASE_URL)
    endpoint = "https://id.test/realms/acme/userinfo"
    implicit = replace(PROVIDER, name="Implicit", userinfo_endpoint=endpoint)
    row = await ensure_oidc(site, models, implicit, FOUNDER, BASE_URL)
    made = database.records[records.PROVIDERS][row]
    assert made["validation_endpoint"] == endpoint
    assert "client_secret" not in made
    header = await records.parameter(models, "auth_oauth.authorization_header")
    assert header == "True"
