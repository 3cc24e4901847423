"""The wheel is all that has to be installed, beside what it depends on."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.deploy.files import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def ran(*command: str, cwd: Path) -> str:
    ended = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it from this checkout."""
    into = tmp_path_factory.mktemp("wheel")
    build = ("-m", "hatchling", "build", "-t", "wheel", "-d", str(into))
    ran(sys.executable, *build, cwd=ROOT)
    (file,) = into.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def bff(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it, alone of ours, into an environment that sees what it depends on."""
    place = tmp_path_factory.mktemp("installed")
    python = place / "bin" / "python"
    ran(sys.executable, "-m", "venv", "--without-pip", str(place), cwd=place)
    install = ("-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps")
    where = ("--no-index", "--python", str(python), str(wheel))
    ran(sys.executable, *install, *where, cwd=place)
    theirs = next(one for one in sys.path if one.endswith("site-packages"))
    mine = next((place / "lib").glob("python*/site-packages"))
    # Their packages, and none of the checkout's: an editable's .pth is not read here.
    (mine / "theirs.pth").write_text(f"{theirs}\n", encoding="utf-8")
    return place / "bin" / "bff"


def test_it_carries_migrations_pages_and_static_files(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    static = ROOT / "bff" / "pages" / "static"
    for file in sorted((ROOT / "migrations").glob("*.sql")):
        assert f"bff/migrations/{file.name}" in held
    for file in static.rglob("*"):
        if file.is_file():
            assert file.relative_to(ROOT).as_posix() in held
    assert not any(name.startswith(("tests/", "bench/", "deploy/")) for name in held)


@pytest.mark.parametrize(
    "words",
    [("--help",), ("migrate", "status", "--help"), ("--version",)],
    ids=" ".join,
)
def test_its_command_runs_where_there_is_no_checkout(
    bff: Path, words: tuple[str, ...], tmp_path: Path
) -> None:
    assert ran(str(bff), *words, cwd=tmp_path)


def test_it_finds_its_migrations_where_it_is_installed(
    bff: Path, tmp_path: Path
) -> None:
    said = ran(
        str(bff.with_name("python")),
        "-c",
        "import bff; from bff.migrate import available; "
        "print(bff.__file__, len(available()))",
        cwd=tmp_path,
    )
    place, count = said.split()

    assert place.startswith(str(bff.parents[1]))
    assert int(count) == len(list((ROOT / "migrations").glob("*.sql")))


def test_a_shell_can_be_told_how_to_complete_it(bff: Path) -> None:
    said = subprocess.run(
        [str(bff), "--show-completion"],
        env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "SHELL": "bash"}
        | {"PATH": "/usr/bin:/bin", "_BFF_COMPLETE": "source_bash"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert said.returncode == 0, said.stderr
    assert "_BFF_COMPLETE" in said.stdout
