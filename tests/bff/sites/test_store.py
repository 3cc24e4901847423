"""Whose database is where: read by all, written by whoever has the tenant in hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg
import pytest

from bff.audit import SYSTEM
from bff.sites.failures import Failure
from bff.sites.holding import holding
from bff.sites.safe import Replaced
from bff.sites.store import Sites, Templates
from odoo.safe import Credentials
from tests.bff.sites.scene import RING, SERVER, TENANT

if TYPE_CHECKING:
    from tests.bff.sites.estate import Estate
    from tests.bff.sites.scene import Scene

PLACE = {"server_url": SERVER, "db_name": "odoo_t7", "base_url": "https://one.test"}
END = datetime(2030, 1, 2, tzinfo=UTC)


async def test_a_row_is_made_once_and_stays_where_it_is(scene: Scene) -> None:
    await scene.tenant(has_odoo=False)
    sites = Sites(scene.worker)
    assert await sites.get(TENANT) is None
    first = await sites.ensure(TENANT, **PLACE)
    assert (first.db_name, first.base_url, first.made, first.active) == (
        *("odoo_t7", "https://one.test"),
        *(False, True),
    )
    again = await sites.ensure(
        TENANT, server_url="https://x.test", db_name="x", base_url="https://x.test"
    )
    assert again == first == await sites.get(TENANT)


async def test_two_tenants_never_share_a_database(scene: Scene) -> None:
    await scene.tenant(has_odoo=False)
    await scene.tenant(8, has_odoo=False)
    sites = Sites(scene.worker)
    await sites.ensure(TENANT, **PLACE)
    with pytest.raises(asyncpg.UniqueViolationError):
        await sites.ensure(8, **PLACE)
    assert await sites.get(8) is None


async def test_the_serving_role_reads_its_tenant_s_row(scene: Scene) -> None:
    await scene.tenant()
    await scene.tenant(8)
    await scene.keep(Credentials(key="test-key"))
    found = await Sites(scene.app).get(TENANT)
    assert found is not None
    assert found.tenant_id == TENANT
    assert not hasattr(found, "sealed")
    async with scene.app.tenant_transaction(TENANT) as connection:
        rows = await connection.fetch("SELECT tenant_id FROM odoo_connections")
    assert [row["tenant_id"] for row in rows] == [TENANT]


async def test_the_serving_role_writes_none(scene: Scene) -> None:
    await scene.tenant(has_odoo=False)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await Sites(scene.app).ensure(TENANT, **PLACE)


async def test_what_is_given_is_noted_and_the_rest_stays(scene: Scene) -> None:
    await scene.tenant()
    sites = Sites(scene.worker)
    async with holding(scene.worker, TENANT) as hold:
        assert await sites.note(hold, template="tpl", key_expires_at=END)
        assert await sites.note(hold, made=True, active=False, sso_client_id="odoo")
        await sites.note_check(hold, "not well")
    found = await sites.get(TENANT)
    assert found is not None
    assert (found.template, found.key_expires_at, found.series) == ("tpl", END, "19.0")
    assert (found.made, found.active, found.sso_client_id) == (True, False, "odoo")
    assert found.problem == "not well"
    assert found.checked_at is not None
    async with holding(scene.worker, TENANT) as hold:
        await sites.note_check(hold, None)
        assert await sites.note(hold, active=True, template="")
    found = await sites.get(TENANT)
    assert found is not None
    assert (found.problem, found.active, found.template) == (None, True, "")


async def test_one_that_was_replaced_notes_nothing_and_leaves_no_entry(
    scene: Scene,
) -> None:
    await scene.tenant()
    sites = Sites(scene.worker)
    before = await sites.get(TENANT)
    entry = SYSTEM.did("odoo.key_rotated", TENANT)
    async with holding(scene.worker, TENANT) as old:
        await scene.execute("UPDATE odoo_connections SET held_until = NULL")
        async with holding(scene.worker, TENANT):
            assert not await sites.note(old, made=True, entry=entry)
            await sites.note_check(old, "not well")
            with pytest.raises(Replaced):
                await sites.place(old, **PLACE)
    assert await sites.get(TENANT) == before
    assert await scene.value("SELECT count(*) FROM audit_log") == 0


async def test_an_entry_is_written_with_the_note(scene: Scene) -> None:
    await scene.tenant()
    entry = SYSTEM.did("odoo.key_rotated", TENANT)
    async with holding(scene.worker, TENANT) as hold:
        assert await Sites(scene.worker).note(hold, key_expires_at=END, entry=entry)
    assert await scene.value("SELECT action FROM audit_log") == "odoo.key_rotated"


async def test_only_a_database_that_is_not_made_is_placed_anew(scene: Scene) -> None:
    await scene.tenant()
    sites = Sites(scene.worker)
    async with holding(scene.worker, TENANT) as hold:
        found = await sites.place(hold, **{**PLACE, "db_name": "other_t7"})
        assert found.db_name == "other_t7"
        await sites.note(hold, made=True)
        with pytest.raises(Replaced):
            await sites.place(hold, **PLACE)
    assert (await scene.row())["db_name"] == "other_t7"


async def test_a_template_of_another_series_is_none(scene: Scene) -> None:
    await scene.execute(
        "INSERT INTO odoo_templates (name, series, usable) VALUES ('tpl', '18.0', true)"
    )
    templates = Templates(scene.worker, RING)
    assert await templates.get("tpl") is None, "nothing opens it"
    assert await templates.get("tpl", "19.0") is None


async def test_a_workshop_places_tenants_as_the_settings_say(estate: Estate) -> None:
    await estate.scene.tenant(has_odoo=False)
    workshop = estate.workshop(base_url_template="https://{db_name}.odoo.test")
    found = await workshop.ensure(TENANT)
    assert (found.server_url, found.db_name, found.base_url) == (
        estate.fake.url,
        "odoo_t7",
        "https://odoo_t7.odoo.test",
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE odoo_connections SET made = false", "odoo_missing"),
        ("UPDATE odoo_connections SET made = true", "odoo_moved"),
    ],
)
async def test_only_a_made_database_on_our_server_is_opened(
    estate: Estate, change: str, code: str
) -> None:
    scene = estate.scene
    await scene.tenant()  # on another server than the settings say
    await scene.execute(change)
    workshop = estate.workshop()
    async with holding(scene.worker, TENANT) as hold:
        with pytest.raises(Failure) as caught:
            await workshop.made(hold)
        assert caught.value.code == code
        await scene.execute(
            "UPDATE odoo_connections SET server_url = $1, made = true", estate.fake.url
        )
        assert (await workshop.made(hold)).db_name == "odoo_t7"


async def test_models_are_opened_by_what_is_kept(estate: Estate) -> None:
    scene = estate.scene
    await scene.tenant()
    known = Credentials(
        user=5,
        key="test-key",
        service_password="test-s",
        admin_password="test-a",
        code_verifier="test-v",
    )
    await scene.keep(known)
    workshop = estate.workshop()
    found = await workshop.sites.get(TENANT)
    assert found is not None
    async with holding(scene.worker, TENANT) as hold:
        site = workshop.site(found, hold)
        assert (site.name, site.series) == ("odoo_t7", "19.0")
        models = await workshop.models(site)
    assert "test-key" not in repr(models)
    assert estate.fake.seen == []
