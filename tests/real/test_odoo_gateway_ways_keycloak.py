"""Every way to come by a database, each to a ready tenant on real parts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.bff.waiting import until
from tests.real.odoo_estate import SLOWLY, estate
from tests.real.odoo_warm import ROLE
from tests.real.own_realm import own_realm

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.databases import Databases
    from tests.real.keycloak import Keycloak
    from tests.real.odoo import Odoo
    from tests.real.odoo_estate import Estate

pytestmark = [pytest.mark.real, pytest.mark.acceptance]

COPIER, COPIER_PASSWORD = "bff_copier", "Test-Copier-Password-1"


async def test_sql_copies_where_the_manager_is_off(
    keycloak: Keycloak, real_odoo: Odoo, databases: Databases, tmp_path: Path
) -> None:
    with real_odoo.another(list_db="False") as odoo:
        async with (
            _copier(odoo) as url,
            own_realm(keycloak, rotate=False) as realm,
            estate(realm, databases, odoo, tmp_path, **_sql(odoo, url)) as here,
        ):
            tenant = await _is_ready(here)
            assert (_filestore(odoo) / here.name(tenant)).is_dir()


async def test_odoo_s_command_copies_where_the_manager_is_off(
    keycloak: Keycloak, real_odoo: Odoo, databases: Databases, tmp_path: Path
) -> None:
    with real_odoo.another(list_db="False") as odoo:
        place = odoo.place
        conf = place.configuration("command.conf", {"list_db": "False"})
        program = str(_odoo_bin(odoo, tmp_path))
        async with (
            own_realm(keycloak, rotate=False) as realm,
            estate(
                realm, databases, odoo, tmp_path, bin_path=program, conf=str(conf)
            ) as here,
        ):
            await _is_ready(here)


async def test_without_the_manager_rpc_says_so(
    keycloak: Keycloak, real_odoo: Odoo, databases: Databases, tmp_path: Path
) -> None:
    with real_odoo.another(list_db="False") as odoo:
        async with (
            own_realm(keycloak, rotate=False) as realm,
            estate(realm, databases, odoo, tmp_path, clone="rpc") as here,
            here.somebody() as founder,
        ):
            tenant = await founder.founds()
            ended = await here.is_at(tenant, "ready", "error", seconds=SLOWLY)
            assert ended["status"] == "error"
            assert "database manager is switched off" in ended["error"]
            assert await here.copies() == {}


async def test_a_warm_copy_is_claimed_and_another_takes_its_place(
    keycloak: Keycloak, real_odoo: Odoo, databases: Databases, tmp_path: Path
) -> None:
    async with (
        own_realm(keycloak, rotate=False) as realm,
        estate(realm, databases, real_odoo, tmp_path, warm=1) as here,
    ):
        first = await _warm(here)
        tenant = await _is_ready(here)
        second = await _warm(here)
        assert second != first
        there = await _databases(here.odoo)
        assert {second, here.name(tenant)} <= there
        assert first not in there


async def _is_ready(here: Estate) -> int:
    """Take somebody to a ready Odoo that passes its check, and return the tenant."""
    async with here.somebody() as founder:
        tenant = await founder.founds()
        ended = await here.is_at(tenant, "ready", "error", seconds=SLOWLY)
        assert ended["status"] == "ready", (ended, here.complaints())
        await founder.sign_in()
        found = await founder.asks("GET", "/onboarding/verify_odoo")
        assert (found["ready"], found["error"]) == (True, None)
    uuids = await here.copies()
    assert uuids[here.name(tenant)] not in {None, here.odoo.template.uuid}
    return tenant


async def _warm(here: Estate) -> str:
    """Wait for a copy that is ready to be claimed, and return its name."""

    async def look() -> str | None:
        async with here.databases.superuser() as superuser:
            name: str | None = await superuser.fetchval(
                "SELECT name FROM odoo_warm WHERE state = 'ready'"
            )
        return name

    return await until(look, seconds=SLOWLY)


async def _databases(odoo: Odoo) -> set[str]:
    connection = await asyncpg.connect(odoo.place.superuser())
    try:
        rows = await connection.fetch("SELECT datname FROM pg_database")
    finally:
        await connection.close()
    return {row["datname"] for row in rows}


def _sql(odoo: Odoo, url: str) -> dict[str, Any]:
    return {
        "postgres_url": url,
        "postgres_owner": ROLE,
        "filestore": str(_filestore(odoo)),
    }


def _filestore(odoo: Odoo) -> Path:
    return odoo.place.folder / "data" / "filestore"


def _odoo_bin(odoo: Odoo, folder: Path) -> Path:
    """Write what an installed Odoo would have: one program that finds its modules."""
    environment = odoo.place.environment()
    told = " ".join(f"{name}='{environment[name]}'" for name in ("HOME", "PYTHONPATH"))
    program = " ".join(f"'{one}'" for one in odoo.place.program())
    file = folder / "odoo-bin"
    file.write_text(f'#!/bin/sh\nexec env {told} {program} "$@"\n', encoding="utf-8")
    file.chmod(0o755)
    return file


@asynccontextmanager
async def _copier(odoo: Odoo) -> AsyncGenerator[str]:
    """Give the URL of a role that may do no more than copy for Odoo's role."""
    connection = await asyncpg.connect(odoo.place.superuser())
    try:
        await connection.execute(
            f"CREATE ROLE {COPIER} LOGIN CREATEDB PASSWORD '{COPIER_PASSWORD}' "
            f"IN ROLE {ROLE}"
        )
        port = odoo.place.server.port
        yield f"postgresql://{COPIER}:{COPIER_PASSWORD}@127.0.0.1:{port}/postgres"
        await connection.execute(f"DROP ROLE {COPIER}")
    finally:
        await connection.close()
