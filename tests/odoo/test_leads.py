"""Companies as leads: each once, only our fields, whatever Odoo refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from odoo import errors, leads
from odoo.leads import Lead, Pushed, push
from odoo.models import unlink
from odoo.records import MARKER, external
from tests.fakes.odoo_raised import Raised
from tests.odoo.provisioning import (
    TENANT,
    MemorySafe,
    fake_template,
    provisioned,
    site_of,
)

if TYPE_CHECKING:
    from odoo.models import Models
    from tests.fakes.odoo_data import FakeDatabase
    from tests.odoo.conftest import Odoo

NAME = "acme"
INVALID = "odoo.exceptions.ValidationError"
BAD = "\0"  # PostgreSQL has no such character


@pytest.fixture
async def models(odoo: Odoo) -> Models:
    site = site_of(odoo.server, NAME, MemorySafe(), series=odoo.fake.series)
    return await provisioned(site, fake_template(odoo.fake), patience=1)


@pytest.fixture
def database(odoo: Odoo, models: Models) -> FakeDatabase:
    del models
    return odoo.fake.databases[NAME]


def _leads(count: int) -> list[Lead]:
    return [
        Lead(
            company_id=number,
            name=f"Company {number}",
            partner_name=f"Company {number} Pte Ltd",
            email_from=f"office@{number}.test",
            description=f"<p>Score {number}</p>",
        )
        for number in range(1, count + 1)
    ]


def _rows(database: FakeDatabase) -> list[dict[str, Any]]:
    return list(database.records.get("crm.lead", {}).values())


async def _row(models: Models, database: FakeDatabase, company: int) -> dict[str, Any]:
    number = await external(models, f"bff.lead_{company}")
    assert number is not None
    return database.records["crm.lead"][number]


@pytest.mark.parametrize("series", ["16.0", "19.0"])
async def test_each_company_once(models: Models, database: FakeDatabase) -> None:
    first = await push(models, TENANT, _leads(3))
    assert first == Pushed(created=(1, 2, 3))
    second = await push(models, TENANT, _leads(4))
    assert second == Pushed(created=(4,), updated=(1, 2, 3))
    assert sorted(row["name"] for row in _rows(database)) == [
        *("Company 1", "Company 2", "Company 3", "Company 4"),
    ]


async def test_many_are_sent_in_batches(
    models: Models, database: FakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leads, "MOST", 4)
    pushed = await push(models, TENANT, _leads(10))
    assert pushed.created == tuple(range(1, 11))
    assert len(_rows(database)) == 10
    assert (await push(models, TENANT, _leads(10))).updated == tuple(range(1, 11))


async def test_last_of_several_for_one_company_counts(
    models: Models, database: FakeDatabase
) -> None:
    (one,) = _leads(1)
    pushed = await push(models, TENANT, [one, replace(one, name="Newer")])
    assert pushed.created == (1,)
    assert [row["name"] for row in _rows(database)] == ["Newer"]


async def test_new_lead_is_nobodys_and_of_the_databases_kind(
    models: Models, database: FakeDatabase
) -> None:
    await push(models, TENANT, _leads(1))
    (row,) = _rows(database)
    assert row["type"] == "opportunity"
    assert row["user_id"] is False


async def test_what_people_changed_stays(
    models: Models, database: FakeDatabase
) -> None:
    await push(models, TENANT, _leads(1))
    row = await _row(models, database, 1)
    theirs = {"stage_id": 4, "user_id": 2, "description": "Called", "type": "lead"}
    row.update({**theirs, "phone": "+65 1", "name": "Renamed"})
    await push(models, TENANT, _leads(1))
    assert {name: row[name] for name in theirs} == theirs
    assert row["phone"] == "+65 1"  # we have none to say
    assert row["name"] == "Company 1"


async def test_what_changed_with_us_is_written(
    models: Models, database: FakeDatabase
) -> None:
    await push(models, TENANT, _leads(1))
    changed = replace(_leads(1)[0], website="https://one.test", contact_name="Ann")
    await push(models, TENANT, [changed])
    row = await _row(models, database, 1)
    assert (row["website"], row["contact_name"]) == ("https://one.test", "Ann")
    assert row["email_from"] == "office@1.test"


@pytest.mark.parametrize("bad", [{1}, {5}, {9}, {2, 3}, set(range(1, 10))])
async def test_row_that_odoo_refuses_holds_up_no_other(
    models: Models, database: FakeDatabase, bad: set[int]
) -> None:
    each = [
        replace(one, name=BAD) if one.company_id in bad else one for one in _leads(9)
    ]
    pushed = await push(models, TENANT, each)
    assert set(pushed.errors) == bad
    assert all("NUL" in why for why in pushed.errors.values())
    assert set(pushed.created) == set(range(1, 10)) - bad
    assert len(_rows(database)) == 9 - len(bad)
    again = await push(models, TENANT, _leads(9))
    assert (set(again.created), again.errors) == (bad, {})


async def test_refusal_of_the_whole_call_is_halved_too(
    odoo: Odoo, models: Models, database: FakeDatabase
) -> None:
    odoo.fake.fail("crm.lead/load", raises=Raised(INVALID, "Something is wrong"))
    assert (await push(models, TENANT, _leads(2))).created == (1, 2)
    odoo.fake.fail("crm.lead/load", raises=Raised(INVALID, "Something is wrong"))
    pushed = await push(models, TENANT, _leads(1))
    assert pushed == Pushed(errors={1: "Something is wrong"})
    assert len(_rows(database)) == 2


async def test_lead_that_people_deleted_stays_deleted(
    models: Models, database: FakeDatabase
) -> None:
    await push(models, TENANT, _leads(2))
    number = await external(models, "bff.lead_1")
    assert number is not None
    await unlink(models, "crm.lead", [number])
    pushed = await push(models, TENANT, _leads(3))
    assert pushed == Pushed(created=(3,), updated=(2,), left=(1,))
    assert len(_rows(database)) == 2


async def test_lead_that_people_archived_stays_archived(
    models: Models, database: FakeDatabase
) -> None:
    await push(models, TENANT, _leads(1))
    row = await _row(models, database, 1)
    row["active"] = False
    assert (await push(models, TENANT, _leads(1))).updated == (1,)
    assert row["active"] is False
    assert len(_rows(database)) == 1


async def test_nothing_is_written_into_another_tenants_database(
    models: Models, database: FakeDatabase
) -> None:
    with pytest.raises(errors.NotOurs):
        await push(models, "t-2002", _leads(1))
    ours = [["key", "=", MARKER]]
    (row,) = await models.call(
        "ir.config_parameter", "search_read", domain=ours, fields=["key"]
    )
    await unlink(models, "ir.config_parameter", [row["id"]])
    with pytest.raises(errors.NotOurs):
        await push(models, TENANT, _leads(1))
    assert not _rows(database)


async def test_answer_that_was_lost_makes_nothing_twice(
    odoo: Odoo, models: Models, database: FakeDatabase
) -> None:
    for method in ("crm.lead/load", "ir.model.data/create"):
        odoo.fake.fail(method, cut=True, happens=True)
        with pytest.raises(errors.OutcomeUnknown):
            await push(models, TENANT, _leads(2))
    pushed = await push(models, TENANT, _leads(2))
    assert pushed.updated == (1, 2)
    assert len(_rows(database)) == 2
    names = [row["name"] for row in database.records["ir.model.data"].values()]
    assert len(names) == len(set(names))


async def test_nothing_to_send(models: Models, database: FakeDatabase) -> None:
    assert await push(models, TENANT, []) == Pushed()
    assert not _rows(database)
