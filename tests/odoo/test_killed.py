"""Killed right after any step, run again: the same end, nothing twice, nothing lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from odoo.errors import OutcomeUnknown
from odoo.making import ensure_created
from odoo.ownership import rotate_key, take_ownership
from odoo.preparing import build_template, prepare
from odoo.verifying import verify
from tests.odoo.killing import (
    assert_owned,
    assert_ready,
    assert_template,
    at_every_step,
    ready,
)
from tests.odoo.provisioning import (
    PROVIDER,
    TENANT,
    MemorySafe,
    at_once,
    configured,
    fake_template,
    provisioned,
    site_of,
)

if TYPE_CHECKING:
    from odoo.entering import Site
    from tests.odoo.conftest import Odoo

# Thousands of calls: seconds on an idle machine, a minute on a busy one.
pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
BUILDS = [("19.0", 2025), ("19.0", 2026), ("17.0", 2024)]


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


async def test_copy_of_a_template(odoo: Odoo) -> None:
    template = fake_template(odoo.fake)

    async def run(site: Site) -> None:
        await provisioned(site, template, patience=1)

    await at_every_step(odoo, run, assert_ready)


@pytest.mark.parametrize("build", BUILDS[:1])
async def test_lost_answers(odoo: Odoo) -> None:
    template = fake_template(odoo.fake)

    async def run(site: Site) -> None:
        await provisioned(site, template, patience=1)

    def lost() -> OutcomeUnknown:
        return OutcomeUnknown("lost")

    await at_every_step(odoo, run, assert_ready, error=lost, stride=2)


async def test_without_a_template(odoo: Odoo) -> None:
    async def run(site: Site) -> None:
        await prepare(site, TENANT, patience=1)
        await configured(site, await take_ownership(site, TENANT))
        await verify(site, TENANT, PROVIDER)

    await at_every_step(odoo, run, assert_ready)


async def test_template_itself(odoo: Odoo) -> None:
    async def run(site: Site) -> None:
        built = await build_template(site, patience=1)
        assert built.credentials.uuid == odoo.fake.databases[site.name].uuid

    await at_every_step(odoo, run, assert_template)


async def test_rotation(odoo: Odoo) -> None:
    here = await ready(odoo)
    await at_every_step(odoo, rotate_key, assert_owned, from_here=here)


async def test_creation_that_was_half_done_is_done_again(odoo: Odoo) -> None:
    odoo.fake.fail("create_database", broken=True)
    site = site_of(
        odoo.server, "acme", MemorySafe(), series=odoo.fake.series, sleep=at_once
    )
    await ensure_created(site, TENANT, patience=1)
    assert not odoo.fake.databases["acme"].is_broken
    assert odoo.fake.asked("create_database") == 2
