"""Start programs on cores of their own, and read what they cost."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Generator, Mapping, Sequence

STOP_LIMIT = 10.0
QUIET_LIMIT = 30.0
# clock_getcpuclockid(3) as the kernel makes it: exact, threads that ended included.
_PROCESS_CLOCK = 2


@dataclass(frozen=True, slots=True)
class Cores:
    """Which cores are the proxies' and which the load's."""

    proxy: frozenset[int]
    load: frozenset[int]

    @property
    def apart(self) -> bool:
        """Tell whether load and proxies keep out of each other's way."""
        return not self.proxy & self.load


def divide_cores() -> Cores:
    """Give the proxies the last core of ours and the load all others."""
    ours = sorted(os.sched_getaffinity(0))
    proxy = frozenset(ours[-1:])
    return Cores(proxy, frozenset(ours) - proxy or proxy)


def raise_file_limit() -> int:
    """Allow as many open files as the machine lets us, and return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextmanager
def pinned(cores: frozenset[int]) -> Generator[None]:
    """Run on *cores*; children started meanwhile stay there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@asynccontextmanager
async def running(
    command: Sequence[str],
    *,
    cores: frozenset[int],
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> AsyncGenerator[subprocess.Popen[bytes]]:
    """Run *command* in the folder of its *log*."""
    process = _start(command, cores, log, environment)
    try:
        yield process
    finally:
        await asyncio.to_thread(_stop, process)


def _start(
    command: Sequence[str],
    cores: frozenset[int],
    log: Path,
    environment: Mapping[str, str] | None,
) -> subprocess.Popen[bytes]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with pinned(cores), log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=log.parent,
            env={**kept, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def family(pid: int) -> list[int]:
    """Return *pid* and its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its descendants, user and system."""
    return sum(time.clock_gettime((~one << 3) | _PROCESS_CLOCK) for one in family(pid))


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process and its descendants hold, in bytes."""

    pss: int
    private: int


def memory(pid: int) -> Memory:
    """Read proportional and private resident memory (proc_pid_smaps(5))."""
    pss = private = 0
    for one in family(pid):
        rollup = Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii")
        for line in rollup.splitlines()[1:]:
            name, value = line.split()[:2]
            pss += int(value) * 1024 * (name == "Pss:")
            private += int(value) * 1024 * name.startswith("Private_")
    return Memory(pss, private)


async def quiet(pids: Collection[int]) -> None:
    """Wait until nothing that came before keeps *pids* busy any more."""
    pause, idle = 0.25, 0.02
    deadline = time.monotonic() + QUIET_LIMIT
    while time.monotonic() < deadline:
        before = sum(map(cpu_seconds, pids))
        await asyncio.sleep(pause)
        if sum(map(cpu_seconds, pids)) - before < pause * idle:
            return
