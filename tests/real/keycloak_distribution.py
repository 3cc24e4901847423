"""Fetch Keycloak's distribution once, and build it once, into the checkout's cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

VERSION = "26.7.1"
SHA256 = "d3bb3da0e4bf574db0c857f92b272da90575dc97aa26c41329c9d4399200974c"
ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:tar.gz"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
CACHE = Path(__file__).parents[2] / ".cache" / "keycloak"
HOME = CACHE / f"keycloak-{VERSION}"
FETCH_SECONDS, BUILD_SECONDS = 900, 300
# One garbage collector that starts fast; kc.sh has chosen another one before.
JVM = "-XX:-UseG1GC -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
MIN_JAVA = 17

Say = Callable[[str], None]


class Unavailable(Exception):
    """Keycloak cannot be had here; the message says what would help."""


def ready(say: Say = print) -> Path:
    """Return the home of a built distribution, fetching and building it if needed.

    Raises:
        Unavailable: Something is missing on this machine; asking again does not help.
    """
    if not _outcomes:
        _outcomes.append(_attempt(say))
    (outcome,) = _outcomes
    if isinstance(outcome, Unavailable):
        raise outcome
    return outcome


def environment() -> dict[str, str]:
    """Return the environment of Keycloak's commands."""
    chosen = {"JAVA_OPTS_APPEND": JVM, "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m"}
    kept = {key: value for key, value in os.environ.items() if key[:3] != "KC_"}
    return {**kept, **chosen}


_outcomes: list[Path | Unavailable] = []


def _attempt(say: Say) -> Path | Unavailable:
    try:
        _check_java()
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "lock").open("w") as lock:
            # Two test runs at once: one fetches, the other waits.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _marker().exists():
                _unpack(_fetched(say), say)
                _build(say)
                _marker().touch()
    except Unavailable as error:
        return error
    return HOME


def _marker() -> Path:
    return HOME / "built"


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    if java is None or not Path(java).exists():
        raise Unavailable("Java is not installed (Debian: apt install maven)")
    asked = _run([java, "-XshowSettings:properties", "-version"], seconds=30)
    line = "java.specification.version ="
    found = [one.split("=")[1] for one in asked.splitlines() if line in one]
    if not found or float(found[0]) < MIN_JAVA:
        raise Unavailable(f"Keycloak needs Java {MIN_JAVA} or newer")


def _fetched(say: Say) -> Path:
    archive = CACHE / f"keycloak-quarkus-dist-{VERSION}.tar.gz"
    if archive.exists() and _digest(archive) == SHA256:
        return archive
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable("Maven is not installed (Debian: apt install maven)")
    say(f"Fetching Keycloak {VERSION} with Maven, 175 MB, once …")
    # No strict checksums (-C): not every registry keeps them, and SHA256 is stricter.
    command = [maven, "-q", "-B", PLUGIN]
    _run([*command, f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={CACHE}"])
    if _digest(archive) != SHA256:
        archive.unlink()
        raise Unavailable("what Maven fetched is not the Keycloak that we know")
    return archive


def _unpack(archive: Path, say: Say) -> None:
    say("Unpacking Keycloak …")
    shutil.rmtree(HOME, ignore_errors=True)
    with tarfile.open(archive) as opened:
        opened.extractall(CACHE, filter="data")


def _build(say: Say) -> None:
    say("Building Keycloak for its database in memory, once, half a minute …")
    command = [str(HOME / "bin" / "kc.sh"), "build", "--db=dev-mem"]
    _run(command, seconds=BUILD_SECONDS)


def _digest(archive: Path) -> str:
    with archive.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _run(command: list[str], *, seconds: float = FETCH_SECONDS) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command of this file
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=environment(),
            cwd=CACHE if CACHE.exists() else None,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{Path(command[0]).name} took too long") from error
    said = done.stdout + done.stderr
    if done.returncode != 0:
        last = [one for one in said.splitlines() if one.strip()][-8:]
        raise Unavailable("\n".join([f"{Path(command[0]).name} failed:", *last]))
    return said
