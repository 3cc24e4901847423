"""LangGraph's JavaScript SDKs, installed once by npm into the checkout's cache."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent / "js"
CACHE = HERE.parents[2] / ".cache" / "js"
SCRIPT = HERE / "reconnect.mjs"
# What agent-chat-ui locks, the newest release, and what npm calls the latest.
VERSIONS = ("1.8.10", "1.15.0", "2.0.0")
MIN_NODE = 18
SECONDS = 300
_FILES = ("package.json", "package-lock.json")


class Unavailable(Exception):
    """The SDKs cannot be had here; the message says what would help."""


def ready() -> Path:
    """Return the folder that holds an `sdk-VERSION` for each version.

    Raises:
        Unavailable: Something is missing on this machine.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Unavailable("Node.js is not installed (Debian: apt install nodejs npm)")
    if int(_run([node, "--version"]).lstrip("v").partition(".")[0]) < MIN_NODE:
        raise Unavailable(f"the SDKs need Node.js {MIN_NODE} or newer")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        # Two test runs at once: one installs, the other waits.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_installed():
            for name in _FILES:
                shutil.copy(HERE / name, CACHE / name)
            quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--silent")
            _run([npm, "ci", "--prefer-offline", *quiet])
            # Last, so that what broke off is done again.
            shutil.copy(HERE / _FILES[1], _installed())
    return CACHE / "node_modules"


def _installed() -> Path:
    return CACHE / "node_modules" / "installed.json"


def _is_installed() -> bool:
    mark = _installed()
    return mark.exists() and mark.read_bytes() == (HERE / _FILES[1]).read_bytes()


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands of this file
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            cwd=CACHE if CACHE.exists() else None,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{Path(command[0]).name} took too long") from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-500:]
        raise Unavailable(f"{Path(command[0]).name} failed: {said}")
    return done.stdout.strip()


if __name__ == "__main__":
    if sys.argv[1:] != ["fetch"]:
        sys.exit("usage: python -m tests.real.sdks fetch")
    ready()
