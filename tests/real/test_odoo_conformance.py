"""The fake Odoo against the real one: what our library makes of both is the same."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from odoo import errors, keys, records
from odoo.cloning import ByForm, ByRpc, Made, clone
from odoo.databases import State
from odoo.models import SessionModels, create, search, unlink, write
from tests.fakes.odoo_data import SERVICE

if TYPE_CHECKING:
    from odoo.cloning import Way
    from odoo.models import Models
    from tests.real.odoo_conformance import OdooSide

pytestmark = pytest.mark.real

PARTNER = "res.partner"


def _models(side: OdooSide, name: str, by: str) -> Models:
    return side.json2(name) if by == "json2" else side.execute_kw(name)


async def test_preflight_tells_the_series(odoo_side: OdooSide) -> None:
    assert await odoo_side.databases.preflight() == "19.0"
    assert (await odoo_side.server.health()).postgres is True


async def test_wrong_master_password_and_disabled_manager_are_told_apart(
    odoo_side: OdooSide,
) -> None:
    wrong = replace(odoo_side.databases, master="wrong")
    with pytest.raises(errors.AccessDenied):
        await wrong.preflight()
    async with odoo_side.differently(list_db=False) as off:
        with pytest.raises(errors.ManagerDisabled):
            await off.databases.preflight()
        # To everything else both look the same.
        with pytest.raises(errors.AccessDenied):
            await off.databases.duplicate(off.template, off.name())


async def test_absent_postgres_is_no_missing_database(odoo_side: OdooSide) -> None:
    async with odoo_side.differently(postgres=False) as away:
        with pytest.raises(errors.DatabaseUnreachable):
            await away.databases.preflight()
        with pytest.raises(errors.DatabaseUnreachable):
            await away.databases.state("t_anything")
        assert (await away.server.health()).postgres is False


async def test_copy_is_usable_and_is_not_its_template(odoo_side: OdooSide) -> None:
    name = odoo_side.name()
    way = ByRpc(odoo_side.databases)
    assert await odoo_side.databases.state(name) is State.MISSING

    assert await clone(way, odoo_side.databases, odoo_side.template, name) is Made.WHOLE

    assert await odoo_side.databases.state(name) is State.USABLE
    listed = await odoo_side.databases.listed()
    assert name in listed
    assert odoo_side.template not in listed
    models = odoo_side.json2(name)
    assert await records.me(models) == SERVICE
    uuid = await records.parameter(models, records.UUID)
    assert uuid not in {None, odoo_side.template_uuid}


async def test_closed_template_looks_missing(odoo_side: OdooSide) -> None:
    assert await odoo_side.databases.state(odoo_side.template) is State.MISSING


async def test_form_copies_as_well(odoo_side: OdooSide) -> None:
    databases, name = odoo_side.databases, odoo_side.name()
    way = ByForm(server=odoo_side.server, master=databases.master)

    assert await clone(way, databases, odoo_side.template, name) is Made.WHOLE

    with pytest.raises(errors.ServerFault, match="already exists"):
        await way.clone(odoo_side.template, name)
    wrong = ByForm(server=odoo_side.server, master="wrong")
    with pytest.raises(errors.AccessDenied):
        await wrong.clone(odoo_side.template, odoo_side.name())
    async with odoo_side.differently(list_db=False) as off:
        way = ByForm(server=off.server, master=databases.master)
        with pytest.raises(errors.ManagerDisabled):
            await way.clone(odoo_side.template, odoo_side.name())


async def test_taken_name_is_never_copied_over(odoo_side: OdooSide) -> None:
    name, _ = await odoo_side.pair()
    way: Way = ByRpc(odoo_side.databases)
    with pytest.raises(errors.DatabaseExists):
        await way.clone(odoo_side.template, name)
    with pytest.raises(errors.DatabaseExists):
        await clone(way, odoo_side.databases, odoo_side.template, name)
    with pytest.raises(errors.DatabaseExists):
        await odoo_side.databases.create(name, login="a@b.test", password="Test-1")


async def test_one_of_two_copies_by_one_name_wins(odoo_side: OdooSide) -> None:
    name, template = odoo_side.name(), odoo_side.template
    copies = (odoo_side.databases.duplicate(template, name) for _ in range(2))
    outcomes = await asyncio.gather(*copies, return_exceptions=True)
    (lost,) = [one for one in outcomes if one is not None]
    assert isinstance(lost, errors.DatabaseExists)


async def test_template_that_is_not_there(odoo_side: OdooSide) -> None:
    with pytest.raises(errors.TemplateMissing):
        await odoo_side.databases.duplicate("tpl_nowhere", odoo_side.name())


async def test_template_that_somebody_is_connected_to(odoo_side: OdooSide) -> None:
    name = await odoo_side.copied()
    async with odoo_side.somebody_in(name):
        with pytest.raises(errors.DatabaseBusy):
            await odoo_side.databases.duplicate(name, odoo_side.name())


async def test_created_database_knows_its_administrator(odoo_side: OdooSide) -> None:
    name, login = odoo_side.name(), "owner@acme.test"
    password = "Test-Owner-Password-1"
    uid = await odoo_side.databases.create(name, login=login, password=password)

    databases = odoo_side.databases
    assert await databases.state(name) is State.USABLE
    assert await databases.authenticate(name, login, password) == uid
    assert await databases.authenticate(name, "admin", "admin") is None


async def test_database_is_renamed_and_dropped(odoo_side: OdooSide) -> None:
    databases = odoo_side.databases
    old, new = await odoo_side.copied(), odoo_side.name()
    await databases.rename(old, new)
    assert await databases.state(old) is State.MISSING
    assert await records.me(odoo_side.json2(new)) == SERVICE
    await databases.drop(new)
    await databases.drop(new)
    assert new not in await databases.listed()


@pytest.mark.parametrize("by", ["json2", "execute_kw"])
async def test_records_are_made_read_changed_and_deleted(
    odoo_side: OdooSide, by: str
) -> None:
    first, second = await odoo_side.pair()
    models, others = _models(odoo_side, first, by), _models(odoo_side, second, by)
    assert await records.me(models) == SERVICE

    made = await create(models, PARTNER, {"name": "Acme", "email": "a@acme.test"})
    await write(models, PARTNER, [made], {"name": "Acme Ltd"})
    (row,) = await search(models, PARTNER, [["id", "=", made]], ["name", "email"])
    assert row == {"id": made, "name": "Acme Ltd", "email": "a@acme.test"}
    assert not await search(others, PARTNER, [["name", "=", "Acme Ltd"]], ["name"])
    await unlink(models, PARTNER, [made])
    assert not await search(models, PARTNER, [["id", "=", made]], ["name"])

    with pytest.raises(errors.RecordMissing):
        await write(models, PARTNER, [made], {"name": "Gone"})
    with pytest.raises(errors.ServerFault, match="Invalid field"):
        await create(models, PARTNER, {"no_such_field": 1})
    with pytest.raises(errors.Invalid, match="require a name"):
        await create(models, PARTNER, {})
    with pytest.raises(errors.Invalid, match="same login"):
        await write(models, "res.users", [2], {"login": odoo_side.login})
    with pytest.raises(errors.AccessRefused):
        await models.call(PARTNER, "_write", [1])
    missing = errors.NotOffered if by == "json2" else errors.Refused
    with pytest.raises(missing):
        await models.call("no.such.model", "read", [1])
    with pytest.raises(missing):
        await models.call(PARTNER, "no_such_method", [1])


@pytest.mark.parametrize("by", ["json2", "execute_kw"])
async def test_parameters_modules_users_and_keys(odoo_side: OdooSide, by: str) -> None:
    name, _ = await odoo_side.pair()
    models, key = _models(odoo_side, name, by), f"bff.{by}"
    assert await records.parameter(models, key) is None
    for value in ("1001", "1001", "1002"):
        await records.set_parameter(models, key, value)
        assert await records.parameter(models, key) == value
    states = await records.module_states(models, {"base", "no_such_module"})
    assert states == {"base": "installed"}
    user = await records.user_by_login(models, odoo_side.login)
    assert user == records.User(id=SERVICE, login=odoo_side.login, name="Service")
    assert await records.user_by_login(models, "nobody@acme.test") is None
    (only,) = await records.keys_of(models, SERVICE)
    assert (only.name, only.expires) == ("template", None)


async def test_wrong_key_and_wrong_database(odoo_side: OdooSide) -> None:
    name, _ = await odoo_side.pair()
    stranger = replace(odoo_side.json2(name), key="no-such-key")
    with pytest.raises(errors.AccessDenied):
        await records.me(stranger)
    with pytest.raises(errors.NoDatabase):
        await records.me(odoo_side.json2("t_nowhere"))
    with pytest.raises(errors.NoDatabase):
        await records.me(odoo_side.json2(odoo_side.template))
    with pytest.raises(errors.DatabaseUnreachable):
        await records.me(odoo_side.execute_kw("t_nowhere"))


@pytest.mark.parametrize("by", ["json2", "session"])
async def test_key_is_rotated_behind_the_identity_check(
    odoo_side: OdooSide, by: str
) -> None:
    name, _ = await odoo_side.pair()
    side, password = odoo_side, odoo_side.password
    models: Models = side.json2(name)
    if by == "session":
        models = await SessionModels.opened(side.server, name, side.login, password)
    with pytest.raises(errors.Invalid, match="Incorrect Password"):
        await keys.mint(models, name=f"bff {by}", password="wrong", days=90)

    minted = await keys.mint(models, name=f"bff {by}", password=password, days=90)

    ours = replace(side.json2(name), key=minted)
    assert await records.me(ours) == SERVICE
    (row,) = [
        one for one in await records.keys_of(ours, SERVICE) if one.name == f"bff {by}"
    ]
    assert row.expires is not None
    with pytest.raises(errors.Invalid, match="Incorrect Password"):
        # By the key: a session that was asked is trusted for ten minutes.
        await keys.revoke(ours, row.id, password="wrong")
    await keys.revoke(models, row.id, password=password)
    await keys.revoke(models, row.id, password=password)
    with pytest.raises(errors.AccessDenied):
        await records.me(ours)


async def test_keys_are_not_minted_by_execute_kw(odoo_side: OdooSide) -> None:
    name, _ = await odoo_side.pair()
    models = odoo_side.execute_kw(name)
    with pytest.raises(errors.Invalid, match="only be accessed over HTTP"):
        await keys.mint(models, name="bff", password=odoo_side.password, days=90)


async def test_session_ends_with_its_password(odoo_side: OdooSide) -> None:
    name, changed = await odoo_side.copied(), "Test-Changed-Password-1"
    await odoo_side.pair()
    side = odoo_side
    with pytest.raises(errors.AccessDenied):
        await SessionModels.opened(side.server, name, side.login, "wrong")
    session = await SessionModels.opened(side.server, name, side.login, side.password)
    assert await records.me(session) == SERVICE
    assert await create(session, PARTNER, {"name": "By session"})
    await write(side.json2(name), "res.users", [SERVICE], {"password": changed})
    with pytest.raises(errors.SessionExpired):
        await records.me(session)
    assert await SessionModels.opened(side.server, name, side.login, changed)


async def test_host_chooses_the_database_where_dbfilter_says_so(
    odoo_side: OdooSide,
) -> None:
    first, second = await odoo_side.pair()
    async with odoo_side.differently(by_host=True) as filtered:
        with pytest.raises(errors.NoDatabase):
            await records.me(filtered.json2(first))
        for name in (first, second):
            server = replace(filtered.server, host="{}.odoo.test".format)
            models = replace(filtered.json2(name), server=server)
            assert await records.me(models) == SERVICE


MASTER = "test-master-only"
RAW: dict[str, tuple[str, Any, dict[str, str]]] = {
    "no database": ("/json/2/res.users/context_get", {}, {"X-Odoo-Database": "nope"}),
    "no route": ("/no/such/route", None, {}),
    "no JSON": ("/jsonrpc", b"{nonsense", {}),
}
SERVICES: dict[str, tuple[str, str, list[str]]] = {
    "wrong master": ("db", "drop", ["wrong", "t_raw"]),
    "nothing to drop": ("db", "drop", [MASTER, "t_raw"]),
    "no such database": ("db", "db_exist", ["nope"]),
    "no such method": ("db", "nosuch", [MASTER]),
    "no such service": ("nosuch", "x", []),
    "missing template": ("db", "duplicate_database", [MASTER, "nope", "t_raw"]),
}
for _what, (_service, _method, _args) in SERVICES.items():
    _params = {"service": _service, "method": _method, "args": _args}
    RAW[_what] = ("/jsonrpc", {"jsonrpc": "2.0", "params": _params, "id": 7}, {})
EXPECTED: dict[str, tuple[int, str]] = {
    "no database": (404, "text/html; charset=utf-8"),
    "no route": (404, "text/html; charset=utf-8"),
    "no JSON": (400, "text/html; charset=utf-8"),
}


@pytest.mark.parametrize("what", RAW)
async def test_fake_answers_byte_for_byte_as_odoo_does(
    odoo_side: OdooSide, what: str, answers: dict[str, Any]
) -> None:
    await odoo_side.pair()
    path, body, headers = RAW[what]
    shape = (await odoo_side.raw(path, body, headers)).shape()
    assert shape[:2] == EXPECTED.get(what, (200, "application/json; charset=utf-8"))
    # The fake comes first; what it said is what Odoo must say.
    assert shape == answers.setdefault(what, shape)


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    return {}
