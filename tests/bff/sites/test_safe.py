"""What opens a database is sealed in its row, for whoever holds the tenant alone."""

from __future__ import annotations

import pytest

from bff.database import DatabaseUnavailable
from bff.sessions.sealing import Unopenable
from bff.sites.holding import holding
from bff.sites.safe import (
    Replaced,
    TemplateSafe,
    TenantSafe,
    name_of_template,
    name_of_tenant,
    seal,
    unseal,
)
from bff.sites.store import Templates
from odoo.safe import Credentials
from tests.bff.sessions.tickets import ring
from tests.bff.sites.scene import RING, TENANT, Scene

KNOWN = Credentials(
    begun=True,
    user=5,
    uuid="test-uuid",
    key_name="bff x",
    key="test-key-canary",
    previous="test-previous-canary",
    service_password="test-service-canary",
    admin_password="test-admin-canary",
    code_verifier="test-verifier-canary",
)


async def test_what_was_kept_is_found_and_nothing_of_it_is_in_the_row(
    scene: Scene,
) -> None:
    await scene.tenant()
    async with holding(scene.worker, TENANT) as hold:
        safe = scene.safe(hold)
        assert await safe.kept() is None
        await safe.keep(KNOWN)
        assert await safe.kept() == KNOWN
    row = await scene.row()
    assert b"canary" not in row["sealed"]
    assert "canary" not in repr({k: v for k, v in row.items() if k != "sealed"})
    async with holding(scene.worker, TENANT) as hold:
        assert await scene.safe(hold).kept() == KNOWN


async def test_nothing_of_it_is_in_a_repr() -> None:
    assert "canary" not in repr(KNOWN)


async def test_one_that_was_replaced_reads_and_writes_nothing(scene: Scene) -> None:
    await scene.tenant()
    await scene.keep(KNOWN)
    async with holding(scene.worker, TENANT) as hold:
        old = scene.safe(hold)
        await scene.execute("UPDATE odoo_connections SET held_until = NULL")
        async with holding(scene.worker, TENANT) as newer:
            await scene.safe(newer).keep(Credentials(key="newer"))
            for act in (old.kept(), old.keep(KNOWN), old.still_ours()):
                with pytest.raises(Replaced):
                    await act
            assert await scene.safe(newer).kept() == Credentials(key="newer")


async def test_a_row_that_is_gone_is_as_good_as_replaced(scene: Scene) -> None:
    await scene.tenant()
    async with holding(scene.worker, TENANT) as hold:
        await scene.execute("DELETE FROM odoo_connections")
        with pytest.raises(Replaced):
            await scene.safe(hold).keep(KNOWN)


async def test_a_lost_key_is_told_and_nothing_is_overwritten(scene: Scene) -> None:
    await scene.tenant()
    await scene.keep(KNOWN)
    before = (await scene.row())["sealed"]
    async with holding(scene.worker, TENANT) as hold:
        with pytest.raises(Unopenable):
            await TenantSafe(scene.worker, ring(2), hold).kept()
    assert (await scene.row())["sealed"] == before


async def test_another_tenant_s_value_opens_nothing(scene: Scene) -> None:
    await scene.tenant()
    await scene.tenant(8)
    await scene.keep(KNOWN)
    await scene.execute(
        "UPDATE odoo_connections SET sealed = (SELECT sealed FROM odoo_connections "
        "WHERE tenant_id = $1) WHERE tenant_id = 8",
        TENANT,
    )
    async with holding(scene.worker, 8) as hold:
        with pytest.raises(Unopenable):
            await scene.safe(hold).kept()


def test_a_template_s_value_is_no_tenant_s() -> None:
    sealed = seal(RING, name_of_template("7"), KNOWN)
    with pytest.raises(Unopenable):
        unseal(RING, name_of_tenant(7), sealed)
    assert unseal(RING, name_of_template("7"), sealed) == KNOWN
    assert unseal(RING, name_of_tenant(7), b"") is None


async def test_keeping_while_postgres_is_away_is_told(scene: Scene) -> None:
    await scene.tenant()
    async with holding(scene.worker, TENANT) as hold:
        safe = scene.safe(hold)
        async with scene.away():
            with pytest.raises(DatabaseUnavailable):
                await safe.keep(KNOWN)
        assert await safe.kept() is None


async def test_a_template_s_is_kept_and_used_once_it_is_finished(scene: Scene) -> None:
    templates = Templates(scene.worker, RING)
    safe = TemplateSafe(scene.worker, RING, "tpl_x", "19.0")
    assert await safe.kept() is None
    await safe.keep(Credentials(user=5))
    await safe.keep(KNOWN)
    assert await safe.kept() == KNOWN
    await safe.still_ours()
    assert await templates.get("tpl_x") is None, "it is being built"

    await templates.finish("tpl_x")
    found = await templates.get("tpl_x")
    assert found is not None
    assert (found.name, found.credentials) == ("tpl_x", KNOWN)
    assert await templates.get("tpl_y") is None
    assert await scene.value("SELECT series FROM odoo_templates") == "19.0"
    assert b"canary" not in await scene.value("SELECT sealed FROM odoo_templates")
