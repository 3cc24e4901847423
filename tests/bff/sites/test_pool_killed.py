"""Killed after any step of filling or claiming: the next one finds its way."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from bff.database import Database
from bff.sites.holding import holding
from bff.sites.pool import Pool
from bff.sites.server import OdooServer
from bff.sites.workshop import Workshop
from odoo.databases import Databases
from odoo.making import ensure_database
from tests.bff.sites.scene import RING, TENANT
from tests.fakes.odoo_services import MASTER, TEMPLATE
from tests.odoo.provisioning import Death, Killed, MortalServer, at_once

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from asyncpg.pool import PoolConnectionProxy

    from tests.bff.sites.estate import Estate

# Seconds on an idle machine, a minute on a busy one.
pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
NAME = "odoo_t7"
MANY = 300
ENDED = "UPDATE {} SET held_until = now() - interval '1 second'"


class MortalDatabase(Database):
    """A database whose caller dies right after a transaction is committed."""

    def __init__(self, database: Database, death: Death) -> None:
        super().__init__(database._pool)
        self._death = death

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[PoolConnectionProxy]:
        if self._death.came:
            raise self._death.error
        async with super()._transaction() as connection:
            yield connection

        async def committed() -> None:
            return None

        await self._death.step(committed)


@dataclass(frozen=True, kw_only=True)
class MortalOdooServer(OdooServer):
    """A server whose caller dies right after Odoo has answered."""

    death: Death

    @property
    def databases(self) -> Databases:
        server = MortalServer(
            http=self.http, url=self.settings.server_url, seconds=20, death=self.death
        )
        return Databases(server=server, master=MASTER, sleep=at_once)


def mortal(estate: Estate, death: Death, **changes: Any) -> Workshop:
    settings = estate.settings(**changes)
    return Workshop(
        database=MortalDatabase(estate.scene.worker, death),
        ring=RING,
        server=MortalOdooServer(settings=settings, http=estate.http, death=death),
    )


async def fill(workshop: Workshop) -> None:
    while await Pool(workshop=workshop).step():
        pass


async def make(workshop: Workshop) -> None:
    """Make the tenant's database as its onboarding does."""
    connection = await workshop.sites.get(TENANT)
    assert connection is not None
    template = await workshop.templates.get(TEMPLATE)
    assert template is not None
    async with holding(workshop.database, TENANT) as hold:
        site = workshop.site(connection, hold)
        way = workshop.way("19.0", TENANT, site.safe)
        await ensure_database(site, str(TENANT), template, way, patience=1)
        await workshop.sites.note(hold, made=True)


async def warm_names(estate: Estate) -> dict[str, str]:
    rows = await estate.scene.rows("SELECT name, state FROM odoo_warm")
    return {row["name"]: row["state"] for row in rows}


async def assert_none_is_without_its_row(estate: Estate) -> None:
    there = {name for name in estate.fake.databases if name.startswith("warm_")}
    assert there <= set(await warm_names(estate))


async def killed_everywhere(
    estate: Estate,
    run: Callable[[Workshop], Awaitable[None]],
    before: Callable[[], Awaitable[None]],
    after: Callable[[], Awaitable[None]],
    **changes: Any,
) -> None:
    """Die after step 1, 2, 3 …, and let another worker do the rest each time."""
    for at in range(1, MANY):
        await before()
        death = Death(at=at)
        try:
            await run(mortal(estate, death, **changes))
        except Killed:
            assert death.came
        await assert_none_is_without_its_row(estate)
        # Nobody lets go who is dead: the leases end.
        for table in ("odoo_warm", "odoo_connections"):
            await estate.scene.execute(ENDED.format(table))
        await run(mortal(estate, Death(), **changes))
        await assert_none_is_without_its_row(estate)
        await after()
        if not death.came:
            assert at > 5, "steps were not counted"
            return
    raise AssertionError("there is no end to it")


async def empty(estate: Estate) -> None:
    await estate.scene.execute("DELETE FROM odoo_warm")
    await estate.scene.execute("DELETE FROM odoo_connections")
    await estate.scene.execute("DELETE FROM tenants")
    for name in list(estate.fake.databases):
        if name != TEMPLATE:
            del estate.fake.databases[name]


async def test_filling(estate: Estate) -> None:
    async def before() -> None:
        await empty(estate)

    async def after() -> None:
        found = await warm_names(estate)
        assert list(found.values()) == ["ready"] * 2
        assert set(estate.fake.databases) == {TEMPLATE, *found}

    await killed_everywhere(estate, fill, before, after, warm=2)


async def test_claiming(estate: Estate) -> None:
    async def before() -> None:
        await empty(estate)
        await estate.scene.tenant()
        await fill(estate.workshop(warm=2))

    async def after() -> None:
        assert estate.fake.databases[NAME].uuid
        # What is left of a claim is settled by the next round.
        await Pool(workshop=estate.workshop(warm=1)).step()
        found = await warm_names(estate)
        assert list(found.values()) == ["ready"]
        assert set(estate.fake.databases) == {TEMPLATE, NAME, *found}

    await killed_everywhere(estate, make, before, after)


async def test_emptying(estate: Estate) -> None:
    async def before() -> None:
        await empty(estate)
        await fill(estate.workshop(warm=2))

    async def after() -> None:
        assert await warm_names(estate) == {}
        assert set(estate.fake.databases) == {TEMPLATE}

    await killed_everywhere(estate, fill, before, after, warm=0)
