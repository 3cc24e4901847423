"""Killed at any step of what is done to a ready database, and run again."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest

from odoo.cloning import ByRpc
from odoo.leads import Lead, push
from odoo.making import ensure_database
from odoo.ownership import take_ownership
from odoo.repairing import repair
from odoo.suspending import SUSPENDED, resume, suspend
from odoo.verifying import verify
from odoo.warming import ByRename, warm_copy
from tests.fakes.odoo_data import ADMIN
from tests.odoo.killing import assert_ready, at_every_step, ready
from tests.odoo.provisioning import (
    FOUNDER,
    PROVIDER,
    TENANT,
    MemorySafe,
    configured,
    fake_template,
    site_of,
)

if TYPE_CHECKING:
    from odoo.entering import Site
    from tests.fakes.odoo_data import FakeDatabase
    from tests.odoo.conftest import Odoo

pytestmark = [
    *(pytest.mark.acceptance, pytest.mark.timeout(300)),
    pytest.mark.parametrize(("series", "year"), [("19.0", 2025), ("17.0", 2024)]),
]


async def test_repair(odoo: Odoo) -> None:
    made, safe = await ready(odoo)
    stolen = {"oauth_uid": "sub-9", "password": "admin", "active": False}
    made.records["res.users"][ADMIN].update(stolen)
    for row in made.records["auth.oauth.provider"].values():
        row["enabled"] = False

    async def run(site: Site) -> None:
        await repair(site, PROVIDER, FOUNDER)

    await at_every_step(odoo, run, assert_ready, from_here=(made, safe))


async def test_suspension_and_its_end(odoo: Odoo) -> None:
    made, safe = await ready(odoo)
    values = {"name": "", "password": ""}
    clerk = made.insert("res.users", {**values, "login": "clerk"})
    gone = made.insert("res.users", {**values, "login": "gone", "active": False})

    def active(database: FakeDatabase) -> set[int]:
        users = database.records["res.users"].items()
        return {number for number, row in users if row["active"]}

    def check_out(database: FakeDatabase, safe: MemorySafe) -> None:
        assert active(database) == {safe.known.user}
        out.append((copy.deepcopy(database), copy.deepcopy(safe)))

    def check_back(database: FakeDatabase, safe: MemorySafe) -> None:
        assert active(database) == {safe.known.user, ADMIN, clerk}
        assert not database.records["res.users"][gone]["active"]
        rows = database.records["ir.config_parameter"].values()
        assert SUSPENDED not in {row["key"] for row in rows}

    out: list[tuple[FakeDatabase, MemorySafe]] = []
    await at_every_step(odoo, suspend, check_out, from_here=(made, safe))
    await at_every_step(odoo, resume, check_back, from_here=out[-1])


async def test_leads(odoo: Odoo) -> None:
    made, safe = await ready(odoo)
    # Some with a telephone: not all are written by the same call.
    phones = ("", "+65 1", "+65 2", "")
    each = [Lead(company_id=n, name=f"C {n}", phone=p) for n, p in enumerate(phones)]

    async def run(site: Site) -> None:
        kept = await site.kept()
        models = site.by_key(kept.user, kept.key)
        for _ in range(2):
            pushed = await push(models, TENANT, each)
            assert not pushed.errors
            assert not pushed.left

    def check(database: FakeDatabase, safe: MemorySafe) -> None:
        assert_ready(database, safe)
        rows = database.records["crm.lead"].values()
        assert sorted(row["name"] for row in rows) == [one.name for one in each]
        names = [row["name"] for row in database.records["ir.model.data"].values()]
        assert len(names) == len(set(names))

    await at_every_step(odoo, run, check, from_here=(made, safe))


async def test_rename_of_a_warm_copy(odoo: Odoo) -> None:
    template, warm = fake_template(odoo.fake), "warm_1"
    site = site_of(odoo.server, warm, MemorySafe(), series=odoo.fake.series)
    await warm_copy(site, template, ByRpc(site.databases))
    copied = odoo.fake.databases.pop(warm)
    copies = odoo.fake.asked("duplicate_database")

    async def run(site: Site) -> None:
        # No other way: nothing may need a second copy.
        way = ByRename(site.databases, warm)
        await ensure_database(site, TENANT, template, way, patience=1)
        await configured(site, await take_ownership(site, TENANT, template))
        await verify(site, TENANT, PROVIDER, template=template)

    def check(database: FakeDatabase, safe: MemorySafe) -> None:
        assert_ready(database, safe)
        assert database.uuid == copied.uuid

    await at_every_step(odoo, run, check, warm=copied)
    assert odoo.fake.asked("duplicate_database") == copies
