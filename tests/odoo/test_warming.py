"""Copies made in advance, and the tenants that get them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from odoo import errors, records
from odoo.cloning import ByRpc, clone
from odoo.making import ensure_database
from odoo.ownership import take_ownership
from odoo.safe import Credentials
from odoo.warming import ByRename, warm_copy
from tests.fakes.odoo_data import FakeDatabase
from tests.fakes.odoo_raised import Raised
from tests.fakes.odoo_services import TEMPLATE, TEMPLATE_KEY
from tests.odoo.provisioning import (
    TENANT,
    Death,
    Killed,
    MemorySafe,
    at_once,
    fake_template,
    site_of,
)

if TYPE_CHECKING:
    from odoo.entering import Site
    from tests.odoo.conftest import Odoo

WARM, NAME = "warm_1", "acme"
MANY = 60


def _site(odoo: Odoo, name: str, safe: MemorySafe, death: Death | None = None) -> Site:
    return site_of(odoo.server, name, safe, death=death, sleep=at_once)


async def _warm(odoo: Odoo, safe: MemorySafe, death: Death | None = None) -> None:
    site = _site(odoo, WARM, safe, death)
    way = ByRpc(site.databases)
    await warm_copy(site, fake_template(odoo.fake), way, patience=1)


async def _tenant(
    odoo: Odoo, safe: MemorySafe, death: Death | None = None, *, else_copy: bool = True
) -> None:
    site = _site(odoo, NAME, safe, death)
    other = ByRpc(site.databases) if else_copy else None
    way, template = ByRename(site.databases, WARM, other), fake_template(odoo.fake)
    await ensure_database(site, TENANT, template, way, patience=1)
    await take_ownership(site, TENANT, template)


def _assert_warm(odoo: Odoo, name: str = WARM) -> None:
    made, template = odoo.fake.databases[name], odoo.fake.databases[TEMPLATE]
    assert made.uuid != template.uuid
    assert made.has_files
    assert set(made.keys) == {TEMPLATE_KEY}
    keys = [row["key"] for row in made.records["ir.config_parameter"].values()]
    assert records.MARKER not in keys
    assert made.records["res.users"] == template.records["res.users"]


async def test_warm_copy_is_whole_and_nobodys(odoo: Odoo) -> None:
    safe = MemorySafe()
    for _ in range(2):
        await _warm(odoo, safe)
        _assert_warm(odoo)
    assert odoo.fake.asked("duplicate_database") == 1


async def test_half_of_one_is_made_again(odoo: Odoo) -> None:
    safe = MemorySafe()
    odoo.fake.fail("duplicate_database", cut=True, half=True)
    await _warm(odoo, safe)
    _assert_warm(odoo)
    odoo.fake.databases[WARM].has_files = False
    await _warm(odoo, safe)
    _assert_warm(odoo)
    odoo.fake.databases[WARM] = FakeDatabase(name=WARM, is_broken=True)
    await _warm(odoo, safe)
    _assert_warm(odoo)


async def test_killed_at_any_step(odoo: Odoo) -> None:
    for at in range(1, MANY):
        safe, death = MemorySafe(), Death(at=at)
        try:
            await _warm(odoo, safe, death)
        except Killed:
            await _warm(odoo, safe)
        _assert_warm(odoo)
        del odoo.fake.databases[WARM]
        if not death.came:
            return
    raise AssertionError("there is no end to it")


@pytest.mark.parametrize("held", [None, Credentials(begun=True)])
async def test_what_is_somebody_elses_is_left_alone(
    odoo: Odoo, held: Credentials | None
) -> None:
    theirs = FakeDatabase.initialised(WARM, password="theirs")
    odoo.fake.databases[WARM] = theirs
    with pytest.raises(errors.NotOurs):
        await _warm(odoo, MemorySafe(held=held))
    assert odoo.fake.databases[WARM] is theirs
    assert not odoo.fake.asked("drop")


async def test_tenants_database_is_no_warm_copy(odoo: Odoo) -> None:
    await _warm(odoo, safe := MemorySafe())
    odoo.fake.databases[WARM].set_parameter(records.MARKER, TENANT)
    with pytest.raises(errors.NotOurs, match="another tenant"):
        await _warm(odoo, safe)
    assert not odoo.fake.asked("drop")


async def test_warm_copy_becomes_a_tenants(odoo: Odoo) -> None:
    await _warm(odoo, MemorySafe())
    uuid = odoo.fake.databases[WARM].uuid
    safe = MemorySafe()
    await _tenant(odoo, safe, else_copy=False)
    assert WARM not in odoo.fake.databases
    assert odoo.fake.databases[NAME].uuid == uuid
    assert set(odoo.fake.databases[NAME].keys) == {safe.known.key}
    assert odoo.fake.asked("duplicate_database") == 1
    await _tenant(odoo, safe, else_copy=False)


@pytest.mark.parametrize("late", [0.0, 0.3])
async def test_rename_whose_answer_was_lost(odoo: Odoo, late: float) -> None:
    await _warm(odoo, MemorySafe())
    odoo.fake.fail("rename", cut=True, happens=True, late=late)
    site = site_of(odoo.server, NAME, MemorySafe())
    way, template = ByRename(site.databases, WARM), fake_template(odoo.fake)
    await ensure_database(site, TENANT, template, way, patience=30)
    assert set(odoo.fake.databases) == {TEMPLATE, NAME}


async def test_rename_that_never_happened_is_tried_again(odoo: Odoo) -> None:
    await _warm(odoo, MemorySafe())
    odoo.fake.fail("rename", cut=True)
    safe = MemorySafe()
    with pytest.raises(errors.OutcomeUnknown):
        await _tenant(odoo, safe, else_copy=False)
    await _tenant(odoo, safe, else_copy=False)
    assert set(odoo.fake.databases) == {TEMPLATE, NAME}


async def test_files_that_were_not_moved(odoo: Odoo) -> None:
    await _warm(odoo, MemorySafe())
    odoo.fake.fail("rename", cut=True, fileless=True)
    await _tenant(odoo, MemorySafe())
    assert odoo.fake.databases[NAME].has_files
    assert odoo.fake.asked("duplicate_database") == 2


async def test_warm_copy_that_is_gone(odoo: Odoo) -> None:
    way = ByRename(odoo.databases, WARM)
    with pytest.raises(errors.TemplateMissing, match="gone"):
        await clone(way, odoo.databases, TEMPLATE, NAME, patience=0)
    await _tenant(odoo, MemorySafe())
    assert set(odoo.fake.databases) == {TEMPLATE, NAME}


async def test_name_that_is_taken(odoo: Odoo) -> None:
    await _warm(odoo, MemorySafe())
    odoo.fake.databases[NAME] = FakeDatabase.initialised(NAME, password="theirs")
    way = ByRename(odoo.databases, WARM, ByRpc(odoo.databases))
    with pytest.raises(errors.DatabaseExists):
        await way.clone(TEMPLATE, NAME)
    assert WARM in odoo.fake.databases
    with pytest.raises(errors.NotOurs):
        await _tenant(odoo, MemorySafe())


async def test_warm_copy_that_somebody_takes_just_now(odoo: Odoo) -> None:
    await _warm(odoo, MemorySafe())
    gone = Raised("builtins.Exception", f"Couldn't rename database {WARM}")
    odoo.fake.fail("rename", raises=gone)
    del odoo.fake.databases[WARM]
    odoo.fake.fail("authenticate", answers=(False,))  # it is there at the first look
    way = ByRename(odoo.databases, WARM, ByRpc(odoo.databases))
    await way.clone(TEMPLATE, NAME)
    assert set(odoo.fake.databases) == {TEMPLATE, NAME}


async def test_rename_that_odoo_refuses(odoo: Odoo) -> None:
    await _warm(odoo, MemorySafe())
    busy = Raised("builtins.Exception", "is being accessed by other users")
    odoo.fake.fail("rename", raises=busy)
    way = ByRename(odoo.databases, WARM, ByRpc(odoo.databases))
    with pytest.raises(errors.ServerFault):
        await way.clone(TEMPLATE, NAME)
    assert set(odoo.fake.databases) == {TEMPLATE, WARM}
