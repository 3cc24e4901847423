"""Workers, `bff worker`, killed with kill -9 in the middle of what a tenant asked."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bff.sites.tasks import Kind
from tests.bff.exports.test_odoo_sync import LOAD, companies, leads, names
from tests.bff.odoo_world import NAME, OdooWorld, odoo_world, settings
from tests.bff.onboarding.gates import gate
from tests.bff.waiting import until
from tests.fakes.odoo_data import ADMIN
from tests.fakes.odoo_services import TEMPLATE
from tests.replicas import _start as start_process
from tests.world import KEY, SECRET

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from asyncpg import Record

    from tests.databases import Databases

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

# Ten seconds until a dead worker's lease is over, two to the next look, a busy machine.
CARRIED_ON = 60.0
COMPANIES = 250
KEYS, CHECK = "res.users.apikeys", "res.users.identitycheck"


@asynccontextmanager
async def process(
    place: OdooWorld, folder: Path, name: str
) -> AsyncGenerator[subprocess.Popen[bytes]]:
    """Run a worker in a process of its own; its log is in *folder*."""
    databases = place.world.databases
    started = start_process(
        folder,
        folder / f"{name}.log",
        {
            "database": {"url": databases.app, "worker_url": databases.worker},
            "auth": {"issuer": place.world.issuer, "client_secret": SECRET},
            "session": {"keys": KEY},
            **settings(place.fake),
        },
        "worker",
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.terminate()
        await asyncio.to_thread(started.wait, 30)


@asynccontextmanager
async def ready(databases: Databases) -> AsyncGenerator[OdooWorld]:
    async with odoo_world(databases) as place, place.admin() as alice:
        async with place.worker():
            await place.ready(alice)
        yield place


async def killed_in(
    place: OdooWorld, folder: Path, kind: Kind, method: str, when: str
) -> Record:
    """Kill a worker in the middle of a call; return what another one ends."""
    asked = asyncio.ensure_future(
        place.ask(kind, limit=1000, min_score=None, seconds=CARRIED_ON)
    )
    async with process(place, folder, "first") as first:
        if kind is Kind.SYNC:
            await until(lambda: _sent(place), seconds=30)
        with gate(place.fake, method, after=when == "after") as held:
            await held.reached(30)
            first.kill()
            held.open()
            async with process(place, folder, "second"):
                return await asked


def logged(folder: Path) -> str:
    """Return all that the workers have logged."""
    return "".join(one.read_text() for one in folder.glob("*.log"))


async def _sent(place: OdooWorld) -> bool:
    task = await place.task("sync")
    return task is not None and bool(json.loads(task["result"]).get("seen"))


@pytest.mark.parametrize(
    ("method", "when"),
    [
        (f"{KEYS}.description/make_key", "after"),
        (f"{CHECK}/run_check", "before"),
        (f"{CHECK}/run_check", "after"),
        (f"{KEYS}/remove", "after"),
    ],
)
async def test_a_rotation_goes_on_where_it_was(
    databases: Databases, tmp_path: Path, method: str, when: str
) -> None:
    async with ready(databases) as place:
        before = await place.kept()

        found = await killed_in(place, tmp_path, Kind.ROTATE, method, when)

        kept = await place.kept()
        assert (found["state"], found["run"]) == ("done", 1)
        assert list(place.odoo.keys) == [kept.key] != [before.key]
        assert not kept.previous
        assert await place.actions() == ["odoo.key_rotated"]
        said = logged(tmp_path)
        for secret in (before.key, kept.key, kept.service_password):
            assert secret not in said


async def test_a_repair_goes_on_where_it_was(
    databases: Databases, tmp_path: Path
) -> None:
    async with ready(databases) as place:
        place.odoo.records["res.users"][ADMIN]["oauth_uid"] = "somebody else"

        found = await killed_in(
            place, tmp_path, Kind.REPAIR, "res.users/write", "after"
        )

        admin, kept = place.odoo.records["res.users"][ADMIN], await place.kept()
        assert (found["state"], found["run"]) == ("done", 1)
        assert admin["password"] == kept.admin_password
        assert admin["oauth_uid"] != "somebody else"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_sync_goes_on_where_it_was_and_sends_nothing_twice(
    databases: Databases, tmp_path: Path, when: str
) -> None:
    async with ready(databases) as place:
        await companies(place, COMPANIES)

        found = await killed_in(place, tmp_path, Kind.SYNC, LOAD, when)

        result = json.loads(found["result"])
        assert (found["state"], found["run"]) == ("done", 1)
        assert (result["count"], result["seen"]) == (COMPANIES, COMPANIES)
        # What reached Odoo and was not counted is sent again, as a change.
        assert result["created"] + result["updated"] == COMPANIES
        assert result["created"] < COMPANIES or when == "before"
        assert leads(place) == names(COMPANIES)
        assert set(place.fake.databases) == {NAME, TEMPLATE}
