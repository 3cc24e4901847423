"""PostgreSQL's disk is full: what reads goes on, what writes is refused."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import asyncpg
import pytest

from bff.dev.demo import PASSWORD
from bff.dev.postgres import SUPERUSER
from tests.faults.own_postgres import NAME, OwnPostgres, _running
from tests.faults.stage import ALICE, goes_on, heals, in_time, refuses, stage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]
SIZE = "256m"
MB = bytes(2**20)


@asynccontextmanager
async def small_disk(place: Path) -> AsyncGenerator[Path]:
    """Mount a file system of its own, or skip."""
    await asyncio.to_thread(place.mkdir)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=711", "tmpfs", str(place)]
    try:
        done = await asyncio.to_thread(
            subprocess.run, mount, capture_output=True, check=False
        )
    except OSError as error:
        pytest.skip(f"full disk: no mount here ({error})")
    if done.returncode:
        pytest.skip(f"full disk: {done.stderr.decode(errors='replace').strip()}")
    try:
        yield place
    finally:
        await asyncio.to_thread(
            subprocess.run,
            ["umount", "--lazy", str(place)],
            check=True,
        )


async def fill(own: OwnPostgres, ballast: Path) -> None:
    """Leave no room but what the log of transactions has reserved for itself."""
    superuser = await asyncpg.connect(own.server.url(SUPERUSER, NAME))
    try:
        await superuser.execute("CHECKPOINT")
        await superuser.execute("SELECT pg_switch_wal()")
        await superuser.execute("CREATE TABLE room (x int)")
    finally:
        await superuser.close()
    with ballast.open("wb") as out, suppress(OSError):
        while True:
            out.write(MB)
            out.flush()


async def test_a_full_disk_refuses_sign_ins_and_keeps_who_is_signed_in(
    tmp_path: Path,
) -> None:
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o711)  # the server runs as a system user when we are root
    async with (
        small_disk(tmp_path / "disk") as disk,
        _running(disk / "postgres") as own,
        stage(own.databases, tmp_path) as here,
        here.signed_in() as alice,
        here.replicas.browser(here.gateway) as again,
    ):
        await fill(own, disk / "ballast")
        # Pages in use have room for some more rows.
        for _ in range(150):
            answer = await in_time(again.login(ALICE, PASSWORD))
            if answer.status != 200:
                break
            again.set_cookies({})
        await refuses(again.login(ALICE, PASSWORD), 503, "unavailable")
        await goes_on(alice, "/whoami", "/graph/threads/x", "/auth/sessions")

        (disk / "ballast").unlink()

        await heals(alice, "/auth/refresh", "POST")
        assert (await again.login(ALICE, PASSWORD)).status == 200
        here.ran_well()
