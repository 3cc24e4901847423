"""Nobody of a tenant gets in while it is suspended, and the same ones do afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from odoo import errors, records
from odoo.models import SessionModels, search, write
from odoo.suspending import SUSPENDED, is_suspended, resume, suspend, suspended
from odoo.verifying import smoke
from tests.fakes.odoo_data import ADMIN, SERVICE, FakeDatabase
from tests.odoo.provisioning import (
    TENANT,
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
PASSWORD = "Test-Clerk-Password-1"


@pytest.fixture
def safe() -> MemorySafe:
    return MemorySafe()


@pytest.fixture
async def site(odoo: Odoo, safe: MemorySafe) -> Site:
    made = site_of(odoo.server, NAME, safe, series=odoo.fake.series)
    await provisioned(made, fake_template(odoo.fake), patience=1)
    return made


@pytest.fixture
def database(odoo: Odoo, site: Site) -> FakeDatabase:
    return odoo.fake.databases[site.name]


@pytest.fixture
def clerk(database: FakeDatabase) -> int:
    return _user(database, "clerk")


@pytest.fixture
async def models(site: Site) -> Models:
    kept = await site.kept()
    return site.by_key(kept.user, kept.key)


def _user(database: FakeDatabase, login: str, **values: Any) -> int:
    given = {"login": login, "name": login, "password": PASSWORD, **values}
    return database.insert("res.users", given)


def _active(database: FakeDatabase) -> set[int]:
    users = database.records["res.users"].items()
    return {number for number, row in users if row["active"]}


@pytest.mark.parametrize("series", ["16.0", "19.0"])
async def test_only_the_service_user_is_left(
    odoo: Odoo, site: Site, database: FakeDatabase, clerk: int
) -> None:
    assert await suspend(site) == 2
    assert _active(database) == {SERVICE}
    assert await odoo.databases.authenticate(NAME, "clerk", PASSWORD) is None
    assert await resume(site) == 2
    assert _active(database) == {SERVICE, ADMIN, clerk}
    assert await odoo.databases.authenticate(NAME, "clerk", PASSWORD) == clerk


async def test_sessions_end_at_once(odoo: Odoo, site: Site, clerk: int) -> None:
    opened = await SessionModels.opened(odoo.server, NAME, "clerk", PASSWORD)
    assert await records.me(opened) == clerk
    await suspend(site)
    with pytest.raises(errors.SessionExpired):
        await records.me(opened)


async def test_whoever_was_archived_before_stays_archived(
    site: Site, database: FakeDatabase, clerk: int
) -> None:
    gone = _user(database, "gone", active=False)
    await suspend(site)
    await suspend(site)
    await resume(site)
    assert not database.records["res.users"][gone]["active"]
    assert _active(database) == {SERVICE, ADMIN, clerk}
    assert await resume(site) == 0


async def test_users_of_odoo_itself_are_left_alone(
    site: Site, database: FakeDatabase
) -> None:
    for name in ("public_user", "user_root"):
        number = database.named(f"base.{name}")
        assert number is not None
        database.records["res.users"][number]["active"] = True
    before = _active(database)
    await suspend(site)
    assert _active(database) == before - {ADMIN}


async def test_who_they_are_is_kept_before_anybody_is_archived(
    odoo: Odoo, site: Site, models: Models, database: FakeDatabase, clerk: int
) -> None:
    odoo.fake.fail("res.users/write", cut=True)
    with pytest.raises(errors.OutcomeUnknown):
        await suspend(site)
    assert await suspended(models) == {ADMIN, clerk}
    assert _active(database) == {SERVICE, ADMIN, clerk}


async def test_who_came_since_is_suspended_as_well(
    site: Site, models: Models, database: FakeDatabase, clerk: int
) -> None:
    await suspend(site)
    late = _user(database, "late")
    assert await suspend(site) == 1
    assert await suspended(models) == {ADMIN, clerk, late}
    await resume(site)
    assert _active(database) == {SERVICE, ADMIN, clerk, late}


async def test_who_was_deleted_since_is_no_hindrance(
    site: Site, database: FakeDatabase, clerk: int
) -> None:
    await suspend(site)
    del database.records["res.users"][clerk]
    assert await resume(site) == 1
    assert _active(database) == {SERVICE, ADMIN}


async def test_database_with_nobody_in_it_is_suspended_too(
    site: Site, models: Models, database: FakeDatabase
) -> None:
    await write(models, "res.users", [ADMIN], {"active": False})
    assert await suspend(site) == 0
    assert await is_suspended(models)
    await resume(site)
    assert not await is_suspended(models)
    assert _active(database) == {SERVICE}


async def test_we_work_on_while_it_is_suspended(site: Site, models: Models) -> None:
    await suspend(site)
    await smoke(site, TENANT)
    await resume(site)
    keys = await search(models, records.PARAMETERS, [], ["key"])
    assert SUSPENDED not in {row["key"] for row in keys}
