"""What a tenant's onboarding needs goes away in the middle of it, and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.bff.waiting import until
from tests.faults.own_postgres import own_postgres
from tests.real.odoo_estate import SLOWLY, estate
from tests.real.own_realm import own_realm

if TYPE_CHECKING:
    from pathlib import Path

    from tests.databases import Databases
    from tests.real.keycloak import Keycloak
    from tests.real.odoo import Odoo
    from tests.real.odoo_estate import Estate
    from tests.real.odoo_person import Person

pytestmark = [pytest.mark.real, pytest.mark.acceptance]

# Seconds that something is away.
AWAY = 3.0


async def test_odoo_killed_in_the_middle_of_a_copy(
    keycloak: Keycloak, real_odoo: Odoo, databases: Databases, tmp_path: Path
) -> None:
    with real_odoo.another() as odoo:
        async with (
            own_realm(keycloak, rotate=False) as realm,
            estate(realm, databases, odoo, tmp_path) as here,
            here.somebody() as founder,
        ):
            tenant = await founder.founds()
            await _appears(here, tenant)
            odoo.kill()
            await asyncio.sleep(AWAY)
            await asyncio.to_thread(odoo.start_again)

            await _ends_ready(here, founder, tenant)


async def test_our_postgres_killed_in_the_middle_of_a_copy(
    keycloak: Keycloak, real_odoo: Odoo, tmp_path: Path
) -> None:
    async with (
        own_postgres() as postgres,
        own_realm(keycloak, rotate=False) as realm,
        estate(realm, postgres.databases, real_odoo, tmp_path) as here,
        here.somebody() as founder,
    ):
        tenant = await founder.founds()
        await _appears(here, tenant)
        await postgres.kill()
        await asyncio.sleep(AWAY)
        await postgres.start_again()

        await _ends_ready(here, founder, tenant)


@pytest.mark.parametrize("frozen", [False, True], ids=["gone", "frozen"])
async def test_keycloak_away_while_its_client_is_to_be_made(
    keycloak: Keycloak,
    real_odoo: Odoo,
    databases: Databases,
    tmp_path: Path,
    *,
    frozen: bool,
) -> None:
    async with (
        own_realm(keycloak, rotate=False) as realm,
        estate(realm, databases, real_odoo, tmp_path, provider_timeout=4) as here,
        here.somebody() as founder,
    ):
        tenant = await founder.founds()
        await here.is_at(tenant, "creating_odoo")
        if frozen:
            os.killpg(keycloak.process.pid, signal.SIGSTOP)
        else:
            await realm.relay.down()
        try:
            await until(lambda: _waits(here, tenant), seconds=SLOWLY)
        finally:
            if frozen:
                os.killpg(keycloak.process.pid, signal.SIGCONT)
            else:
                await realm.relay.up()

        await _ends_ready(here, founder, tenant)
        name = here.name(tenant)
        made = await realm.administrate("GET", f"/clients?clientId={name}")
        assert [one["clientId"] for one in made.json] == [name]


async def _waits(here: Estate, tenant: int) -> bool:
    """Tell whether the row says why it takes longer."""
    found = await here.onboarding(tenant)
    assert found["status"] != "ready"
    (phase,) = [one for one in found["phases"] if one["name"] == "configuring_oidc"]
    return bool(phase["detail"])


async def _ends_ready(here: Estate, founder: Person, tenant: int) -> None:
    """Wait for the end; a person may have to ask once more, and has one database."""
    ended = await here.is_at(tenant, "ready", "error", seconds=SLOWLY)
    if ended["status"] == "error":
        assert ended["error"]
        await founder.sign_in()
        assert await founder.founds() == tenant
        await here.is_at(tenant, "ready", seconds=SLOWLY)
    assert list(await here.copies()) == [here.name(tenant)]
    await founder.sign_in()
    found = await founder.asks("GET", "/onboarding/verify_odoo")
    assert (found["ready"], found["error"]) == (True, None)


async def _appears(here: Estate, tenant: int) -> None:
    """Wait until PostgreSQL has begun with the copy."""
    connection = await asyncpg.connect(here.odoo.place.superuser())
    query = "SELECT 1 FROM pg_database WHERE datname = $1"
    try:
        await until(
            lambda: connection.fetchval(query, here.name(tenant)), seconds=SLOWLY
        )
    finally:
        await connection.close()
