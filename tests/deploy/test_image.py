"""The image is built as the Dockerfile says, holds what it should, and serves."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bff.dev.ports import free_port
from tests import parts
from tests.deploy import image
from tests.deploy.files import ROOT
from tests.replicas import STOPPING
from tests.world import KEY

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.databases import Databases

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1200)]
SITE = "opt/bff/lib/python3.11/site-packages"
PATIENCE = 60  # seconds


@pytest.fixture(scope="module")
def root() -> Generator[str]:
    """Give the files of the image as a container has them."""
    parts.image_builder()
    with image.mounted(image.built()) as folder:
        yield folder


def settings(databases: Databases, admin_port: int) -> dict[str, str]:
    return image.environment(image.IMAGE) | {
        "BFF_DATABASE__URL": databases.app,
        "BFF_DATABASE__OWNER_URL": databases.owner,
        "BFF_DATABASE__WORKER_URL": databases.worker,
        "BFF_SESSION__KEYS": KEY,
        "BFF_AUTH__ISSUER": "https://login.example.test/realms/nexius",
        "BFF_AUTH__CLIENT_SECRET": "test-only-value",
        "BFF_SERVER__PUBLIC_ORIGINS": '["https://app.example.test"]',
        "BFF_SERVER__LISTEN": f"127.0.0.1:{free_port()}",
        "BFF_SERVER__ADMIN_LISTEN": f"127.0.0.1:{admin_port}",
    }


def plain(name: str) -> str:
    """Spell a distribution as any tool would."""
    return name.lower().replace("_", "-")


def asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def test_it_serves_as_nobody_from_files_that_cannot_be_written(
    root: str, databases: Databases, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    env = settings(databases, port)
    process = image.start(root, "bff", "serve", env=env, log=log)
    try:
        until = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            try:
                if asked(f"http://127.0.0.1:{port}/readyz")["listener"] == "ok":
                    break
            except OSError:
                time.sleep(0.2)
        assert asked(f"http://127.0.0.1:{port}/healthz") == {"ok": True}
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        assert "\nUid:\t10001\t10001\t10001\t10001\n" in status
    finally:
        process.terminate()
        assert process.wait(STOPPING) == 0, log.read_text()


def test_its_health_check_fails_where_nothing_answers_and_passes_where_it_does(
    root: str, databases: Databases, tmp_path: Path
) -> None:
    (words,) = (
        line for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.strip().startswith('CMD ["python3"')
    )  # fmt: skip
    command = json.loads(words.strip().removeprefix("CMD "))
    port, log = free_port(), tmp_path / "log"
    env = settings(databases, port)
    here = [word.replace("9090", str(port)) for word in command]

    assert image.run(root, *here, env=env).returncode == 1
    process = image.start(root, "bff", "serve", env=env, log=log)
    try:
        until = time.monotonic() + PATIENCE
        while image.run(root, *here, env=env).returncode:
            assert time.monotonic() < until, log.read_text()
    finally:
        process.terminate()
        process.wait(STOPPING)


def test_it_knows_the_migrations(root: str, databases: Databases) -> None:
    env = settings(databases, free_port())

    ended = image.run(root, "bff", "migrate", "status", env=env)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("0 of 12 migrations are missing\n")


def test_nothing_but_tmp_can_be_written(root: str) -> None:
    env = image.environment(image.IMAGE)
    tries = "for f in /x /opt/bff/x /etc/x /var/x /home/x /tmp/x; do "
    tries += "touch $f 2>/dev/null && echo $f; done; id -u; id -g"

    ended = image.run(root, "sh", "-c", tries, env=env)

    assert ended.stdout.split() == ["/tmp/x", "10001", "10001"]  # noqa: S108 - meant


def test_it_holds_no_development_parts_and_nothing_that_builds(root: str) -> None:
    site = Path(root, SITE)
    bins = {file.name for place in ("usr/bin", "opt/bff/bin", "usr/local/bin")
            for file in Path(root, place).iterdir()}  # fmt: skip

    assert (site / "bff" / "migrations" / "0001_tenants.sql").is_file()
    assert (site / "bff" / "pages" / "static").is_dir()
    for name in (
        "bff/dev",
        "tests",
        "bench",
        "pip",
        "pytest",
        "hatchling",
        "langgraph",
    ):
        assert not (site / name).exists(), name
    assert not bins & {"gcc", "cc", "make", "pip", "pip3", "git", "curl", "wget", "uv"}
    assert not Path(root, "opt/tools").exists()
    assert not Path(root, "src").exists()


def test_its_bill_of_materials_names_each_distribution_that_is_installed(
    root: str,
) -> None:
    bill = json.loads(Path(root, "usr/share/sbom/nexius-bff.cdx.json").read_text())
    named = {f"{one['name']}-{one['version']}" for one in bill["components"]}
    installed = {folder.stem for folder in Path(root, SITE).glob("*.dist-info")}

    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "nexius-bff"
    assert {plain(one) for one in named} == {
        plain(one) for one in installed if not one.startswith("nexius_bff-")
    }


def test_dev_says_that_its_parts_are_missing(root: str) -> None:
    ended = image.run(root, "bff", "dev", env=image.environment(image.IMAGE))

    assert ended.returncode == 1
    assert "needs its parts" in ended.stderr
