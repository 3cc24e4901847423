"""Whose passwords and keys open a database, after each act that changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from odoo import errors, records
from odoo.cloning import ByRpc
from odoo.making import ensure_database
from odoo.models import write
from odoo.ownership import rotate_key, take_ownership
from tests.fakes.odoo_data import ADMIN, SERVICE
from tests.fakes.odoo_keys import Key
from tests.fakes.odoo_services import (
    ADMIN_PASSWORD,
    SERVICE_LOGIN,
    SERVICE_PASSWORD,
    TEMPLATE_KEY,
)
from tests.odoo.provisioning import (
    TENANT,
    MemorySafe,
    at_once,
    fake_template,
    provisioned,
    site_of,
)

if TYPE_CHECKING:
    from odoo.entering import Site
    from tests.odoo.conftest import Odoo

NAME = "acme"
SERIES = ["16.0", "17.0", "18.0", "19.0"]


def _site(odoo: Odoo, safe: MemorySafe) -> Site:
    return site_of(odoo.server, NAME, safe, series=odoo.fake.series, sleep=at_once)


async def _copied(odoo: Odoo, safe: MemorySafe) -> Site:
    site = _site(odoo, safe)
    way, template = ByRpc(site.databases), fake_template(odoo.fake)
    await ensure_database(site, TENANT, template, way, patience=1)
    return site


@pytest.mark.parametrize("series", SERIES)
async def test_only_our_own_credentials_open_it(odoo: Odoo) -> None:
    safe = MemorySafe()
    site = await _copied(odoo, safe)
    models = await take_ownership(site, TENANT, fake_template(odoo.fake))

    assert await records.me(models) == SERVICE
    signs_in = odoo.databases.authenticate
    assert await signs_in(NAME, SERVICE_LOGIN, TEMPLATE_KEY) is None
    assert await signs_in(NAME, SERVICE_LOGIN, SERVICE_PASSWORD) is None
    assert await signs_in(NAME, "admin", ADMIN_PASSWORD) is None
    assert await signs_in(NAME, "admin", "admin") is None
    assert await signs_in(NAME, "admin", safe.known.admin_password) == ADMIN
    (key,) = odoo.fake.databases[NAME].keys.values()
    assert (key.expires is not None) is (site.major >= 18)
    # The template itself is as it was.
    assert set(odoo.fake.databases["tpl_test"].keys) == {TEMPLATE_KEY}


@pytest.mark.parametrize("year", [2025, 2026])
async def test_passwords_are_kept_before_odoo_hears_of_them(odoo: Odoo) -> None:
    safe = MemorySafe()
    site = await _copied(odoo, safe)
    await take_ownership(site, TENANT, fake_template(odoo.fake))
    first, *later = safe.history
    assert first.service_password
    assert first.admin_password
    assert first.code_verifier
    assert {one.service_password for one in later} == {first.service_password}
    assert odoo.fake.databases[NAME].programmatic is odoo.fake.programmatic


@pytest.mark.parametrize("series", SERIES)
async def test_rotation_leaves_one_key_another_than_before(odoo: Odoo) -> None:
    safe = MemorySafe()
    site = _site(odoo, safe)
    await provisioned(site, fake_template(odoo.fake), patience=1)
    for _ in range(2):
        old = safe.known.key
        models = await rotate_key(site)
        assert safe.known.key != old
        assert set(odoo.fake.databases[NAME].keys) == {safe.known.key}
        assert await records.me(models) == SERVICE


@pytest.mark.parametrize("year", [2025, 2026])
async def test_keys_that_nobody_kept_are_revoked(odoo: Odoo) -> None:
    safe = MemorySafe()
    site = _site(odoo, safe)
    await provisioned(site, fake_template(odoo.fake), patience=1)
    database = odoo.fake.databases[NAME]
    for number in range(20, 32):  # more than `generate` allows
        database.keys[f"leaked-{number}"] = Key(SERVICE, "bff x", number=number)
    database.keys["another's"] = Key(ADMIN, "the founder's own", number=50)
    await rotate_key(site)
    assert set(database.keys) == {safe.known.key, "another's"}


@pytest.mark.parametrize("series", ["17.0", "19.0"])
async def test_key_that_has_expired_is_replaced(odoo: Odoo) -> None:
    safe = MemorySafe()
    site = _site(odoo, safe)
    await provisioned(site, fake_template(odoo.fake), patience=1)
    odoo.fake.databases[NAME].keys.clear()
    await rotate_key(site)
    assert set(odoo.fake.databases[NAME].keys) == {safe.known.key}


async def test_founders_own_password_is_never_reset(odoo: Odoo) -> None:
    safe = MemorySafe()
    site, template = _site(odoo, safe), fake_template(odoo.fake)
    models = await provisioned(site, template, patience=1)
    await write(models, "res.users", [ADMIN], {"password": "their-own"})
    await provisioned(site, template, patience=1)
    odoo.fake.databases[NAME].keys.clear()
    await take_ownership(site, TENANT, template)
    assert odoo.fake.databases[NAME].records["res.users"][ADMIN]["password"] == (
        "their-own"
    )


async def test_what_is_not_ours_is_not_taken(odoo: Odoo) -> None:
    safe, template = MemorySafe(), fake_template(odoo.fake)
    site = await _copied(odoo, safe)
    with pytest.raises(errors.NotOurs, match="not marked"):
        await take_ownership(site, "t-2002", template)
    database = odoo.fake.databases[NAME]
    database.set_parameter(records.UUID, template.credentials.uuid)
    with pytest.raises(errors.NotOurs, match="uuid"):
        await take_ownership(site, TENANT, template)
    database.keys.clear()
    database.records["res.users"][SERVICE]["password"] = "changed"
    with pytest.raises(errors.NotOurs, match="nothing of ours"):
        await take_ownership(site, TENANT, template)


async def test_new_key_that_does_not_work_leaves_the_old_one(odoo: Odoo) -> None:
    safe = MemorySafe()
    site = _site(odoo, safe)
    await provisioned(site, fake_template(odoo.fake), patience=1)
    old = safe.known.key
    odoo.fake.databases[NAME].programmatic = True
    odoo.fake.fail("res.users.apikeys/generate", answers=("no-such-key",))
    with pytest.raises(errors.NotReady, match="does not open"):
        await rotate_key(site)
    assert safe.known.previous == old
    assert old in odoo.fake.databases[NAME].keys
    await rotate_key(site)
    assert set(odoo.fake.databases[NAME].keys) == {safe.known.key}
