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
    from tests.fakes.odoo_data import Asked
    from tests.odoo.conftest import Odoo

NAME = "acme"
EDITIONS = [("17.0", 2024), ("19.0", 2025), ("19.0", 2026)]
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


async def _models(site: Site) -> Models:
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


async def test_of_odoo_s_own_users_the_root_alone_is_spared(
    site: Site, database: FakeDatabase
) -> None:
    portal = _user(database, "portal")
    database.name_record("base.template_portal_user_id", "res.users", portal)
    public, root = map(database.named, ("base.public_user", "base.user_root"))
    assert public is not None
    assert root is not None
    for number in (public, root):
        database.records["res.users"][number]["active"] = True
    before = _active(database)
    await suspend(site)
    assert _active(database) == before - {ADMIN, portal, public}
    await resume(site)
    assert _active(database) == before


async def test_who_is_called_like_odoo_s_own_is_suspended(
    site: Site, database: FakeDatabase, clerk: int
) -> None:
    database.forget_names("res.users", [1])
    database.name_record("base.user_root", "res.users", clerk)
    await suspend(site)
    assert _active(database) == {SERVICE}


@pytest.mark.parametrize(("series", "year"), EDITIONS)
async def test_a_way_in_as_the_service_user_that_was_prepared_is_closed(
    odoo: Odoo, site: Site, safe: MemorySafe, database: FakeDatabase
) -> None:
    row = database.records["res.users"][SERVICE]
    ours = safe.known
    row.update(password=PASSWORD, oauth_uid="sub-9")
    # By our key's own name: the list tells them apart by nothing else.
    stolen = [database._new_key(SERVICE, name, None) for name in ("x", ours.key_name)]

    await suspend(site)

    assert row["password"] == safe.known.service_password
    assert not row["oauth_uid"]
    assert list(database.keys) == [safe.known.key]
    assert safe.known.key not in {*stolen, ours.key}
    assert await odoo.databases.authenticate(NAME, "bff-service", PASSWORD) is None


@pytest.mark.parametrize("series", ["17.0", "19.0"])
async def test_a_service_user_whose_login_was_taken_has_it_back(
    site: Site, database: FakeDatabase, clerk: int
) -> None:
    users = database.records["res.users"]
    users[SERVICE]["login"], users[clerk]["login"] = "other", "bff-service"
    await suspend(site)
    assert users[SERVICE]["login"] == "bff-service"
    assert _active(database) == {SERVICE}


async def test_who_is_let_in_by_the_service_user_meanwhile_is_suspended_too(
    odoo: Odoo, site: Site, database: FakeDatabase, clerk: int
) -> None:
    take_back = database.check_users

    def and_let_in(asked: Asked, values: dict[str, Any]) -> None:
        take_back(asked, values)
        if "password" in values:
            database.records["res.users"][clerk]["active"] = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "check_users", and_let_in)
        await suspend(site)
    assert _active(database) == {SERVICE}


async def test_who_they_are_is_kept_before_anybody_is_archived(
    odoo: Odoo, site: Site, database: FakeDatabase, clerk: int
) -> None:
    odoo.fake.fail("res.users/write", cut=True)
    with pytest.raises(errors.OutcomeUnknown):
        await suspend(site)
    assert await suspended(await _models(site)) == {ADMIN, clerk}
    assert _active(database) == {SERVICE, ADMIN, clerk}


async def test_who_came_since_is_suspended_as_well(
    site: Site, database: FakeDatabase, clerk: int
) -> None:
    await suspend(site)
    late = _user(database, "late")
    assert await suspend(site) == 1
    assert await suspended(await _models(site)) == {ADMIN, clerk, late}
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
    site: Site, database: FakeDatabase
) -> None:
    await write(await _models(site), "res.users", [ADMIN], {"active": False})
    assert await suspend(site) == 0
    assert await is_suspended(await _models(site))
    await resume(site)
    assert not await is_suspended(await _models(site))
    assert _active(database) == {SERVICE}


async def test_we_work_on_while_it_is_suspended(site: Site) -> None:
    await suspend(site)
    await smoke(site, TENANT)
    await resume(site)
    keys = await search(await _models(site), records.PARAMETERS, [], ["key"])
    assert SUSPENDED not in {row["key"] for row in keys}
