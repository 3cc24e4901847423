"""Build the load programs, and oauth2-proxy where Go is present, into .cache/bench."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parent / ".cache" / "bench"
HEADERS = ("answer.h", "histogram.h")
OAUTH2_PROXY = "github.com/oauth2-proxy/oauth2-proxy/v7"
OAUTH2_PROXY_VERSION = "v7.15.4"


class Unavailable(Exception):
    """Say in one sentence what is missing, and what would bring it."""


def build(name: str) -> Path:
    """Return the load program *name*, compiled when its source is newer.

    Raises:
        Unavailable: when there is no C compiler, or it refuses.
    """
    source, program = HERE / f"{name}.c", CACHE / name
    newest = max((HERE / file).stat().st_mtime for file in (source.name, *HEADERS))
    if program.exists() and program.stat().st_mtime > newest:
        return program
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Unavailable("gcc is not installed (Debian: apt install gcc libc6-dev)")
    CACHE.mkdir(parents=True, exist_ok=True)
    draft = program.with_suffix(".new")
    flags = ("-std=gnu11", "-O2", "-Wall", "-Wextra")
    _run([compiler, *flags, "-o", str(draft), str(source)], HERE, "gcc")
    draft.replace(program)
    return program


def nginx() -> str:
    """Return the path of nginx.

    Raises:
        Unavailable: when it is not installed.
    """
    # Debian keeps it where only root's PATH looks.
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")
    if found is None:
        raise Unavailable("nginx is not installed (Debian: apt install nginx-light)")
    return found


def oauth2_proxy() -> Path:
    """Return the pinned oauth2-proxy, built by Go the first time.

    Built in its own module, which pins everything below it by checksum.

    Raises:
        Unavailable: without Go, or where the modules cannot be fetched.
    """
    program = CACHE / f"oauth2-proxy-{OAUTH2_PROXY_VERSION}"
    if program.exists():
        return program
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise Unavailable("Go is not installed, which builds oauth2-proxy")
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = f"{OAUTH2_PROXY}@{OAUTH2_PROXY_VERSION}"
    fetched = json.loads(_run([go, "mod", "download", "-json", wanted], CACHE, "go"))
    draft = program.with_suffix(".new")
    _run([go, "build", "-o", str(draft), "."], Path(fetched["Dir"]), "go")
    draft.replace(program)
    return program


def _run(command: list[str], folder: Path, name: str) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Unavailable(f"{name} failed: {said[-1] if said else 'it says nothing'}")
    return done.stdout
