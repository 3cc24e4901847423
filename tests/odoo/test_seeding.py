"""What a new tenant finds: written once, and theirs afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from odoo import errors
from odoo.models import ExecuteKwModels, create, search, write
from odoo.records import external
from odoo.seeding import CONTACT as CONTACT_ID
from odoo.seeding import Contact, seed
from tests.fakes.odoo_data import SERVICE
from tests.fakes.odoo_services import SERVICE_PASSWORD, TEMPLATE
from tests.odoo.provisioning import COMPANY, CONTACT

if TYPE_CHECKING:
    from odoo.models import Models
    from tests.odoo.conftest import Odoo


@pytest.fixture
async def models(odoo: Odoo) -> Models:
    await odoo.databases.duplicate(TEMPLATE, "acme")
    return ExecuteKwModels(
        server=odoo.server, database="acme", uid=SERVICE, password=SERVICE_PASSWORD
    )


async def test_second_run_adds_and_changes_nothing(models: Models) -> None:
    assert await seed(models, COMPANY, CONTACT)
    await write(models, "res.company", [1], {"name": "Acme, as its people call it"})
    assert not await seed(models, COMPANY, CONTACT)
    (company,) = await search(models, "res.company", [], ["name", "email"])
    assert company["name"] == "Acme, as its people call it"
    fields = ["name", "parent_id"]
    found = await search(models, "res.partner", [["name", "=", CONTACT.name]], fields)
    assert [row["parent_id"][0] for row in found] == [1]


async def test_contact_of_the_same_name_is_another(models: Models) -> None:
    theirs = await create(models, "res.partner", {"name": CONTACT.name})
    await seed(models, COMPANY, CONTACT)
    assert await external(models, CONTACT_ID) not in {None, theirs}


async def test_what_odoo_refuses_is_told(models: Models) -> None:
    nobody = Contact(name="", email="x@acme.test")
    with pytest.raises(errors.Invalid):
        await seed(models, COMPANY, nobody)
    assert await seed(models, COMPANY, CONTACT)
