"""A copy made in advance is ours alone before it is claimed, and then one tenant's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bff.sessions.sealing import Unopenable
from bff.sites.holding import holding
from bff.sites.pool import Pool
from bff.sites.safe import Replaced, name_of_warm, unseal
from bff.sites.warm import WarmRows
from odoo.making import ensure_database
from odoo.ownership import take_ownership
from tests.bff.sites.scene import TENANT
from tests.bff.sites.test_pool import NAME, filled, rows, states
from tests.fakes.odoo_data import SERVICE
from tests.fakes.odoo_raised import Raised
from tests.fakes.odoo_services import SERVICE_PASSWORD, TEMPLATE, TEMPLATE_KEY

if TYPE_CHECKING:
    from bff.sites.workshop import Workshop
    from odoo.safe import Credentials
    from tests.bff.sites.estate import Estate


async def taken(workshop: Workshop, tenant_id: int = TENANT) -> Credentials:
    """Make a tenant's database its own, as its onboarding does."""
    connection = await workshop.sites.get(tenant_id)
    template = await workshop.templates.get(TEMPLATE)
    assert connection is not None
    assert template is not None
    async with holding(workshop.database, tenant_id, patience=0) as hold:
        site = workshop.site(connection, hold)
        way = workshop.way("19.0", tenant_id, site.safe)
        await ensure_database(site, str(tenant_id), template, way, patience=1)
        await take_ownership(site, str(tenant_id), template)
        await workshop.sites.note(hold, made=True)
        return await site.kept()


def service(estate: Estate, name: str) -> Any:
    return estate.fake.databases[name].records["res.users"][SERVICE]["password"]


async def test_nothing_of_the_template_opens_it(estate: Estate) -> None:
    workshop = await filled(estate)
    (row,) = await rows(estate.scene)
    database = estate.fake.databases[row["name"]]
    held = unseal(workshop.ring, name_of_warm(row["name"]), row["sealed"])
    assert held is not None
    assert list(database.keys) == [held.key]
    assert held.key != TEMPLATE_KEY
    assert service(estate, row["name"]) == held.service_password != SERVICE_PASSWORD
    for secret in (held.key, held.service_password):
        assert secret.encode() not in row["sealed"]


async def test_a_tenant_gets_it_with_what_opens_it(estate: Estate) -> None:
    for tenant_id in (7, 8):
        await estate.scene.tenant(tenant_id)
    workshop = await filled(estate, 2)
    minted = estate.fake.asked("make_key")
    kept = [await taken(workshop, tenant_id) for tenant_id in (7, 8)]
    assert estate.fake.asked("make_key") == minted, "nobody waits for a key"
    assert len({one.key for one in kept}) == 2
    assert len({one.code_verifier for one in kept}) == 2
    for tenant_id, one in zip((7, 8), kept, strict=True):
        assert list(estate.fake.databases[f"odoo_t{tenant_id}"].keys) == [one.key]
        assert service(estate, f"odoo_t{tenant_id}") == one.service_password
        assert one.proven
    assert await rows(estate.scene) == []


async def test_one_that_is_put_back_is_no_longer_opened_by_the_tenant(
    estate: Estate,
) -> None:
    await estate.scene.tenant()
    workshop = await filled(estate)
    (row,) = await rows(estate.scene)
    held = unseal(workshop.ring, name_of_warm(row["name"]), row["sealed"])
    assert held is not None
    refused = Raised("builtins.Exception", "Couldn't rename database")
    estate.fake.fail("rename", raises=refused)

    kept = await taken(workshop)

    assert await states(estate.scene) == ["ready"]
    assert kept.service_password != held.service_password
    assert kept.code_verifier != held.code_verifier
    assert list(estate.fake.databases[NAME].keys) == [kept.key]
    assert service(estate, NAME) == kept.service_password
    assert list(estate.fake.databases[row["name"]].keys) == [held.key]


async def test_one_of_before_they_were_taken_over_is_taken_over_now(
    estate: Estate,
) -> None:
    await estate.scene.tenant()
    workshop = await filled(estate)
    (row,) = await rows(estate.scene)
    database = estate.fake.databases[row["name"]]
    database.keys.clear()
    database.keys.update(estate.fake.databases[TEMPLATE].keys)
    await estate.scene.execute("UPDATE odoo_warm SET sealed = ''")

    kept = await taken(workshop)

    assert list(estate.fake.databases[NAME].keys) == [kept.key]
    assert kept.key != TEMPLATE_KEY


async def test_a_ring_without_the_key_opens_none_and_loses_none(
    estate: Estate,
) -> None:
    await estate.scene.tenant()
    workshop = await filled(estate)
    (row,) = await rows(estate.scene)
    await estate.scene.execute(
        "UPDATE odoo_warm SET sealed = decode('00', 'hex') || sealed"
    )
    with pytest.raises(Unopenable):
        await taken(workshop)
    assert row["name"] in estate.fake.databases
    assert await states(estate.scene) == ["claimed"]


async def test_only_its_own_tenant_may_read_what_opens_it(estate: Estate) -> None:
    await estate.scene.tenant()
    workshop = await filled(estate)
    warm = WarmRows(workshop.database)
    name = await warm.claim(TEMPLATE, TENANT)
    assert name is not None
    assert await warm.opening(name, TENANT)
    with pytest.raises(Replaced):
        await warm.opening(name, TENANT + 1)
    await warm.put_back(name, TENANT)
    with pytest.raises(Replaced):
        await warm.opening(name, TENANT)


async def test_keys_get_no_older_than_a_week_before_somebody_has_them(
    estate: Estate,
) -> None:
    workshop = await filled(estate)
    (old,) = await rows(estate.scene)
    await estate.scene.execute(
        "UPDATE odoo_warm SET created_at = now() - interval '8 days'"
    )
    await Pool(workshop=workshop).step()
    (new,) = await rows(estate.scene)
    assert new["name"] != old["name"]
    assert old["name"] not in estate.fake.databases
