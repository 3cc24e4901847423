"""Databases that are there already: ours, half ours, and somebody else's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from odoo import errors, records
from odoo.cloning import ByRpc
from odoo.making import ensure_created, ensure_database
from odoo.safe import Credentials
from tests.fakes.odoo_data import FakeDatabase
from tests.fakes.odoo_raised import cannot_connect
from tests.fakes.odoo_services import TEMPLATE
from tests.odoo.provisioning import TENANT, MemorySafe, at_once, fake_template, site_of

if TYPE_CHECKING:
    from tests.odoo.conftest import Odoo

NAME = "acme"


async def _ensure(odoo: Odoo, safe: MemorySafe, *, tenant: str = TENANT) -> None:
    site = site_of(odoo.server, NAME, safe, series=odoo.fake.series, sleep=at_once)
    way = ByRpc(site.databases)
    await ensure_database(site, tenant, fake_template(odoo.fake), way, patience=1)


def _marker(odoo: Odoo) -> str | None:
    rows = odoo.fake.databases[NAME].records["ir.config_parameter"].values()
    return next((row["value"] for row in rows if row["key"] == records.MARKER), None)


async def test_copy_is_marked_and_asked_for_once(odoo: Odoo) -> None:
    safe = MemorySafe()
    for _ in range(2):
        await _ensure(odoo, safe)
    assert _marker(odoo) == TENANT
    assert odoo.fake.asked("duplicate_database") == 1
    assert safe.known.begun


async def test_half_a_copy_is_dropped_and_made_again(odoo: Odoo) -> None:
    odoo.fake.fail("duplicate_database", cut=True, half=True)
    await _ensure(odoo, MemorySafe())
    assert odoo.fake.databases[NAME].has_files
    assert odoo.fake.databases[NAME].uuid != odoo.fake.databases[TEMPLATE].uuid
    assert odoo.fake.asked("drop") == 1


async def test_copy_without_its_files_is_dropped_and_made_again(odoo: Odoo) -> None:
    safe = MemorySafe(held=Credentials(begun=True))
    odoo.fake.databases[NAME] = odoo.fake.databases[TEMPLATE].copied(NAME)
    odoo.fake.databases[NAME].has_files = False
    await _ensure(odoo, safe)
    assert odoo.fake.databases[NAME].has_files
    assert odoo.fake.asked("drop") == 1


async def test_copy_whose_answer_was_lost_is_kept(odoo: Odoo) -> None:
    odoo.fake.fail("duplicate_database", cut=True, happens=True)
    await _ensure(odoo, MemorySafe())
    assert odoo.fake.asked("duplicate_database") == 1
    assert odoo.fake.asked("drop") == 0


async def test_copies_that_always_break_off(odoo: Odoo) -> None:
    for _ in range(2):
        odoo.fake.fail("duplicate_database", cut=True, half=True)
    with pytest.raises(errors.DatabaseBroken, match="broke off"):
        await _ensure(odoo, MemorySafe())


async def test_copy_that_comes_late_is_ours(odoo: Odoo) -> None:
    safe = MemorySafe()
    odoo.fake.fail("duplicate_database", cut=True)
    with pytest.raises(errors.OutcomeUnknown):
        await _ensure(odoo, safe)
    # It comes between our next look and our next try.
    late = odoo.fake.databases[TEMPLATE].copied(NAME)
    site = site_of(odoo.server, NAME, safe, sleep=at_once)
    await ensure_database(
        site, TENANT, fake_template(odoo.fake), _Overtaken(odoo, late), patience=1
    )
    assert odoo.fake.databases[NAME] is late
    assert _marker(odoo) == TENANT


async def test_somebody_who_came_first_is_left_alone(odoo: Odoo) -> None:
    theirs = FakeDatabase.initialised(NAME, password="theirs")
    safe = MemorySafe()
    site = site_of(odoo.server, NAME, safe, sleep=at_once)
    with pytest.raises(errors.NotOurs, match="meanwhile"):
        await ensure_database(
            site, TENANT, fake_template(odoo.fake), _Overtaken(odoo, theirs), patience=1
        )
    assert not safe.known.begun
    with pytest.raises(errors.NotOurs):
        await _ensure(odoo, safe)
    assert odoo.fake.databases[NAME] is theirs


@pytest.mark.parametrize("held", [Credentials(), Credentials(begun=True)])
async def test_database_of_somebody_else(odoo: Odoo, held: Credentials) -> None:
    theirs = FakeDatabase.initialised(NAME, password="theirs")
    odoo.fake.databases[NAME] = theirs
    safe = MemorySafe(held=held)
    with pytest.raises(errors.NotOurs, match="nothing of ours opens"):
        await _ensure(odoo, safe)
    assert odoo.fake.databases[NAME] is theirs
    assert odoo.fake.asked("drop") == 0


async def test_copy_of_our_template_that_we_never_asked_for(odoo: Odoo) -> None:
    await odoo.databases.duplicate(TEMPLATE, NAME)
    with pytest.raises(errors.NotOurs, match="never asked"):
        await _ensure(odoo, MemorySafe())
    assert _marker(odoo) is None


async def test_database_of_another_tenant(odoo: Odoo) -> None:
    await _ensure(odoo, MemorySafe(), tenant="t-2002")
    with pytest.raises(errors.NotOurs, match="another tenant"):
        await _ensure(odoo, MemorySafe(held=Credentials(begun=True)))
    assert _marker(odoo) == "t-2002"


@pytest.mark.parametrize("fault", [{"broken": True}, {"forgets": True}])
async def test_half_a_creation_is_dropped_and_made_again(
    odoo: Odoo, fault: dict[str, bool]
) -> None:
    odoo.fake.fail("create_database", cut=True, **fault)
    site = site_of(odoo.server, NAME, MemorySafe(), sleep=at_once)
    models = await ensure_created(site, TENANT, patience=1)
    assert await records.parameter(models, records.MARKER) == TENANT
    assert odoo.fake.asked("drop") == 1


@pytest.mark.parametrize("tables", ["none", "some"])
async def test_creation_over_somebody_elses_database(odoo: Odoo, tables: str) -> None:
    theirs = FakeDatabase.initialised(NAME)  # admin/admin: a half-made one of theirs
    theirs.is_broken = tables == "none"
    odoo.fake.databases[NAME] = theirs
    site = site_of(odoo.server, NAME, MemorySafe(), sleep=at_once)
    with pytest.raises(errors.NotOurs):
        await ensure_created(site, TENANT, patience=1)
    assert odoo.fake.databases[NAME] is theirs


@dataclass
class _Overtaken:
    """A way to copy, just before which a database appears."""

    odoo: Odoo
    appears: FakeDatabase

    async def clone(self, template: str, name: str) -> None:
        self.odoo.fake.databases[name] = self.appears
        await self.odoo.databases.duplicate(template, name)

    async def drop(self, name: str) -> None:
        await self.odoo.databases.drop(name)


@dataclass
class _ByHand:
    """A way that asks nothing of the manager; its first copy is half of one."""

    odoo: Odoo
    done: list[str]

    async def clone(self, template: str, name: str) -> None:
        databases, half = self.odoo.fake.databases, not self.done
        self.done.append("clone")
        databases[name] = databases[template].copied(name, half=half)
        if half:
            raise errors.OutcomeUnknown("killed")

    async def drop(self, name: str) -> None:
        self.done.append("drop")
        del self.odoo.fake.databases[name]


async def test_half_a_copy_goes_by_the_way_it_came(odoo: Odoo) -> None:
    odoo.fake.list_db = False  # RPC drops nothing here
    site = site_of(odoo.server, NAME, MemorySafe(), sleep=at_once)
    way = _ByHand(odoo, [])
    await ensure_database(site, TENANT, fake_template(odoo.fake), way, patience=1)
    assert way.done == ["clone", "drop", "clone"]
    assert _marker(odoo) == TENANT


async def test_a_refused_connection_costs_no_key(odoo: Odoo) -> None:
    safe = MemorySafe()
    await _ensure(odoo, safe)
    safe.held = before = replace(safe.known, key="Test-Live-Key-1")
    odoo.fake.fail("authenticate", raises=cannot_connect("too many clients already"))
    with pytest.raises(errors.DatabaseUnreachable):
        await _ensure(odoo, safe)
    assert safe.held == before
