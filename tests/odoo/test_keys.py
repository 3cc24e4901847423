"""Keys behind the identity check, where a real Odoo would not misbehave on demand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from odoo import errors, keys, records
from odoo.models import ExecuteKwModels, Json2Models, SessionModels
from tests.fakes.odoo_data import SERVICE
from tests.fakes.odoo_raised import Raised
from tests.fakes.odoo_services import (
    SERVICE_LOGIN,
    SERVICE_PASSWORD,
    TEMPLATE,
    TEMPLATE_KEY,
)

if TYPE_CHECKING:
    from tests.odoo.conftest import Odoo


async def _json2(odoo: Odoo) -> Json2Models:
    await odoo.databases.duplicate(TEMPLATE, "acme")
    return Json2Models(server=odoo.server, database="acme", key=TEMPLATE_KEY)


async def test_key_without_an_end(odoo: Odoo) -> None:
    models = await _json2(odoo)
    await keys.mint(models, name="bff", password=SERVICE_PASSWORD, days=None)
    listed = await records.keys_of(models, SERVICE)
    assert [(one.name, one.expires) for one in listed] == [
        ("template", None),
        ("bff", None),
    ]


async def test_revoked_key_is_gone_and_the_other_stays(odoo: Odoo) -> None:
    models = await _json2(odoo)
    await keys.mint(models, name="bff", password=SERVICE_PASSWORD, days=90)
    _, minted = await records.keys_of(models, SERVICE)
    await keys.revoke(models, minted.id, password=SERVICE_PASSWORD)
    assert [one.name for one in await records.keys_of(models, SERVICE)] == ["template"]


@pytest.mark.parametrize("series", ["16.0", "17.0", "18.0"])
async def test_older_servers_mint_in_a_session(odoo: Odoo) -> None:
    await odoo.databases.duplicate(TEMPLATE, "acme")
    opened = SessionModels.opened(odoo.server, "acme", SERVICE_LOGIN, SERVICE_PASSWORD)
    models = await opened
    assert models.cookie not in repr(models)
    key = await keys.mint(models, name="bff", password=SERVICE_PASSWORD, days=None)
    ours = ExecuteKwModels(
        server=odoo.server, database="acme", uid=SERVICE, password=key
    )
    assert await records.me(ours) == SERVICE


async def test_passwords_in_arguments_are_cut_out_of_errors(odoo: Odoo) -> None:
    models = await _json2(odoo)
    said = f"write() got {SERVICE_PASSWORD}"
    for method in ("write", "run_check"):
        name = f"{keys.CHECK}/{method}"
        odoo.fake.fail(name, raises=Raised("builtins.TypeError", said))
        with pytest.raises(errors.ServerFault, match=r"got …") as raised:
            await keys.mint(models, name="bff", password=SERVICE_PASSWORD, days=90)
        assert SERVICE_PASSWORD not in f"{raised.value!r}"


@pytest.mark.parametrize("method", ["make_key", "run_check"])
async def test_answer_that_makes_no_sense(odoo: Odoo, method: str) -> None:
    models = await _json2(odoo)
    model = keys.DESCRIPTION if method == "make_key" else keys.CHECK
    for answer in (None, {"type": "ir.actions.act_window_close"}):
        odoo.fake.fail(f"{model}/{method}", answers=(answer,))
        with pytest.raises(errors.OutcomeUnknown):
            await keys.mint(models, name="bff", password=SERVICE_PASSWORD, days=90)


async def test_key_that_somebody_else_revoked_meanwhile(odoo: Odoo) -> None:
    models = await _json2(odoo)
    gone = Raised("odoo.exceptions.MissingError", "Record does not exist")
    odoo.fake.fail(f"{records.KEYS}/remove", raises=gone)
    await keys.revoke(models, 1, password=SERVICE_PASSWORD)
    await keys.revoke(models, 99, password=SERVICE_PASSWORD)
    assert len(await records.keys_of(models, SERVICE)) == 1


def test_a_key_ends_with_the_first_moment_of_its_last_day() -> None:
    now = datetime(2026, 1, 2, 23, 59, 59, tzinfo=UTC)
    assert keys.end_of(now) == datetime(2026, 4, 2, tzinfo=UTC)
