"""A gateway runs out of file descriptors, or of room for its log."""

from __future__ import annotations

import asyncio
import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bff.waiting import until
from tests.faults.stage import HEALED, goes_on, heals, stage

if TYPE_CHECKING:
    from tests.databases import Databases
    from tests.world import Browser

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]
# Descriptors that are left, and connections that want one.
LEFT, WANTED = 12, 80
WATCHED = 3.0


def cpu_seconds(pid: int) -> float:
    """Return what a process has used so far."""
    said = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    fields = said.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid: int) -> int:
    """Count what a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


async def test_descriptors_that_run_out_cost_newcomers_only(
    databases: Databases, tmp_path: Path
) -> None:
    async with stage(databases, tmp_path) as here, here.signed_in() as alice:
        pid = here.gateway.process.pid
        await goes_on(alice, "/whoami", "/graph/threads/x")  # both have connections now
        before = descriptors(pid)
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (before + LEFT, hard))
        host, _, port = here.gateway.url.removeprefix("http://").rpartition(":")
        newcomers = [
            await asyncio.open_connection(host, int(port)) for _ in range(WANTED)
        ]
        try:
            await asyncio.sleep(0.5)
            used = cpu_seconds(pid)
            await asyncio.sleep(WATCHED)
            assert cpu_seconds(pid) - used < WATCHED / 2  # it does not spin
            assert descriptors(pid) <= before + LEFT
            for _ in range(3):
                await goes_on(alice, "/whoami")
                await goes_on(alice, "/graph/threads/x")
        finally:
            for _, writer in newcomers:
                writer.transport.abort()

        async with here.replicas.browser(here.gateway, alice.cookies) as newcomer:
            await serves_newcomers(newcomer)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        said = here.gateway.output().count("Too many open files")
        assert said <= 3  # a line for each of them would fill the disk next
        here.ran_well()


async def serves_newcomers(newcomer: Browser) -> None:
    async def well() -> bool:
        with suppress(OSError):
            return (await newcomer.get("/whoami")).status == 200
        return False

    await until(well, seconds=HEALED)


async def test_a_log_without_room_stops_nothing_and_goes_on_later(
    databases: Databases, tmp_path: Path
) -> None:
    async with stage(databases, tmp_path) as here, here.signed_in() as alice:
        pid, log = here.gateway.process.pid, here.gateway.log
        size = log.stat().st_size
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        # Whoever writes beyond it is told so, as on a device that is full.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
        for _ in range(20):
            await goes_on(alice, "/whoami", "/graph/threads/x", "/auth/sessions")
        await asyncio.sleep(0.5)  # lines leave a few times a second
        assert log.stat().st_size <= size

        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        await heals(alice, "/whoami")
        answer = await alice.get("/healthz")
        identity = answer.headers["X-Request-ID"]

        async def is_logged() -> bool:
            return identity in here.gateway.output()

        await until(is_logged, seconds=HEALED)
        here.ran_well()
