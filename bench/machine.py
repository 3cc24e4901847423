"""Say what the figures were measured on."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import programs

if TYPE_CHECKING:
    from bench.stage import Stage

# The columns of /proc/stat that are nobody's work (proc_stat(5)): idle and iowait.
_IDLE = slice(3, 5)
PACKAGES = ("aiohttp", "httptools", "uvloop", "cryptography")


def describe(stage: Stage) -> dict[str, Any]:
    """Return processor, kernel, versions, and how cores and files were shared."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores_of_proxies": sorted(stage.cores.proxy),
        "cores_of_load": sorted(stage.cores.load),
        "load_apart": stage.cores.apart,
        "open_files": stage.files,
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "nginx": _nginx(stage),
        "oauth2_proxy": programs.OAUTH2_PROXY_VERSION,
        "absent": stage.absent,
    }


async def busy() -> float:
    """Return the share of this machine's CPU time used within one second."""
    before = _times()
    await asyncio.sleep(1)
    spent = [now - then for now, then in zip(_times(), before, strict=True)]
    return 1 - sum(spent[_IDLE]) / max(sum(spent), 1)


def _times() -> list[int]:
    first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    return [int(number) for number in first.split()[1:]]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = (line.partition(":")[2].strip() for line in lines if "model name" in line)
    return next(models, platform.machine())


def _nginx(stage: Stage) -> str:
    if "nginx" in stage.absent:
        return ""
    said = subprocess.run(
        [programs.nginx(), "-v"], capture_output=True, text=True, check=False
    )
    return said.stderr.strip().rpartition("/")[2]
