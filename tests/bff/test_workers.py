"""Several serving processes on one port, minded by one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from bff.dev.ports import free_port
from bff.workers import Workers, for_worker, problem_with_workers
from tests.bff.configs import DEV, KEY, load
from tests.bff.test_serve import environment, process, settings
from tests.bff.waiting import until

if TYPE_CHECKING:
    from tests.databases import Databases


# Each worker imports everything anew, on a busy machine slowly.
pytestmark = pytest.mark.timeout(150)


def fail_at_once(number: int) -> None:
    sys.exit(number + 3)


def stay(folder: str, number: int) -> None:
    """Leave a mark and wait to be told."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Path(folder, f"{number}-{os.getpid()}").touch()
    time.sleep(60)


def be_deaf(folder: str, number: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(folder, f"{number}-{os.getpid()}").touch()
    time.sleep(60)


async def marks(folder: Path, count: int) -> list[Path] | None:
    found = sorted(await asyncio.to_thread(lambda: list(folder.iterdir())))
    return found if len(found) == count else None


def test_workers_that_cannot_start_end_it_all() -> None:
    assert Workers(2, fail_at_once, drain=0, settled=1000).run() == 1


async def test_what_ended_is_started_again_and_being_told_ends_them_all(
    tmp_path: Path,
) -> None:
    # In a process of its own: signals are the whole process's affair.
    code = (
        "import sys; from functools import partial; from bff.workers import Workers; "
        "from tests.bff.test_workers import stay; "
        "sys.exit(Workers(2, partial(stay, sys.argv[1]), drain=1).run())"
    )
    minder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path), cwd=Path(__file__).parents[2]
    )
    try:
        first, second = await until(partial(marks, tmp_path, 2), seconds=60)
        os.kill(int(first.name.partition("-")[2]), signal.SIGKILL)
        three = await until(partial(marks, tmp_path, 3), seconds=60)
        assert [mark.name[0] for mark in three] == ["0", "0", "1"]
        minder.terminate()
        assert await asyncio.wait_for(minder.wait(), 20) == 0
    finally:
        if minder.returncode is None:
            minder.kill()
            await minder.wait()
    for mark in (*three, second):
        with pytest.raises(ProcessLookupError):
            os.kill(int(mark.name.partition("-")[2]), 0)


async def test_who_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys; from functools import partial; import bff.workers as w; "
        "from tests.bff.test_workers import be_deaf; w.GRACE = 0.2; "
        "sys.exit(w.Workers(1, partial(be_deaf, sys.argv[1]), drain=0.1).run())"
    )
    minder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path), cwd=Path(__file__).parents[2]
    )
    try:
        (mark,) = await until(partial(marks, tmp_path, 1), seconds=60)
        minder.terminate()
        assert await asyncio.wait_for(minder.wait(), 20) == 1
    finally:
        if minder.returncode is None:
            minder.kill()
            await minder.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.name.partition("-")[2]), 0)


def test_each_worker_has_its_own_admin_port_and_one_runs_jobs() -> None:
    whole = load({**DEV, "BFF_SERVER__ADMIN_LISTEN": "127.0.0.1:9100"})
    first, second = for_worker(whole, 0), for_worker(whole, 1)

    assert first.server.admin_listen == "127.0.0.1:9100"
    assert second.server.admin_listen == "127.0.0.1:9101"
    assert (first.worker.embedded, second.worker.embedded) == (True, False)
    assert second.server.listen == whole.server.listen


def test_several_need_one_key_ring() -> None:
    without, ringed = load(DEV), load({**DEV, "BFF_SESSION__KEYS": KEY})

    assert "session.keys" in (problem_with_workers(without, 2) or "")
    assert problem_with_workers(ringed, 2) is None


@pytest.mark.parametrize(
    ("port", "count", "fits"),
    [(0, 2, False), (65535, 2, False), (65534, 2, True), (65530, 8, False)],
)
def test_each_worker_s_admin_port_must_be_a_port(
    port: int, count: int, *, fits: bool
) -> None:
    values = {
        **DEV,
        "BFF_SESSION__KEYS": KEY,
        "BFF_SERVER__ADMIN_LISTEN": f"127.0.0.1:{port}",
    }
    problem = problem_with_workers(load(values), count)

    assert (problem is None) is fits
    assert fits or "server.admin_listen" in (problem or "")


def is_gone(mark: Path) -> bool:
    """Tell whether the process that left this mark runs no more."""
    try:
        state = Path("/proc", mark.name.partition("-")[2], "stat").read_text()
    except FileNotFoundError:
        return True
    # Nobody may be there to wait for an orphan's end.
    return state.rpartition(")")[2].split()[0] in {"Z", "X"}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("child", ["stay", "be_deaf"])
async def test_workers_end_with_what_minds_them_however_it_ends(
    tmp_path: Path, child: str
) -> None:
    code = (
        "import sys; from functools import partial; import bff.workers as w; "
        f"from tests.bff.test_workers import {child} as child; w.GRACE = 0.2; "
        "sys.exit(w.Workers(2, partial(child, sys.argv[1]), drain=0.1).run())"
    )
    minder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path), cwd=Path(__file__).parents[2]
    )
    try:
        left = await until(partial(marks, tmp_path, 2), seconds=60)
    finally:
        minder.kill()
        await minder.wait()

    async def gone() -> bool:
        return all(is_gone(mark) for mark in left)

    await until(gone, seconds=30)


ORPHAN = """
import multiprocessing, os, signal, time
import bff.workers as w
from bff import access_log

signal.signal(signal.SIGTERM, signal.SIG_IGN)
w.LAST_LINES = 0.5
access_log._Output.lines = lines = access_log.Lines({write})
lines._lines.append("the last line\\n")
end, other = multiprocessing.Pipe(duplex=False)
other.close()
w.run_tied(lambda _: time.sleep(100), 0, end, 0.1)
"""


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        ("lambda text: os.write(1, text.encode())", b"the last line\n"),
        ("lambda text: time.sleep(100)", b""),  # nobody reads them
    ],
)
async def test_one_that_nobody_minds_leaves_its_last_lines_if_it_can(
    write: str, expected: bytes
) -> None:
    orphan = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ORPHAN.format(write=write), stdout=asyncio.subprocess.PIPE
    )
    try:
        said, _ = await asyncio.wait_for(orphan.communicate(), 40)
    finally:
        if orphan.returncode is None:
            orphan.kill()
            await orphan.wait()
    assert (orphan.returncode, said) == (1, expected)


async def test_two_real_workers_share_a_port_and_leave_with_status_0(
    databases: Databases, tmp_path: Path
) -> None:
    values = settings(databases)
    port = free_port()
    values["server"] |= {"workers": 2, "admin_listen": f"127.0.0.1:{port}"}
    public = f"http://{values['server']['listen']}"

    async def served(at: int) -> float:
        """Return how many requests for /healthz the worker at this port has counted."""
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{at}/metrics") as answer,
        ):
            lines = (await answer.text()).splitlines()
        named = 'bff_requests_total{route="/healthz",status="2xx"} '
        return sum(
            float(line.removeprefix(named)) for line in lines if line.startswith(named)
        )

    async def both() -> bool:
        assert running.returncode is None
        try:
            for _ in range(20):
                async with aiohttp.request("GET", f"{public}/healthz") as answer:
                    assert answer.status == 200
            return await served(port) > 0 and await served(port + 1) > 0
        except aiohttp.ClientConnectionError:
            return False

    async with process("serve", environment(values), tmp_path) as running:
        await until(both, seconds=90)
        running.terminate()
        said, _ = await asyncio.wait_for(running.communicate(), 30)

    assert running.returncode == 0, said.decode()
    assert "stopping 2 workers" in said.decode()
    assert "Traceback" not in said.decode()
