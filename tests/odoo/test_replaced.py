"""A worker that was paused and replaced: it changes nothing when it wakes up."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from odoo.cloning import ByRpc
from odoo.making import ensure_created, ensure_database
from odoo.ownership import rotate_key
from odoo.repairing import repair
from odoo.safe import Credentials
from odoo.suspending import resume, suspend
from tests.fakes.odoo_data import FakeDatabase
from tests.fakes.odoo_services import TEMPLATE
from tests.odoo.provisioning import (
    FOUNDER,
    PROVIDER,
    TENANT,
    Death,
    MemorySafe,
    Replaced,
    at_once,
    fake_template,
    provisioned,
    site_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from odoo.entering import Site
    from tests.odoo.conftest import Odoo

T = TypeVar("T")
NAME = "acme"
MANY = 300


@dataclass
class _Pause(Death):
    """Comes right after a step; when it is over, another worker is at it."""

    odoo: Odoo = field(kw_only=True)
    safe: MemorySafe = field(kw_only=True)
    left: Any = None

    async def step(self, act: Callable[[], Awaitable[T]]) -> T:
        self.steps += 1
        done = await act()
        if self.steps == self.at:
            self.came = self.safe.replaced = True
            self.left = _held(self.odoo)
        return done


def _held(odoo: Odoo) -> Any:
    database = odoo.fake.databases.get(NAME)
    return copy.deepcopy(vars(database)) if database else None


async def _at_every_step(
    odoo: Odoo,
    run: Callable[[Site], Awaitable[object]],
    *,
    before: tuple[FakeDatabase | None, MemorySafe] | None = None,
) -> None:
    """Replace the worker after step 1, 2, 3 …, until it comes to its end."""
    for at in range(1, MANY):
        database, safe = copy.deepcopy(before or (None, MemorySafe()))
        if database is not None:
            odoo.fake.databases[NAME] = database
        pause = _Pause(at=at, odoo=odoo, safe=safe)
        site = site_of(
            *(odoo.server, NAME, safe),
            series=odoo.fake.series,
            death=pause,
            sleep=at_once,
        )
        try:
            await run(site)
        except Replaced:
            assert pause.came
        after = _held(odoo)
        odoo.fake.databases.pop(NAME, None)
        if not pause.came:
            assert at > 5, "steps were not counted"
            return
        assert after == pause.left, f"changed after step {at}"
    raise AssertionError("there is no end to it")


async def _ready(odoo: Odoo) -> tuple[FakeDatabase, MemorySafe]:
    safe = MemorySafe()
    site = site_of(odoo.server, NAME, safe, series=odoo.fake.series, sleep=at_once)
    await provisioned(site, fake_template(odoo.fake), patience=1)
    return odoo.fake.databases.pop(NAME), safe


@pytest.mark.parametrize("series", ["17.0", "19.0"])
async def test_whole_way_of_a_tenant(odoo: Odoo) -> None:
    template = fake_template(odoo.fake)

    async def run(site: Site) -> None:
        await provisioned(site, template, patience=1)

    await _at_every_step(odoo, run)


async def test_half_a_copy_that_another_may_be_making(odoo: Odoo) -> None:
    half = odoo.fake.databases[TEMPLATE].copied(NAME, half=True)
    safe = MemorySafe(held=Credentials(begun=True))

    async def run(site: Site) -> None:
        way, template = ByRpc(site.databases), fake_template(odoo.fake)
        await ensure_database(site, TENANT, template, way, patience=1)

    await _at_every_step(odoo, run, before=(half, safe))


async def test_half_a_creation_that_another_may_be_at(odoo: Odoo) -> None:
    half = FakeDatabase(name=NAME, is_broken=True)
    safe = MemorySafe(held=Credentials(begun=True))

    async def run(site: Site) -> None:
        await ensure_created(site, TENANT, patience=1)

    await _at_every_step(odoo, run, before=(half, safe))


@pytest.mark.parametrize("year", [2025, 2026])
async def test_rotation(odoo: Odoo) -> None:
    await _at_every_step(odoo, rotate_key, before=await _ready(odoo))


async def test_repair_suspension_and_its_end(odoo: Odoo) -> None:
    async def run(site: Site) -> None:
        await repair(site, PROVIDER, FOUNDER)
        await suspend(site)
        await resume(site)

    await _at_every_step(odoo, run, before=await _ready(odoo))
