"""agent-chat-ui as its own installer on npm carries it, built once into the cache.

`create-agent-chat-app` brings it whole, for Vite (then a folder of files) and for
Next.js (then `next start`). Nothing in it is changed: a build gets the two variables
that its README names. $AGENT_CHAT_UI_FILES and $AGENT_CHAT_UI_NEXT name builds of your
own instead, of a fork or of a later version, made for the address below.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bff.dev.ports import free_port
from tests.real import sdks
from tests.real.sdks import Unavailable

if TYPE_CHECKING:
    from collections.abc import Generator

# A build has one address in it, as in production; the port behind it is the tests'.
NAME = "chat.localhost"
ORIGIN = f"http://{NAME}"
HERE = sdks.HERE / "agent-chat-ui"
CACHE = sdks.CACHE.parent / "agent-chat-ui"
TOLD = {"API_URL": f"{ORIGIN}/graph", "ASSISTANT_ID": "agent"}
START_SECONDS, STOP_SECONDS = 60, 10

Say = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """The folder of static files, and the application that `next start` runs."""

    files: Path
    application: Path


def ready(say: Say = print) -> Built:
    """Return what was built, building it if needed: some 600 MB, once.

    Raises:
        Unavailable: Something is missing on this machine; asking again does not help.
    """
    if not _outcomes:
        _outcomes.append(_attempt(say))
    (outcome,) = _outcomes
    if isinstance(outcome, Unavailable):
        raise outcome
    return outcome


_outcomes: list[Built | Unavailable] = []


def _attempt(say: Say) -> Built | Unavailable:
    files = os.environ.get("AGENT_CHAT_UI_FILES")
    application = os.environ.get("AGENT_CHAT_UI_NEXT")
    if files and application:
        return Built(Path(files), Path(application))
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        modules = sdks.installed(HERE, CACHE, "install")
        with (CACHE / "building").open("w") as lock:
            # Two test runs at once: one builds, the other waits.
            fcntl.flock(lock, fcntl.LOCK_EX)
            return Built(_vite(modules, say) / "dist", _next(modules, say))
    except Unavailable as error:
        return error


def _vite(modules: Path, say: Say) -> Path:
    environ = {f"VITE_{name}": value for name, value in TOLD.items()}
    command = [str(modules / "vite" / "bin" / "vite.js"), "build"]
    return _built("vite", modules, command, environ, say)


def _next(modules: Path, say: Say) -> Path:
    environ = {f"NEXT_PUBLIC_{name}": value for name, value in TOLD.items()}
    environ |= {
        "NEXT_TELEMETRY_DISABLED": "1",
        "NEXT_FONT_GOOGLE_MOCKED_RESPONSES": str(HERE / "font-mock.cjs"),
    }
    command = [*_next_command(modules), "build", "--no-lint"]
    return _built("nextjs", modules, command, environ, say)


def _next_command(modules: Path) -> list[str]:
    return [str(modules / "next" / "dist" / "bin" / "next")]


def _built(
    template: str, modules: Path, command: list[str], environ: dict[str, str], say: Say
) -> Path:
    """Build a copy of *template* beside what it needs, unless that was done before."""
    place = CACHE / template
    mark, wanted = place / "built", _fingerprint(command, environ)
    if not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
        say(f"Building agent-chat-ui for {template}, once, some minutes …")
        shutil.rmtree(place, ignore_errors=True)
        source = modules / "create-agent-chat-app" / "templates" / template
        shutil.copytree(source, place)
        sdks.run([sdks.node(), *command], folder=place, environ=environ)
        shutil.rmtree(place / ".next" / "cache", ignore_errors=True)
        mark.write_text(wanted, encoding="utf-8")  # last: what broke off is done again
    return place


def _fingerprint(command: list[str], environ: dict[str, str]) -> str:
    lock = (HERE / "package-lock.json").read_text(encoding="utf-8")
    parts = [*command[1:], *map(str, sorted(environ.items())), lock]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@contextmanager
def next_start(built: Built) -> Generator[str]:
    """Run `next start` and give its address.

    Raises:
        Unavailable: It did not start.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    modules = next(
        folder / "node_modules"
        for folder in (built.application, *built.application.parents)
        if (folder / "node_modules" / "next").exists()
    )
    where = ("--port", str(port), "--hostname", "127.0.0.1")
    log = built.application / "start.log"
    with log.open("w") as out:
        process = subprocess.Popen(  # noqa: S603 - a fixed command of this file
            [sdks.node(), *_next_command(modules), "start", *where],
            cwd=built.application,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"next start failed: {log.read_text()[-500:]}")
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:  # noqa: S310 - http
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    if sys.argv[1:] != ["fetch"]:
        sys.exit("usage: python -m tests.real.agent_chat_ui fetch")
    ready()
