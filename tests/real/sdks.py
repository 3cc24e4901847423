"""LangGraph's JavaScript SDKs and axe-core, installed once by npm into the cache."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).parent / "js"
CACHE = HERE.parents[2] / ".cache" / "js"
SCRIPT = HERE / "reconnect.mjs"
# What agent-chat-ui locks, the newest release, and what npm calls the latest.
VERSIONS = ("1.8.10", "1.15.0", "2.0.0")
MIN_NODE = 18
SECONDS = 900
_FILES = ("package.json", "package-lock.json")


class Unavailable(Exception):
    """What npm has cannot be had here; the message says what would help."""


def ready() -> Path:
    """Return the folder that holds an `sdk-VERSION` for each version.

    Raises:
        Unavailable: Something is missing on this machine.
    """
    return installed(HERE, CACHE)


def installed(here: Path, cache: Path, verb: str = "ci") -> Path:
    """Return what the lock file in *here* names, installed below *cache* if needed.

    *verb* may be `install`, for a lock that lacks other systems' optional parts.

    Raises:
        Unavailable: Something is missing on this machine.
    """
    npm = shutil.which("npm")
    if npm is None or int(run([node(), "--version"])[1:].partition(".")[0]) < MIN_NODE:
        raise Unavailable(f"npm and Node.js {MIN_NODE} or newer are needed")
    cache.mkdir(parents=True, exist_ok=True)
    modules, locked = cache / "node_modules", here / _FILES[1]
    mark = modules / "installed.json"
    with (cache / "lock").open("w") as lock:
        # Two test runs at once: one installs, the other waits.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_bytes() != locked.read_bytes():
            for name in _FILES:
                shutil.copy(here / name, cache / name)
            quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--silent")
            run([npm, verb, "--prefer-offline", *quiet], folder=cache)
            # Last, so that what broke off is done again.
            shutil.copy(locked, mark)
    return modules


def node() -> str:
    """Return the path of Node.js.

    Raises:
        Unavailable: It is not installed.
    """
    found = shutil.which("node")
    if found is None:
        raise Unavailable("Node.js is not installed (Debian: apt install nodejs npm)")
    return found


def run(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Return what *command* says.

    Raises:
        Unavailable: It failed, or took too long.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands of the tests
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            cwd=folder,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{name} took too long") from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-500:]
        raise Unavailable(f"{name} failed: {said}")
    return done.stdout.strip()


if __name__ == "__main__":
    if sys.argv[1:] != ["fetch"]:
        sys.exit("usage: python -m tests.real.sdks fetch")
    ready()
