"""Twenty tenants, two at a time, while workers are killed: all get a working Odoo."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import aiohttp
import pytest

from odoo import errors, records
from odoo.client import Server
from odoo.models import Json2Models
from tests.real.odoo_browser import enter_odoo, is_in, page_of_somebody, sign_in
from tests.real.odoo_estate import estate
from tests.real.odoo_secrets import dumped, found_in, secrets_of
from tests.real.own_realm import own_realm
from tests.telling import tell

if TYPE_CHECKING:
    from pathlib import Path

    from tests.databases import Databases
    from tests.real.keycloak import Keycloak
    from tests.real.odoo import Odoo
    from tests.real.odoo_estate import Estate
    from tests.real.odoo_person import Person

pytestmark = [pytest.mark.real, pytest.mark.acceptance]

TENANTS, AT_ONCE, KILLS, VISITORS = 20, 2, 10, 3
# Seconds from a first_login that a worker dies after, at most: a clone takes two.
SOON = 3.0
# A dead worker's job is taken up after its heartbeat, its hold after the lease.
READY_SECONDS = 240.0


@dataclass
class Show:
    """Who founded what, how long it took, and who died meanwhile."""

    here: Estate
    chance: random.Random = field(default_factory=random.SystemRandom)
    founders: dict[int, Person] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)

    async def found(self, stack: AsyncExitStack, *, deadly: bool) -> None:
        """Take one person from their first sign-in to ready."""
        person = await stack.enter_async_context(self.here.somebody())
        began = time.monotonic()
        tenant = await person.founds()
        self.founders[tenant] = person
        if deadly:
            await asyncio.sleep(self.chance.uniform(0.0, SOON))
            self._kill()
        document = await person.reached("ready", "error", seconds=READY_SECONDS)
        assert document["status"] == "ready", (document, self.here.complaints())
        assert document["attempt"] == 1
        self.seconds[tenant] = time.monotonic() - began

    def _kill(self) -> None:
        alive = [one for one in self.here.workers if one.process.poll() is None]
        victim = self.chance.choice(alive)
        victim.kill()
        self.killed.append(victim.log.name)
        self.here.start_worker()

    def table(self) -> str:
        """Return what it came to."""
        times = sorted(self.seconds.values())
        lines = {
            "tenants ready": f"{len(times)}, {AT_ONCE} at a time",
            "workers killed": str(len(self.killed)),
            "first_login to ready, s": f"{times[0]:.1f} to {times[-1]:.1f}, "
            f"half of them within {median(times):.1f}",
        }
        return "\n".join(f"  {name:24} {value}" for name, value in lines.items())


@pytest.mark.timeout(1200)  # some minutes, and a machine that does other things too
async def test_twenty_tenants_are_ready_although_workers_are_killed(
    keycloak: Keycloak,
    real_odoo: Odoo,
    databases: Databases,
    tmp_path: Path,
) -> None:
    async with (
        own_realm(keycloak, rotate=False) as realm,
        estate(realm, databases, real_odoo, tmp_path, workers=2) as here,
        AsyncExitStack() as stack,
    ):
        show = Show(here)
        await _all_found(show, stack)

        await _assert_apart(show)
        await _assert_verified(show)
        for tenant in show.chance.sample(sorted(show.founders), VISITORS):
            await _assert_enters(here, show.founders[tenant])
        before = await secrets_of(here)
        await _assert_rotates(here, *show.founders.popitem())
        secrets = {f"formerly {name}": one for name, one in before.items()}
        secrets |= await secrets_of(here)
        assert len(set(secrets.values())) > TENANTS * 5
        assert found_in(await dumped(databases), secrets) == []
        assert found_in(here.output(), secrets) == []
    tell(show.table())


async def _all_found(show: Show, stack: AsyncExitStack) -> None:
    deadly = show.chance.sample(range(TENANTS), KILLS)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places:
            await show.found(stack, deadly=number in deadly)

    async with asyncio.TaskGroup() as group:
        for number in range(TENANTS):
            group.create_task(one(number))
    assert (len(show.seconds), len(show.killed)) == (TENANTS, KILLS)


async def _assert_apart(show: Show) -> None:
    """Each has one database with a uuid and a key of its own; no other is there."""
    here = show.here
    copies = await here.copies()
    assert set(copies) == {here.name(tenant) for tenant in show.founders}
    assert len({*copies.values(), here.odoo.template.uuid}) == TENANTS + 1
    keys = {(await here.credentials(tenant)).key for tenant in show.founders}
    assert len(keys - {"", here.odoo.template.key}) == TENANTS
    async with here.databases.superuser() as superuser:
        rows = await superuser.fetch("SELECT db_name FROM odoo_connections WHERE made")
    assert {row["db_name"] for row in rows} == set(copies)


async def _assert_verified(show: Show) -> None:
    for tenant, person in show.founders.items():
        await person.sign_in()
        found = await person.asks("GET", "/onboarding/verify_odoo")
        assert found == {
            "tenant_id": tenant,
            "exists": True,
            "smoke": True,
            "ready": True,
            "error": None,
        }


async def _assert_enters(here: Estate, person: Person) -> None:
    info = await person.asks("GET", "/session/odoo_info")
    async with page_of_somebody() as page:
        await sign_in(page, here.url, person.email)
        await enter_odoo(page, info["odoo"]["login_url"])
        await is_in(page, person.email)


async def _assert_rotates(here: Estate, tenant: int, person: Person) -> None:
    """Have the key replaced: the old one is refused, the new one opens."""
    old = await here.credentials(tenant)
    await person.asks("POST", f"/tenants/{tenant}/odoo/api-key/rotate")
    new = await here.credentials(tenant)
    assert new.key not in {"", old.key}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        server = Server(http=http, url=here.odoo.url, seconds=60)
        name = here.name(tenant)
        opened = Json2Models(server=server, database=name, key=new.key)
        assert await records.me(opened) == new.user
        with pytest.raises(errors.AccessDenied):
            await records.me(Json2Models(server=server, database=name, key=old.key))
