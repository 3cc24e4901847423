"""The database manager, against a fake Odoo that fails on purpose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from odoo import errors
from odoo.databases import State
from tests.fakes.odoo_data import FakeDatabase
from tests.fakes.odoo_raised import Raised, cannot_connect
from tests.fakes.odoo_services import ADMIN_PASSWORD, TEMPLATE

if TYPE_CHECKING:
    from tests.odoo.conftest import Odoo

PASSWORD = "Test-Owner-Password-1"


@pytest.mark.parametrize("series", ["16.0", "17.0", "18.0", "19.0"])
async def test_preflight(odoo: Odoo, series: str) -> None:
    assert await odoo.databases.preflight() == series


@pytest.mark.parametrize("series", ["20.0"])
async def test_odoo_20_has_no_such_service(odoo: Odoo) -> None:
    with pytest.raises(errors.NotOffered):
        await odoo.databases.preflight()


async def test_preflight_tells_what_is_wrong(odoo: Odoo) -> None:
    wrong = replace(odoo.databases, master="wrong")
    with pytest.raises(errors.AccessDenied):
        await wrong.preflight()
    odoo.fake.list_db = False
    with pytest.raises(errors.ManagerDisabled):
        await odoo.databases.preflight()


async def test_preflight_changes_nothing(odoo: Odoo) -> None:
    await odoo.databases.preflight()
    assert [name for name, _ in odoo.fake.seen] == [
        *("version", "list", "migrate_databases"),
    ]


@pytest.mark.parametrize("series", ["16.0", "19.0"])
async def test_states(odoo: Odoo) -> None:
    state = odoo.databases.state
    odoo.fake.databases["acme"] = FakeDatabase.initialised("acme")
    odoo.fake.databases["half"] = FakeDatabase(name="half", is_broken=True)
    assert await state("acme") is State.USABLE
    assert await state("half") is State.BROKEN
    assert await state("nowhere") is State.MISSING
    assert await state(TEMPLATE) is State.MISSING
    odoo.fake.has_postgres = False
    with pytest.raises(errors.DatabaseUnreachable):
        await state("acme")


async def test_broken_only_database_does_not_bring_the_server_down(odoo: Odoo) -> None:
    # Odoo 19 answers every request with 500 as long as it is the only one.
    odoo.fake.databases["half"] = FakeDatabase(name="half", is_broken=True)
    assert (await odoo.server.health()).postgres is True
    assert await odoo.databases.preflight() == "19.0"
    assert await odoo.databases.state("half") is State.BROKEN
    await odoo.databases.drop("half")
    assert await odoo.databases.listed() == frozenset()


async def test_names_are_checked_before_anything_is_sent(odoo: Odoo) -> None:
    databases, bad = odoo.databases, "../esc"
    for call in (
        databases.state(bad),
        databases.create(bad, login="a", password=PASSWORD),
        databases.duplicate(TEMPLATE, bad),
        databases.duplicate(bad, "acme"),
        databases.rename("acme", bad),
        databases.drop(bad),
        databases.drop("postgres"),
    ):
        with pytest.raises(errors.BadName):
            await call
    assert not odoo.fake.seen


async def test_creation_that_failed_inside_is_not_believed(odoo: Odoo) -> None:
    # Odoo 16 to 19 answers True all the same.
    for name, fault in (("acme", "broken"), ("globex", "forgets")):
        odoo.fake.fail("create_database", **{fault: True})
        with pytest.raises(errors.DatabaseBroken):
            await odoo.databases.create(name, login="a@b.test", password=PASSWORD)


async def test_created_administrator(odoo: Odoo) -> None:
    uid = await odoo.databases.create("acme", login="a@b.test", password=PASSWORD)
    assert await odoo.databases.authenticate("acme", "a@b.test", PASSWORD) == uid
    assert await odoo.databases.authenticate("acme", "a@b.test", "wrong") is None


async def test_race_of_two_creations(odoo: Odoo) -> None:
    said = 'duplicate key value violates unique constraint "pg_database_datname_index"'
    odoo.fake.fail(
        "create_database", raises=Raised("psycopg2.errors.UniqueViolation", said)
    )
    with pytest.raises(errors.DatabaseExists):
        await odoo.databases.create("acme", login="a@b.test", password=PASSWORD)


async def test_waiting_for_what_comes_late(odoo: Odoo) -> None:
    odoo.fake.fail("duplicate_database", cut=True, late=0.5)
    with pytest.raises(errors.OutcomeUnknown):
        await odoo.databases.duplicate(TEMPLATE, "acme")
    assert await odoo.databases.state("acme") is State.MISSING
    assert await odoo.databases.settled("acme") is State.USABLE


async def test_waiting_ends(odoo: Odoo) -> None:
    assert await odoo.databases.settled("acme", seconds=0) is State.MISSING
    odoo.fake.databases["half"] = FakeDatabase(name="half", is_broken=True)
    assert await odoo.databases.settled("half", seconds=0.5) is State.BROKEN


async def test_waiting_through_an_outage(odoo: Odoo) -> None:
    odoo.fake.databases["acme"] = FakeDatabase.initialised("acme")
    odoo.fake.fail("authenticate", cut=True)
    odoo.fake.fail("authenticate", page=(502, "<h1>Bad Gateway</h1>"))
    assert await odoo.databases.settled("acme") is State.USABLE
    odoo.fake.has_postgres = False
    with pytest.raises(errors.DatabaseUnreachable):
        await odoo.databases.settled("acme", seconds=0.5)


async def test_lasting_failure_is_not_waited_for(odoo: Odoo) -> None:
    for _ in range(2):
        said = Raised("builtins.ValueError", "odd")
        odoo.fake.fail("authenticate", raises=said)
    with pytest.raises(errors.ServerFault):
        await odoo.databases.settled("acme")
    assert odoo.fake.asked("authenticate") == 0
    assert len(odoo.fake.faults["authenticate"]) == 1


async def test_drop(odoo: Odoo) -> None:
    await odoo.databases.duplicate(TEMPLATE, "acme")
    await odoo.databases.drop("acme")
    await odoo.databases.drop("acme")
    assert "acme" not in odoo.fake.databases


async def test_drop_that_did_not(odoo: Odoo) -> None:
    # `-d other` without dbfilter: Odoo drops no database but its own, and says False.
    await odoo.databases.duplicate(TEMPLATE, "acme")
    await odoo.databases.duplicate(TEMPLATE, "other")
    odoo.fake.only = ("other",)
    with pytest.raises(errors.NotDropped):
        await odoo.databases.drop("acme")


async def test_rename(odoo: Odoo) -> None:
    await odoo.databases.duplicate(TEMPLATE, "acme")
    await odoo.databases.duplicate(TEMPLATE, "other")
    with pytest.raises(errors.ServerFault):
        await odoo.databases.rename("acme", "other")
    await odoo.databases.rename("acme", "globex")
    assert await odoo.databases.state("globex") is State.USABLE


async def test_secrets_of_a_call_are_cut_out_of_its_error(odoo: Odoo) -> None:
    said = f"argument {PASSWORD} and {odoo.databases.master}"
    odoo.fake.fail("create_database", raises=Raised("builtins.TypeError", said))
    with pytest.raises(errors.ServerFault, match="argument … and …") as raised:
        await odoo.databases.create("acme", login="a@b.test", password=PASSWORD)
    assert PASSWORD not in repr(vars(raised.value))


async def test_key_signs_in_like_a_password(odoo: Odoo) -> None:
    await odoo.databases.duplicate(TEMPLATE, "acme")
    assert await odoo.databases.authenticate("acme", "admin", ADMIN_PASSWORD) == 2


async def test_a_refused_connection_is_no_missing_database(odoo: Odoo) -> None:
    odoo.fake.databases["acme"] = FakeDatabase.initialised("acme")
    refused = cannot_connect("sorry, too many clients already")
    odoo.fake.fail("authenticate", raises=refused)
    with pytest.raises(errors.DatabaseUnreachable):
        await odoo.databases.state("acme")
    # One that is not listed either is not there.
    odoo.fake.fail("authenticate", raises=refused)
    assert await odoo.databases.state("nowhere") is State.MISSING


async def test_without_a_list_only_postgres_itself_tells(odoo: Odoo) -> None:
    odoo.fake.list_db = False
    assert await odoo.databases.state("nowhere") is State.MISSING
    assert await odoo.databases.state(TEMPLATE) is State.MISSING
    odoo.fake.fail("authenticate", raises=cannot_connect("zu viele Verbindungen"))
    with pytest.raises(errors.DatabaseUnreachable):
        await odoo.databases.state("nowhere")
