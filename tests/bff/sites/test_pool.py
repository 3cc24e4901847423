"""Copies are ready in advance, each is claimed once, and none is without its row."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from bff.sites.holding import holding
from bff.sites.pool import Pool, keep_warm
from bff.sites.safe import Replaced
from bff.sites.warm import WarmRows
from odoo import errors
from odoo.making import ensure_database
from odoo.records import MARKER
from tests.bff.sites.estate import opened_estate
from tests.bff.sites.scene import TENANT
from tests.bff.waiting import until
from tests.fakes.odoo_raised import Raised
from tests.fakes.odoo_services import TEMPLATE

if TYPE_CHECKING:
    from asyncpg import Record

    from bff.sites.workshop import Workshop
    from tests.bff.sites.estate import Estate
    from tests.bff.sites.scene import Scene

NAME = "odoo_t7"


async def rows(scene: Scene) -> list[Record]:
    return await scene.rows("SELECT * FROM odoo_warm ORDER BY created_at")


async def states(scene: Scene) -> list[str]:
    return [row["state"] for row in await rows(scene)]


def warm(estate: Estate) -> set[str]:
    """Return the databases that are there beside the template and tenants' own."""
    return {name for name in estate.fake.databases if name.startswith("warm_")}


async def filled(estate: Estate, count: int = 1) -> Workshop:
    """Fill the pool, and return the workshop whose it is."""
    workshop = estate.workshop(warm=count)
    while await Pool(workshop=workshop).step():
        pass
    assert await states(estate.scene) == ["ready"] * count
    return workshop


async def made(workshop: Workshop, tenant_id: int = TENANT) -> None:
    """Make a tenant's database as its onboarding does."""
    connection = await workshop.sites.get(tenant_id)
    assert connection is not None
    template = await workshop.templates.get(TEMPLATE)
    assert template is not None
    async with holding(workshop.database, tenant_id, patience=0) as hold:
        site = workshop.site(connection, hold)
        way = workshop.way("19.0", tenant_id, site.safe)
        await ensure_database(site, str(tenant_id), template, way, patience=1)
        await workshop.sites.note(hold, made=True)


def marker(estate: Estate, name: str = NAME) -> str | None:
    rows = estate.fake.databases[name].records["ir.config_parameter"].values()
    return next((row["value"] for row in rows if row["key"] == MARKER), None)


async def test_as_many_are_made_as_the_settings_say(estate: Estate) -> None:
    await filled(estate, 3)
    assert warm(estate) == {row["name"] for row in await rows(estate.scene)}
    uuids = {estate.fake.databases[name].uuid for name in estate.fake.databases}
    assert len(uuids) == 4, "one for each and the template"
    assert not await Pool(workshop=estate.workshop(warm=3)).step()
    assert estate.fake.asked("duplicate_database") == 3


async def test_without_the_setting_odoo_is_not_even_asked(estate: Estate) -> None:
    assert not await Pool(workshop=estate.workshop()).step()
    assert estate.fake.seen == []


async def test_without_a_template_nothing_is_made(estate: Estate) -> None:
    workshop = estate.workshop(warm=1, template="tpl_other")
    assert not await Pool(workshop=workshop).step()
    await estate.scene.execute("UPDATE odoo_templates SET usable = false")
    assert not await Pool(workshop=estate.workshop(warm=1)).step()
    assert await rows(estate.scene) == []


async def test_an_odoo_that_renames_nothing_gets_no_pool(scene: Scene) -> None:
    async with opened_estate(scene, "20.0") as estate:
        assert not await Pool(workshop=estate.workshop(warm=1)).step()
        assert await rows(scene) == []


async def test_the_row_is_there_before_the_database(estate: Estate) -> None:
    estate.fake.fail("duplicate_database", delay=3600, cut=True)
    pool = Pool(workshop=estate.workshop(warm=1))
    step = asyncio.ensure_future(pool.step())

    async def asked() -> bool:
        return not estate.fake.faults["duplicate_database"]

    await until(asked)
    assert await states(estate.scene) == ["making"]
    assert warm(estate) == set()
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    # It is taken up at once, under the same name.
    (before,) = await rows(estate.scene)
    assert await pool.step()
    (after,) = await rows(estate.scene)
    assert (after["name"], after["state"]) == (before["name"], "ready")
    assert warm(estate) == {after["name"]}


async def test_a_tenant_s_database_is_one_that_was_ready(estate: Estate) -> None:
    await estate.scene.tenant()
    workshop = await filled(estate)
    (row,) = await rows(estate.scene)
    ready = estate.fake.databases[row["name"]]

    await made(workshop)

    assert estate.fake.databases[NAME] is ready
    assert marker(estate) == "7"
    assert await rows(estate.scene) == []
    assert warm(estate) == set()
    assert estate.fake.asked("duplicate_database") == 1, "the one in advance"


async def test_an_empty_pool_is_no_hindrance(estate: Estate) -> None:
    await estate.scene.tenant()
    await made(estate.workshop())
    assert marker(estate) == "7"
    assert estate.fake.asked("rename") == 0


async def test_of_two_tenants_each_gets_its_own(estate: Estate) -> None:
    for tenant_id in (7, 8, 9):
        await estate.scene.tenant(tenant_id)
    workshop = await filled(estate, 2)
    await asyncio.gather(*(made(workshop, tenant_id) for tenant_id in (7, 8, 9)))
    databases = [estate.fake.databases[f"odoo_t{one}"] for one in (7, 8, 9)]
    assert len({one.uuid for one in databases}) == 3
    assert [marker(estate, one.name) for one in databases] == ["7", "8", "9"]
    assert estate.fake.asked("duplicate_database") == 3
    assert await rows(estate.scene) == []


async def test_another_template_s_copy_is_not_taken(estate: Estate) -> None:
    await estate.scene.tenant()
    await filled(estate)
    other = WarmRows(estate.scene.worker)
    assert await other.claim("tpl_other", TENANT) is None
    assert await states(estate.scene) == ["ready"]


async def test_a_copy_that_somebody_dropped_is_given_up(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    await estate.scene.tenant()
    workshop = await filled(estate, 2)
    first, second = (row["name"] for row in await rows(estate.scene))
    del estate.fake.databases[first]

    await made(workshop)

    assert marker(estate) == "7"
    assert f"the copy {first} is gone" in caplog.text
    assert second not in estate.fake.databases
    # Its row goes when nothing is there for sure.
    (row,) = await rows(estate.scene)
    assert (row["name"], row["state"]) == (first, "dropping")
    await Pool(workshop=estate.workshop()).step()
    assert await rows(estate.scene) == []


async def test_a_rename_that_is_refused_ends_in_a_copy(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    await estate.scene.tenant()
    workshop = await filled(estate)
    refused = Raised("builtins.Exception", "Couldn't rename database")
    estate.fake.fail("rename", raises=refused)

    await made(workshop)

    assert marker(estate) == "7"
    assert estate.fake.asked("duplicate_database") == 2
    (row,) = await rows(estate.scene)
    assert (row["state"], row["tenant_id"]) == ("ready", None)
    assert warm(estate) == {row["name"]}
    assert "is not renamed, but copied" in caplog.text


async def test_a_worker_that_was_replaced_puts_nothing_back(estate: Estate) -> None:
    await estate.scene.tenant()
    workshop = await filled(estate)
    estate.fake.fail("rename", raises=Raised("builtins.Exception", "Couldn't rename"))
    connection = await workshop.sites.get(TENANT)
    assert connection is not None
    async with holding(workshop.database, TENANT, patience=0) as hold:
        site = workshop.site(connection, hold)
        await estate.scene.execute("UPDATE odoo_connections SET fence = fence + 1")
        with pytest.raises(Replaced):
            await workshop.way("19.0", TENANT, site.safe).clone(TEMPLATE, NAME)
    assert await states(estate.scene) == ["claimed"]


async def test_a_copy_is_let_go_by_its_own_tenant_alone(estate: Estate) -> None:
    await estate.scene.tenant()
    workshop = await filled(estate)
    warm_rows = WarmRows(workshop.database)
    name = await warm_rows.claim(TEMPLATE, TENANT)
    assert name is not None
    for act in (warm_rows.put_back, warm_rows.use_up, warm_rows.give_up):
        await act(name, TENANT + 1)
    await warm_rows.forget(name)
    assert await states(estate.scene) == ["claimed"]
    await warm_rows.put_back(name, TENANT)
    assert await states(estate.scene) == ["ready"]


async def test_a_rename_whose_answer_is_lost_is_looked_at(estate: Estate) -> None:
    await estate.scene.tenant()
    workshop = await filled(estate)
    estate.fake.fail("rename", cut=True, happens=True)
    await made(workshop)
    assert marker(estate) == "7"
    assert estate.fake.asked("duplicate_database") == 1
    # Its row is settled by the next round, as the tenant's database is there.
    assert await states(estate.scene) == ["claimed"]
    await Pool(workshop=estate.workshop()).step()
    assert await rows(estate.scene) == []
    assert set(estate.fake.databases) == {TEMPLATE, NAME}


async def test_a_rename_that_never_came_is_done_by_the_next_try(
    estate: Estate,
) -> None:
    await estate.scene.tenant()
    await estate.scene.tenant(8)
    workshop = await filled(estate)
    estate.fake.fail("rename", cut=True)
    with pytest.raises(errors.OutcomeUnknown):
        await made(workshop)
    (row,) = await rows(estate.scene)
    assert (row["state"], row["tenant_id"]) == ("claimed", TENANT)
    # It is this tenant's: neither another's, nor dropped.
    await made(workshop, 8)
    await Pool(workshop=estate.workshop()).step()
    assert await states(estate.scene) == ["claimed"]

    await made(workshop)

    assert marker(estate) == "7"
    assert await rows(estate.scene) == []
    assert warm(estate) == set()


async def test_a_claim_is_kept_until_it_is_used(estate: Estate) -> None:
    await estate.scene.tenant()
    workshop = await filled(estate)
    name = await WarmRows(estate.scene.worker).claim(TEMPLATE, TENANT)
    (row,) = await rows(estate.scene)
    assert (row["name"], row["tenant_id"]) == (name, TENANT)
    assert await WarmRows(estate.scene.worker).claim(TEMPLATE, TENANT) == name
    await made(workshop)
    assert await rows(estate.scene) == []


async def test_of_another_template_or_too_many_are_dropped(estate: Estate) -> None:
    await filled(estate, 3)
    await Pool(workshop=estate.workshop(warm=1)).step()
    assert await states(estate.scene) == ["ready"]
    assert len(warm(estate)) == 1

    (old,) = await rows(estate.scene)
    await estate.keep_template("tpl_newer")
    estate.fake.databases["tpl_newer"] = estate.fake.databases[TEMPLATE].copied(
        "tpl_newer"
    )
    assert await Pool(workshop=estate.workshop(warm=1, template="tpl_newer")).step()
    (new,) = await rows(estate.scene)
    assert (new["template"], new["state"]) == ("tpl_newer", "ready")
    assert warm(estate) == {new["name"]} != {old["name"]}


async def test_switching_the_pool_off_empties_it(estate: Estate) -> None:
    await filled(estate, 2)
    await Pool(workshop=estate.workshop()).step()
    assert await rows(estate.scene) == []
    assert warm(estate) == set()


async def test_one_that_is_not_dropped_hinders_no_other(estate: Estate) -> None:
    await filled(estate, 2)
    await estate.scene.execute("UPDATE odoo_warm SET state = 'dropping'")
    refused = Raised("builtins.Exception", "Couldn't drop database")
    estate.fake.fail("drop", raises=refused)

    assert await Pool(workshop=estate.workshop(warm=1)).step()

    assert sorted(await states(estate.scene)) == ["dropping", "ready"]
    estate.fake.fail("drop", raises=refused)
    with pytest.raises(errors.ServerFault):  # so that whoever loops waits longer
        await Pool(workshop=estate.workshop(warm=1)).step()


async def test_one_that_cannot_be_made_makes_room(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.sites.pool.TRIES", 1)
    pool = Pool(workshop=estate.workshop(warm=1))
    names = []
    for _ in range(2):
        refused = Raised("builtins.Exception", "this name alone")
        estate.fake.fail("duplicate_database", raises=refused)
        with pytest.raises(errors.ServerFault):
            await pool.step()
        names += [(row["name"], row["state"]) for row in await rows(estate.scene)]
    (bad, making), (same, dropping) = names
    assert (bad, making, dropping) == (same, "making", "dropping")

    assert await pool.step()

    (row,) = await rows(estate.scene)
    assert row["state"] == "ready"
    assert row["name"] != bad


async def test_a_drop_that_fails_is_done_by_the_next_round(estate: Estate) -> None:
    await filled(estate, 1)
    estate.fake.fail("drop", cut=True)
    with pytest.raises(errors.OutcomeUnknown):
        await Pool(workshop=estate.workshop()).step()
    assert await states(estate.scene) == ["dropping"]
    assert await WarmRows(estate.scene.worker).claim(TEMPLATE, TENANT) is None
    await Pool(workshop=estate.workshop()).step()
    assert await rows(estate.scene) == []
    assert warm(estate) == set()


async def test_what_a_deleted_tenant_had_claimed_is_dropped(estate: Estate) -> None:
    await estate.scene.tenant()
    await filled(estate)
    await WarmRows(estate.scene.worker).claim(TEMPLATE, TENANT)
    await estate.scene.execute("DELETE FROM odoo_connections")
    await estate.scene.execute("DELETE FROM tenants")
    assert await states(estate.scene) == ["claimed"]
    await Pool(workshop=estate.workshop()).step()
    assert await rows(estate.scene) == []
    assert warm(estate) == set()


async def test_while_somebody_is_onboarded_none_is_begun(estate: Estate) -> None:
    await estate.scene.tenant()
    await estate.scene.execute(
        "INSERT INTO onboarding (tenant_id, phases, founder) VALUES ($1, '[]', 'i a')",
        TENANT,
    )
    pool = Pool(workshop=estate.workshop(warm=1))
    assert not await pool.step()
    assert await rows(estate.scene) == []
    # One that stands still for minutes is no reason to wait.
    await estate.scene.execute(
        "UPDATE onboarding SET updated_at = now() - interval '2 minutes'"
    )
    assert await pool.step()


async def test_several_workers_make_no_more_than_is_wanted(estate: Estate) -> None:
    async def fill() -> None:
        pool = Pool(workshop=estate.workshop(warm=4))

        async def ready() -> bool:
            await pool.step()
            return await states(estate.scene) == ["ready"] * 4

        await until(ready)

    await asyncio.gather(fill(), fill(), fill())

    assert warm(estate) == {row["name"] for row in await rows(estate.scene)}
    assert estate.fake.asked("duplicate_database") == 4


async def test_one_in_another_s_hands_is_not_begun_beside(estate: Estate) -> None:
    rows_ = WarmRows(estate.scene.worker)
    first = await rows_.begin(TEMPLATE, 2, "warm_a")
    assert first is not None
    assert await rows_.begin(TEMPLATE, 2, "warm_b") is None
    await estate.scene.execute("UPDATE odoo_warm SET held_until = now()")
    taken = await rows_.begin(TEMPLATE, 2, "warm_b")
    assert taken is not None
    assert (taken.name, taken.fence) == ("warm_a", first.fence + 1)
    # The one that was paused finds itself replaced, and changes nothing.
    for act in (first.extend(), first.finish(), first.let_go()):
        with pytest.raises(Replaced):
            await act
    await taken.finish()
    assert await states(estate.scene) == ["ready"]


async def test_the_lease_is_extended_while_a_copy_takes_long(
    estate: Estate,
) -> None:
    estate.fake.fail("duplicate_database", delay=2.0)
    pool = Pool(workshop=estate.workshop(warm=1), lease=0.6)
    step = asyncio.ensure_future(pool.step())
    seen: set[object] = set()

    async def over() -> bool:
        seen.update(row["held_until"] for row in await rows(estate.scene))
        return step.done()

    await until(over)
    assert await step
    assert len(seen) > 3


async def test_the_pool_is_kept_until_the_end(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    await estate.scene.tenant()
    closing = asyncio.Event()
    workshop = estate.workshop(warm=2)
    caplog.set_level(logging.INFO, logger="bff.sites.pool")
    keeping = asyncio.ensure_future(
        keep_warm(Pool(workshop=workshop), closing, lambda: 0.5)
    )

    async def ready() -> bool:
        return await states(estate.scene) == ["ready", "ready"]

    await until(ready)
    closing.set()
    await asyncio.wait_for(keeping, 10)
    assert f"a copy of {TEMPLATE} is ready: warm_" in caplog.text


async def test_failures_are_said_and_made_good_later(
    estate: Estate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.sites.pool.PAUSE", 0.05)
    for _ in range(2):
        estate.fake.fail("version", cut=True)
    closing = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.callback(closing.set)
        keeping = asyncio.ensure_future(
            keep_warm(Pool(workshop=estate.workshop(warm=1)), closing, lambda: 0.5)
        )

        async def ready() -> bool:
            return await states(estate.scene) == ["ready"]

        await until(ready)
    await asyncio.wait_for(keeping, 10)
    said = [one.getMessage() for one in caplog.records if "no copies" in one.message]
    assert said == ["no copies are made for 0.1 s", "no copies are made for 0.2 s"]
