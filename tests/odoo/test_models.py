"""Models by JSON-2 and by execute_kw: the same calls, the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from odoo import errors
from odoo.models import ExecuteKwModels, Json2Models, create, search, unlink, write
from tests.fakes.odoo_data import SERVICE
from tests.fakes.odoo_services import SERVICE_PASSWORD, TEMPLATE, TEMPLATE_KEY

if TYPE_CHECKING:
    from odoo.models import Models
    from tests.odoo.conftest import Odoo

LEAD = "crm.lead"


async def _models(odoo: Odoo, by: str, secret: str = "") -> Models:
    await odoo.databases.duplicate(TEMPLATE, "acme")
    await odoo.databases.duplicate(TEMPLATE, "globex")
    if by == "json2":
        key = secret or TEMPLATE_KEY
        return Json2Models(server=odoo.server, database="acme", key=key)
    password = secret or SERVICE_PASSWORD
    return ExecuteKwModels(
        server=odoo.server, database="acme", uid=SERVICE, password=password
    )


@pytest.mark.parametrize(
    ("by", "series"),
    [
        *[("execute_kw", one) for one in ("16.0", "17.0", "18.0", "19.0")],
        ("json2", "19.0"),
    ],
)
async def test_a_record_s_life(odoo: Odoo, by: str) -> None:
    models = await _models(odoo, by)
    made = await create(models, LEAD, {"name": "Acme"})
    other = await create(models, LEAD, {"name": "Globex"})
    await write(models, LEAD, [made], {"name": "Acme Ltd"})
    rows = await search(models, LEAD, [["id", "in", [made, other]]], ["name"])
    assert [row["name"] for row in rows] == ["Acme Ltd", "Globex"]
    assert len(await search(models, LEAD, [], ["name"], limit=1)) == 1
    await unlink(models, LEAD, [made])
    assert not await search(models, LEAD, [["id", "=", made]], [])


@pytest.mark.parametrize("by", ["execute_kw", "json2"])
async def test_context_is_passed_on(odoo: Odoo, by: str) -> None:
    models = await _models(odoo, by)
    said = await models.call("res.users", "context_get", context={"lang": "de_DE"})
    assert said["uid"] == SERVICE
    sent = odoo.fake.contexts[-1]
    assert sent == {"lang": "de_DE"}


@pytest.mark.parametrize("by", ["execute_kw", "json2"])
async def test_wrong_key(odoo: Odoo, by: str) -> None:
    models = await _models(odoo, by, "wrong-k3y")
    assert "wrong-k3y" not in repr(models)
    with pytest.raises(errors.AccessDenied):
        await create(models, LEAD, {"name": "Acme"})


async def test_name_is_checked_before_the_key_leaves(odoo: Odoo) -> None:
    with pytest.raises(errors.BadName):
        await Json2Models(server=odoo.server, database="../x", key="k").call("a", "b")
    models = ExecuteKwModels(
        server=odoo.server, database="postgres", uid=2, password="p"
    )
    with pytest.raises(errors.BadName):
        await models.call("a", "b")
    assert not odoo.fake.seen
