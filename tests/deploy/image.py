"""Build the Dockerfile with buildah on a base made here, and run it as a host would.

The base is Debian by debootstrap in place of Debian's own image, which no package
registry carries; every step of the Dockerfile is buildah's. All is in .cache/deploy.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.deploy.files import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

CACHE = ROOT / ".cache" / "deploy"
SUITE = "bookworm"
BASE, IMAGE = f"localhost/bff-base:{SUITE}", "localhost/nexius-bff:test"
# What this machine trusts beside Debian's: a proxy between us and the registries.
TRUSTED = Path("/usr/local/share/ca-certificates")
BUILD_SECONDS = 900
# Bound upon itself, so that it can be made unwritable; the image's one tmpfs, no more.
ENTER = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount --bind /dev "$1/dev"
mount -t tmpfs -o size=16m,mode=1777 tmpfs "$1/tmp"
root=$1; shift
exec /usr/sbin/chroot --userspec=10001:10001 --groups=10001 "$root" "$@"
"""


def buildah(*words: str) -> str:
    """Run buildah with a storage of our own, and return what it says."""
    command = [
        *("buildah", "--root", str(CACHE / "storage"), "--runroot", str(CACHE / "run")),
        *words,
    ]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout.strip()


def built() -> str:
    """Build the image, layer by layer as far as anything changed."""
    if not buildah("images", "--quiet", "--filter", f"reference={BASE}"):
        _make_base()
    buildah(
        *("build", "--isolation", "chroot", "--network", "host", "--layers"),
        *("--format", "docker", "--build-arg", f"BASE={BASE}", "--tag", IMAGE),
        str(ROOT),
    )
    return IMAGE


@contextmanager
def mounted(image: str) -> Generator[str]:
    """Give the folder in which a container of *image* has its files."""
    container = buildah("from", image)
    try:
        yield buildah("mount", container)
    finally:
        buildah("rm", container)


def entered(root: str, *command: str) -> list[str]:
    """Return the command that runs *command* in *root*, which it cannot write to."""
    return ["unshare", "--mount", "sh", "-c", ENTER, "enter", root, *command]


def environment(image: str) -> dict[str, str]:
    """Return the variables that the image sets."""
    said = buildah(
        *("inspect", "--type", "image", "--format"),
        "{{range .Docker.Config.Env}}{{println .}}{{end}}",
        image,
    )
    return dict(line.split("=", 1) for line in said.splitlines() if line)


def run(
    root: str, *command: str, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command in *root* to its end."""
    return subprocess.run(
        entered(root, *command),
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def start(
    root: str, *command: str, env: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a command in *root*."""
    with log.open("wb") as out:
        return subprocess.Popen(
            entered(root, *command), env=dict(env), stdout=out, stderr=out
        )


def _make_base() -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / f"debian-{SUITE}"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(
        ["/usr/sbin/debootstrap", "--variant=minbase", SUITE, str(folder)],
        check=True,
        capture_output=True,
        timeout=BUILD_SECONDS,
    )
    container = buildah("from", "scratch")
    try:
        buildah("add", container, str(folder), "/")
        if TRUSTED.is_dir():
            buildah("add", container, str(TRUSTED), str(TRUSTED))
        trust = "PIP_CERT=/etc/ssl/certs/ca-certificates.crt"
        buildah("config", "--env", trust, container)
        buildah("commit", container, BASE)
    finally:
        buildah("rm", container)
    shutil.rmtree(folder)
