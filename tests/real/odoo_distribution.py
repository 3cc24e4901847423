"""Fetch Odoo 19 once into the checkout's cache: Debian's package, and its own venv.

Debian's unstable suite carries Odoo; its package is unpacked, never installed. Odoo is
LGPL-3 and OCA's auth_oidc AGPL-3: both are fetched for tests, none is shipped.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("odoo-19", "libjs-jquery")  # without jQuery every HTML page is a 500
# Its wheel asks for `odoo`, which PyPI does not have: installed without dependencies.
OIDC = (
    "odoo-addon-auth_oidc==19.0.1.0.0.3 --hash="
    "sha256:d2d1c2123348c210f5005056109e82355401e65d77f0f765d2677651227066ae\n"
)
LOCK = Path(__file__).with_name("odoo-requirements.txt")
CACHE = Path(__file__).parents[2] / ".cache" / "odoo"
# Of 1.1 GB these leave 200 MB; base, contacts, crm and auth_oidc need none of them.
UNUSED = (
    *("*/i18n/*", "*/dist-packages/addons/*", "*/addons/l10n_*"),
    *("*/addons/test_*", "*/addons/*website*"),
)
FETCH_SECONDS = 900
OLDEST, NEWEST = (3, 10), (3, 13)

Say = Callable[[str], None]


class Unavailable(Exception):
    """Odoo cannot be had here; the message says what would help."""


class Dropped(Unavailable):
    """Debian's unstable suite carries no Odoo at the moment."""


@dataclass(frozen=True)
class Distribution:
    """Odoo's files, and the Python that runs them."""

    python: Path
    script: Path
    modules: Path
    version: str


def ready(say: Say = print) -> Distribution:
    """Return what is needed to run Odoo, fetching it if needed.

    Raises:
        Unavailable: Something is missing on this machine; asking again does not help.
    """
    if not _outcomes:
        _outcomes.append(_attempt(say))
    (outcome,) = _outcomes
    if isinstance(outcome, Unavailable):
        raise outcome
    return outcome


def fingerprint(*parts: str) -> str:
    """Name what was built from these parts, and from this lock."""
    text = "\n".join([*parts, LOCK.read_text(encoding="utf-8"), OIDC])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


_outcomes: list[Distribution | Unavailable] = []


def _attempt(say: Say) -> Distribution | Unavailable:
    try:
        _check_python()
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "lock").open("w") as lock:
            # Two test runs at once: one fetches, the other waits.
            fcntl.flock(lock, fcntl.LOCK_EX)
            tree, version = _tree(say)
            python = _environment(say)
    except Unavailable as error:
        return error
    modules = tree / "usr" / "lib" / "python3" / "dist-packages"
    return Distribution(python, tree / "usr" / "bin" / "odoo", modules, version)


def _check_python() -> None:
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise Unavailable("Odoo 19 runs on Python 3.10 to 3.13")


def _tree(say: Say) -> tuple[Path, str]:
    tree, mark = CACHE / "tree", CACHE / "tree" / "unpacked"
    if not mark.exists():
        packages = _packages(say)
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
        for package in packages:
            _unpack(package, tree)
        version = _run(["dpkg-deb", "-f", str(packages[0]), "Version"]).strip()
        mark.write_text(version, encoding="utf-8")  # last: what broke off is done again
        say(f"Odoo {version}, SHA-256 {_digest(packages[0])}")
        for package in packages:
            package.unlink()
    return tree, mark.read_text(encoding="utf-8")


def _packages(say: Say) -> list[Path]:
    for program in ("apt-get", "apt-cache", "dpkg-deb", "tar"):
        if shutil.which(program) is None:
            raise Unavailable(f"Odoo comes as a Debian package, {program} is missing")
    apt, into = CACHE / "apt", CACHE / "deb"
    for folder in (apt / "lists" / "partial", apt / "archives" / "partial", into):
        folder.mkdir(parents=True, exist_ok=True)
    source = f"deb [signed-by={_keyring()}] {_mirror()} unstable main\n"
    (apt / "sources.list").write_text(source, encoding="utf-8")
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt,
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "_apt",
        # A list that could not be fetched must not look like one without Odoo.
        "APT::Update::Error-Mode": "any",
    }
    told = [f"-o{key}={value}" for key, value in options.items()]
    say("Fetching Odoo 19 from Debian unstable, 125 MB, once …")
    _run(["apt-get", "-q", *told, "update"])
    for name in PACKAGES:
        if not _run(["apt-cache", *told, "madison", name]).strip():
            raise Dropped(f"Debian's unstable suite has no package {name} today")
    _run(["apt-get", "-q", *told, "download", *PACKAGES], folder=into)
    shutil.rmtree(apt)
    return [next(into.glob(f"{name}_*.deb")) for name in PACKAGES]


def _keyring() -> str:
    listed = _run(["dpkg", "-L", "debian-archive-keyring"]).splitlines()
    named = [one for one in listed if "/debian-archive-keyring." in one]
    if not named:
        raise Unavailable("Debian's keyring is not installed")
    return named[0]


def _mirror() -> str:
    """Return the mirror that this machine's own apt is set up with."""
    chosen = os.environ.get("ODOO_DEBIAN_MIRROR")
    if chosen:
        return chosen
    form = "$(COMPONENT) $(RELEASE) $(REPO_URI)"
    asked = ["apt-get", "indextargets", "--format", form, "Identifier: Packages"]
    for line in _run(asked).splitlines():
        component, release, address = line.split()
        if component == "main" and "-" not in release:
            return address
    raise Unavailable("apt names no Debian mirror; set ODOO_DEBIAN_MIRROR")


def _unpack(package: Path, tree: Path) -> None:
    archive = package.with_suffix(".tar")
    with archive.open("wb") as out:
        subprocess.run(  # noqa: S603 - a fixed command of this file
            ["dpkg-deb", "--fsys-tarfile", str(package)],  # noqa: S607 - where it is
            check=True,
            stdout=out,
            timeout=FETCH_SECONDS,
        )
    left_out = [f"--exclude={pattern}" for pattern in UNUSED]
    _run(["tar", "-x", "-f", str(archive), "-C", str(tree), *left_out])
    archive.unlink()


def _environment(say: Say) -> Path:
    folder = CACHE / f"venv-{fingerprint(sys.version)}"
    python, mark = folder / "bin" / "python", folder / "installed"
    if not mark.exists():
        say("Installing what Odoo needs into an environment of its own, once …")
        for stale in CACHE.glob("venv-*"):
            shutil.rmtree(stale)
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        pip += ["--require-hashes", "--only-binary", ":all:"]
        _run([*pip, "-r", str(LOCK)])
        (folder / "addons.txt").write_text(OIDC, encoding="utf-8")
        _run([*pip, "--no-deps", "-r", str(folder / "addons.txt")])
        mark.touch()
    return python


def _digest(package: Path) -> str:
    with package.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _run(command: Sequence[str], *, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands of this file
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            cwd=folder,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{Path(command[0]).name}: {error}") from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-800:]
        raise Unavailable(f"{Path(command[0]).name} failed: {said}")
    return done.stdout
