"""Whatever was done to the founder's way in, it is there again afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from odoo import errors, records
from odoo.repairing import repair
from odoo.suspending import resume, suspend
from tests.fakes.odoo_data import ADMIN, FakeDatabase
from tests.fakes.odoo_raised import not_found
from tests.odoo.provisioning import (
    FOUNDER,
    PROVIDER,
    MemorySafe,
    fake_template,
    provisioned,
    site_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from odoo.entering import Site
    from tests.odoo.conftest import Odoo

NAME = "acme"
USERS = "res.users"
EDITIONS = [("17.0", 2024), ("19.0", 2025), ("19.0", 2026)]


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


def _admin(database: FakeDatabase, **values: Any) -> dict[str, Any]:
    row = database.records[USERS][ADMIN]
    row.update(values)
    return row


def _provider(database: FakeDatabase, **values: Any) -> tuple[int, dict[str, Any]]:
    rows = database.records[records.PROVIDERS].items()
    ((number, row),) = [one for one in rows if one[1]["name"] == PROVIDER.name]
    row.update(values)
    return number, row


def _assert_linked(database: FakeDatabase, safe: MemorySafe) -> None:
    number, row = _provider(database)
    assert row["enabled"]
    assert row["token_endpoint"] == PROVIDER.token_endpoint
    assert row["code_verifier"] == safe.known.code_verifier
    admin = _admin(database)
    assert (admin["oauth_uid"], admin["oauth_provider_id"]) == (FOUNDER.subject, number)
    assert admin["password"] == safe.known.admin_password
    assert admin["active"]


SPOILT: dict[str, Callable[[FakeDatabase], object]] = {
    "nothing": lambda it: it,
    "linked to somebody else": lambda it: _admin(it, oauth_uid="sub-9"),
    "link removed": lambda it: _admin(it, oauth_uid=False, oauth_provider_id=False),
    "archived": lambda it: _admin(it, active=False),
    "password changed": lambda it: _admin(it, password="theirs"),
    "provider off": lambda it: _provider(it, enabled=False),
    "provider elsewhere": lambda it: _provider(it, token_endpoint="https://x.test"),
    "provider renamed": lambda it: _provider(it, name="Theirs"),
    "provider deleted": lambda it: it.records.pop(records.PROVIDERS),
    "everything": lambda it: [
        _admin(it, oauth_uid="sub-9", active=False, password="theirs", login="admin"),
        it.records.pop(records.PROVIDERS),
    ],
}


@pytest.mark.parametrize("what", SPOILT)
async def test_founder_gets_in_again(
    site: Site, safe: MemorySafe, database: FakeDatabase, what: str
) -> None:
    before = safe.known.admin_password
    SPOILT[what](database)
    await repair(site, PROVIDER, FOUNDER)
    _assert_linked(database, safe)
    assert safe.known.admin_password != before
    enabled = [
        one for one in database.records[records.PROVIDERS].values() if one["enabled"]
    ]
    assert [one["name"] for one in enabled] == [PROVIDER.name]


@pytest.mark.parametrize("series", ["16.0", "19.0"])
async def test_repair_is_repeated_freely(
    site: Site, safe: MemorySafe, database: FakeDatabase
) -> None:
    for _ in range(3):
        await repair(site, PROVIDER, FOUNDER)
        _assert_linked(database, safe)
    assert len({one.admin_password for one in safe.history}) == 4


async def test_password_is_kept_before_odoo_hears_of_it(
    odoo: Odoo, site: Site, safe: MemorySafe, database: FakeDatabase
) -> None:
    before = _admin(database)["password"]
    odoo.fake.fail("res.users/write", cut=True)
    with pytest.raises(errors.OutcomeUnknown):
        await repair(site, PROVIDER, FOUNDER)
    assert _admin(database)["password"] == before
    assert safe.known.admin_password != before


async def test_password_that_odoo_does_not_take(
    odoo: Odoo, site: Site, safe: MemorySafe
) -> None:
    odoo.fake.fail("authenticate", answers=(False,))
    with pytest.raises(errors.NotReady, match="not accepted") as raised:
        await repair(site, PROVIDER, FOUNDER)
    assert safe.known.admin_password not in str(raised.value)


async def test_what_the_founder_calls_themselves_stays(
    site: Site, database: FakeDatabase
) -> None:
    _admin(database, login="fay@x.test", name="Fay F.", email="fay@x.test")
    await repair(site, PROVIDER, FOUNDER)
    admin = _admin(database)
    assert (admin["login"], admin["name"]) == ("fay@x.test", "Fay F.")


async def test_login_of_odoo_itself_becomes_the_founders(
    site: Site, database: FakeDatabase
) -> None:
    _admin(database, login="admin")
    await repair(site, PROVIDER, FOUNDER)
    assert _admin(database)["login"] == FOUNDER.email


@pytest.mark.parametrize("active", [True, False])
async def test_login_that_somebody_else_has_is_left_to_them(
    site: Site, safe: MemorySafe, database: FakeDatabase, *, active: bool
) -> None:
    _admin(database, login="admin")
    theirs = {"login": FOUNDER.email, "name": "O", "password": "", "active": active}
    number = database.insert(USERS, theirs)
    await repair(site, PROVIDER, FOUNDER)
    _assert_linked(database, safe)
    assert _admin(database)["login"] == "admin"
    assert database.records[USERS][number]["login"] == FOUNDER.email


@pytest.mark.parametrize("active", [True, False])
async def test_link_that_another_account_took_is_taken_back(
    site: Site, safe: MemorySafe, database: FakeDatabase, *, active: bool
) -> None:
    number, _ = _provider(database)
    _admin(database, oauth_uid=False, oauth_provider_id=False)
    link = {"oauth_uid": FOUNDER.subject, "oauth_provider_id": number}
    theirs = {"login": "x@x.test", "name": "X", "password": "", "active": active}
    other = database.insert(USERS, theirs | link)
    await repair(site, PROVIDER, FOUNDER)
    _assert_linked(database, safe)
    assert not database.records[USERS][other]["oauth_uid"]


async def test_suspension_is_not_lifted(
    site: Site, safe: MemorySafe, database: FakeDatabase
) -> None:
    await suspend(site)
    await repair(site, PROVIDER, FOUNDER)
    assert not _admin(database)["active"]
    await resume(site)
    _assert_linked(database, safe)


async def test_token_of_the_last_sign_in_is_forgotten(
    odoo: Odoo, site: Site, database: FakeDatabase
) -> None:
    _admin(database, oauth_access_token="theirs")
    await repair(site, PROVIDER, FOUNDER)
    assert not _admin(database)["oauth_access_token"]
    missing = not_found("The method does not exist")
    odoo.fake.fail("res.users/remove_oauth_access_token", raises=missing)
    await repair(site, PROVIDER, FOUNDER)


@pytest.mark.parametrize(("series", "year"), EDITIONS)
@pytest.mark.parametrize("link", ["sub-9", ""])
async def test_keys_of_an_account_that_changes_hands_are_revoked(
    site: Site, safe: MemorySafe, database: FakeDatabase, link: str
) -> None:
    _admin(database, oauth_uid=link or False)
    database._new_key(ADMIN, "theirs", None)
    await repair(site, PROVIDER, FOUNDER)
    assert list(database.keys) == [safe.known.key]
    mine = database._new_key(ADMIN, "mine", None)
    await repair(site, PROVIDER, FOUNDER)
    assert mine in database.keys, "the founder's own stay"


@pytest.mark.parametrize("call", ["remove", "run_check"])
async def test_keys_are_revoked_by_the_next_repair_if_one_breaks_off(
    odoo: Odoo, site: Site, safe: MemorySafe, database: FakeDatabase, call: str
) -> None:
    _admin(database, oauth_uid="sub-9")
    database._new_key(ADMIN, "theirs", None)
    model = "apikeys" if call == "remove" else "identitycheck"
    odoo.fake.fail(f"res.users.{model}/{call}", cut=True)
    with pytest.raises(errors.OutcomeUnknown):
        await repair(site, PROVIDER, FOUNDER)
    await repair(site, PROVIDER, FOUNDER)
    assert list(database.keys) == [safe.known.key]
    _assert_linked(database, safe)


async def test_account_that_is_gone_is_told(site: Site, database: FakeDatabase) -> None:
    database.forget_names(USERS, [ADMIN])
    with pytest.raises(errors.RecordMissing, match="user_admin"):
        await repair(site, PROVIDER, FOUNDER)


async def test_database_that_nothing_of_ours_opens(
    site: Site, safe: MemorySafe, database: FakeDatabase
) -> None:
    database.keys.clear()
    safe.held = replace(safe.known, service_password="lost")
    with pytest.raises(errors.NotOurs):
        await repair(site, PROVIDER, FOUNDER)
