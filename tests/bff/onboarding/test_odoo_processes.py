"""Real workers, `bff worker`, that are killed or stopped in the middle of a tenant."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bff.environment import ALIASES
from tests.bff.onboarding.estate import assert_says_nothing, odoo_section
from tests.bff.onboarding.gates import gate
from tests.bff.waiting import until
from tests.world import KEY

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.bff.onboarding.estate import Estate

# Ten seconds until a dead worker's lease and job are free, five to the next look, and
# a busy machine.
CARRIED_ON = 45.0
# Where the worker is killed: a call to Odoo, before or after it takes effect.
PLACES = [
    ("version", False),
    ("migrate_databases", True),
    ("duplicate_database", False),
    ("ir.config_parameter/create", True),
    ("res.users/write", True),
    ("res.users.apikeys.description/make_key", True),
    ("res.users.identitycheck/run_check", True),
    ("auth.oauth.provider/create", True),
    ("res.company/load", False),
    ("res.partner/load", True),
    ("ir.config_parameter/unlink", False),
]


@contextmanager
def worker(
    estate: Estate, folder: Path, name: str
) -> Generator[subprocess.Popen[bytes]]:
    """Run a worker in a process of its own; its log is in *folder*."""
    values: dict[str, dict[str, Any]] = {
        "database": {
            "url": estate.databases.app,
            "worker_url": estate.databases.worker,
        },
        "auth": {"issuer": estate.issuer, "client_secret": "x"},
        "session": {"keys": KEY},
        "odoo": odoo_section(estate.fake),
    }
    empty = folder / "empty.toml"
    empty.touch()
    # What this machine is told must not reach it; coverage's own variables must.
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("BFF_") and name not in ALIASES
    }
    environ |= {"BFF_CONFIG": str(empty), "BFF_ENVIRONMENT": "dev"}
    for section, keys in values.items():
        for key, value in keys.items():
            text = value if isinstance(value, str) else json.dumps(value)
            environ[f"BFF_{section.upper()}__{key.upper()}"] = text
    with (folder / f"{name}.log").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "bff", "worker"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)
                raise


def said(folder: Path) -> str:
    """Return all that the workers have logged."""
    return "".join(one.read_text() for one in folder.glob("*.log"))


async def killed_at(estate: Estate, folder: Path, method: str, *, after: bool) -> None:
    """Kill a worker in the middle of a call; another one ends what it has begun."""
    with (
        gate(estate.fake, method, after=after) as held,
        worker(estate, folder, "first") as first,
    ):
        await held.reached(30)
        with worker(estate, folder, "second"):
            first.kill()
            held.open()
            await estate.reached("ready", seconds=CARRIED_ON)
    await estate.assert_ready()
    assert (await estate.progress()).attempt == 1
    assert_says_nothing(said(folder), await estate.secrets())


async def test_a_worker_killed_while_it_copies_is_replaced(
    estate: Estate, tmp_path: Path
) -> None:
    await killed_at(estate, tmp_path, "duplicate_database", after=True)

    assert estate.fake.asked("duplicate_database") == 1


@pytest.mark.acceptance
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("method", "after"), PLACES)
async def test_a_worker_killed_anywhere_is_replaced(
    estate: Estate, tmp_path: Path, method: str, *, after: bool
) -> None:
    await killed_at(estate, tmp_path, method, after=after)


@pytest.mark.acceptance
@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", [0.03, 0.11, 0.19])
async def test_workers_killed_now_and_then_leave_nothing_undone(
    estate: Estate, tmp_path: Path, step: float
) -> None:
    """At what moments that is depends on the machine, and differs each time."""
    for number in range(5):
        with worker(estate, tmp_path, f"worker-{number}") as process:
            fence = (await fences(estate))[0]

            async def begun(fence: int = fence) -> bool:
                ready = (await estate.progress()).status == "ready"
                return ready or (await fences(estate))[0] > fence

            await until(begun, seconds=CARRIED_ON)
            await asyncio.sleep(step * number)
            process.kill()
    with worker(estate, tmp_path, "last"):
        await estate.reached("ready", seconds=CARRIED_ON)

    await estate.assert_ready()
    assert_says_nothing(said(tmp_path), await estate.secrets())


async def fences(estate: Estate) -> tuple[int, int]:
    """Return how often the onboarding, and the database, was taken in hand."""
    async with estate.databases.superuser() as superuser:
        (row,) = await superuser.fetch(
            "SELECT one.fence AS onboarding, coalesce(its.fence, 0) AS database "
            "FROM onboarding AS one LEFT JOIN odoo_connections AS its USING (tenant_id)"
        )
    return row["onboarding"], row["database"]


@pytest.mark.acceptance
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "method",
    ["duplicate_database", "res.users/write", "auth.oauth.provider/create"],
)
async def test_a_worker_that_was_paused_and_replaced_changes_nothing(
    estate: Estate, tmp_path: Path, method: str
) -> None:
    with (
        gate(estate.fake, method, after=True) as held,
        worker(estate, tmp_path, "paused") as paused,
    ):
        await held.reached(30)
        paused.send_signal(signal.SIGSTOP)
        with worker(estate, tmp_path, "other"):
            await estate.reached("ready", seconds=CARRIED_ON)
        await estate.assert_ready()
        database, row = copy.deepcopy(estate.database), await estate.row()
        progress = await estate.progress()
        log = tmp_path / "paused.log"
        before = len(log.read_text())

        held.open()
        paused.send_signal(signal.SIGCONT)

        async def noticed() -> bool:
            new = log.read_text()[before:]
            return any(words in new for words in NOTICES)

        await until(noticed, seconds=30)
        # It is well, and does the next tenant's; nothing more comes of the one before.
        first, estate.tenant_id = estate.tenant_id, 0
        again = estate.founder
        estate.founder = type(again)(again.iss, "ben", "ben@x.test", *SEEN)
        await estate.begin()
        await estate.reached("ready", seconds=CARRIED_ON)
        estate.tenant_id, estate.founder = first, again

    assert estate.database == database
    assert await estate.progress() == progress
    assert await estate.row() == row


SEEN = (False, "192.0.2.1")
# The last one: it was paused in a transaction, which PostgreSQL ended.
NOTICES = ("taken over", "took over", "connection was lost")
