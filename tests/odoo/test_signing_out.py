"""A person whose session at the provider ended is signed out of Odoo as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from odoo import errors, records
from odoo.models import SessionModels
from odoo.signing_out import sign_out
from tests.fakes.odoo_data import ADMIN
from tests.odoo.provisioning import (
    FOUNDER,
    MemorySafe,
    fake_template,
    provisioned,
    site_of,
)

if TYPE_CHECKING:
    from odoo.models import Models
    from tests.odoo.conftest import Odoo

NAME = "acme"
PASSWORD = "Test-Founder-Password-1"


@pytest.fixture
async def models(odoo: Odoo) -> Models:
    site = site_of(odoo.server, NAME, MemorySafe(), series=odoo.fake.series)
    return await provisioned(site, fake_template(odoo.fake), patience=1)


@pytest.mark.parametrize("series", ["17.0", "19.0"])
@pytest.mark.parametrize("active", [True, False])
async def test_sessions_by_sso_end(odoo: Odoo, models: Models, *, active: bool) -> None:
    row = odoo.fake.databases[NAME].records["res.users"][ADMIN]
    row |= {"password": PASSWORD, "oauth_access_token": "test-token"}
    opened = await SessionModels.opened(odoo.server, NAME, FOUNDER.email, PASSWORD)
    assert await records.me(opened) == ADMIN
    row["active"] = active
    assert await sign_out(models, FOUNDER.subject)
    row["active"] = True
    with pytest.raises(errors.SessionExpired):
        await records.me(opened)


async def test_nobody_else_is_signed_out(odoo: Odoo, models: Models) -> None:
    row = odoo.fake.databases[NAME].records["res.users"][ADMIN]
    row["oauth_access_token"] = "test-token"
    assert not await sign_out(models, "sub-9")
    assert row["oauth_access_token"] == "test-token"


async def test_odoo_without_sso_knows_nobody(odoo: Odoo, models: Models) -> None:
    odoo.fake.databases[NAME].extra_fields["res.users"].clear()
    assert not await sign_out(models, FOUNDER.subject)
