"""Killed right after any step, run again: the same end, nothing twice, nothing lost."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest

from odoo.errors import OutcomeUnknown
from odoo.making import ensure_created
from odoo.ownership import rotate_key, take_ownership
from odoo.preparing import build_template, prepare
from odoo.verifying import verify
from tests.fakes.odoo_data import ADMIN
from tests.fakes.odoo_services import (
    ADMIN_PASSWORD,
    SERVICE_LOGIN,
    SERVICE_PASSWORD,
    TEMPLATE,
)
from tests.odoo.provisioning import (
    COMPANY,
    CONTACT,
    FOUNDER,
    PROVIDER,
    TENANT,
    Death,
    Killed,
    MemorySafe,
    at_once,
    configured,
    fake_template,
    provisioned,
    site_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from odoo.entering import Site
    from tests.fakes.odoo_data import FakeDatabase
    from tests.odoo.conftest import Odoo

# Thousands of calls: seconds on an idle machine, a minute on a busy one.
pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
BUILDS = [("19.0", 2025), ("19.0", 2026), ("17.0", 2024)]
MANY = 300


@pytest.fixture(params=BUILDS, ids=["19", "19 of 2026", "17"])
def build(request: pytest.FixtureRequest) -> tuple[str, int]:
    kind: tuple[str, int] = request.param
    return kind


@pytest.fixture
def series(build: tuple[str, int]) -> str:
    return build[0]


@pytest.fixture
def year(build: tuple[str, int]) -> int:
    return build[1]


async def _at_every_step(
    odoo: Odoo,
    run: Callable[[Site], Awaitable[object]],
    check: Callable[[FakeDatabase, MemorySafe], None],
    *,
    error: Callable[[], BaseException] = Killed,
    stride: int = 1,
    from_here: tuple[FakeDatabase, MemorySafe] | None = None,
) -> None:
    """Die after step 1, 2, 3 …, and run again each time, until there are no more."""
    for at in range(1, MANY, stride):
        name, safe = "acme", MemorySafe()
        series = odoo.fake.series
        if from_here is not None:
            odoo.fake.databases[name], safe = copy.deepcopy(from_here)
        again = site_of(odoo.server, name, safe, series=series, sleep=at_once)
        death = Death(at=at, error=error())
        site = site_of(
            odoo.server, name, safe, series=series, death=death, sleep=at_once
        )
        try:
            await run(site)
        except (Killed, OutcomeUnknown):
            assert death.came
        if name in odoo.fake.databases:
            _assert_nothing_is_lost(odoo.fake.databases[name], safe)
        safe.death = Death()
        await run(again)
        assert set(odoo.fake.databases) == {TEMPLATE, name}
        check(odoo.fake.databases.pop(name), safe)
        if not death.came:
            assert at > 5, "steps were not counted"
            return
    raise AssertionError("there is no end to it")


def _assert_nothing_is_lost(database: FakeDatabase, safe: MemorySafe) -> None:
    """Find in the safe each password that Odoo knows, and that is no template's."""
    told = {ADMIN_PASSWORD, SERVICE_PASSWORD, "admin", ""}
    told |= {safe.known.admin_password, safe.known.service_password}
    for row in database.records["res.users"].values():
        assert row["password"] in told


def _assert_owned(database: FakeDatabase, safe: MemorySafe) -> None:
    known = safe.known
    assert set(database.keys) == {known.key}
    assert known.previous == ""
    users = database.records["res.users"]
    assert users[known.user]["login"] == SERVICE_LOGIN
    assert users[known.user]["password"] == known.service_password
    assert users[ADMIN]["password"] == known.admin_password


def _assert_ready(database: FakeDatabase, safe: MemorySafe) -> None:
    _assert_owned(database, safe)
    rows = database.records["auth.oauth.provider"].items()
    ((provider, ours),) = [(at, row) for at, row in rows if row.get("enabled")]
    assert ours["name"] == PROVIDER.name
    assert ours["code_verifier"] == safe.known.code_verifier
    assert [row["name"] for _, row in rows].count(PROVIDER.name) == 1
    founder = database.records["res.users"][ADMIN]
    linked = founder["oauth_uid"], founder["oauth_provider_id"], founder["login"]
    assert linked == (FOUNDER.subject, provider, FOUNDER.email)
    names = [row["name"] for row in database.records["res.partner"].values()]
    assert names.count(CONTACT.name) == 1
    assert database.records["res.company"][1]["name"] == COMPANY.name
    keys = [row["key"] for row in database.records["ir.config_parameter"].values()]
    assert len(keys) == len(set(keys))
    assert "bff.probe" not in keys


async def test_copy_of_a_template(odoo: Odoo) -> None:
    template = fake_template(odoo.fake)

    async def run(site: Site) -> None:
        await provisioned(site, template, patience=1)

    await _at_every_step(odoo, run, _assert_ready)


@pytest.mark.parametrize("build", BUILDS[:1])
async def test_lost_answers(odoo: Odoo) -> None:
    template = fake_template(odoo.fake)

    async def run(site: Site) -> None:
        await provisioned(site, template, patience=1)

    def lost() -> OutcomeUnknown:
        return OutcomeUnknown("lost")

    await _at_every_step(odoo, run, _assert_ready, error=lost, stride=2)


async def test_without_a_template(odoo: Odoo) -> None:
    async def run(site: Site) -> None:
        await prepare(site, TENANT, patience=1)
        await configured(site, await take_ownership(site, TENANT))
        await verify(site, TENANT, PROVIDER)

    await _at_every_step(odoo, run, _assert_ready)


async def test_template_itself(odoo: Odoo) -> None:
    async def run(site: Site) -> None:
        built = await build_template(site, patience=1)
        assert built.credentials.uuid == odoo.fake.databases[site.name].uuid

    await _at_every_step(odoo, run, _assert_owned)


async def test_rotation(odoo: Odoo) -> None:
    safe, series = MemorySafe(), odoo.fake.series
    site = site_of(odoo.server, "acme", safe, series=series, sleep=at_once)
    await provisioned(site, fake_template(odoo.fake), patience=1)
    ready = odoo.fake.databases.pop("acme"), safe
    await _at_every_step(odoo, rotate_key, _assert_owned, from_here=ready)


async def test_creation_that_was_half_done_is_done_again(odoo: Odoo) -> None:
    odoo.fake.fail("create_database", broken=True)
    site = site_of(
        odoo.server, "acme", MemorySafe(), series=odoo.fake.series, sleep=at_once
    )
    await ensure_created(site, TENANT, patience=1)
    assert not odoo.fake.databases["acme"].is_broken
    assert odoo.fake.asked("create_database") == 2
