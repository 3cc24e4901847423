"""Staging's realm is the tests' own, and a real Keycloak takes it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from bff.dev.ports import free_port
from tests import parts
from tests.deploy.files import ROOT
from tests.deploy.realm import FILE, STAGING, staging, text
from tests.real import keycloak, keycloak_distribution
from tests.real.keycloak_realms import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from tests.databases import Databases


def test_the_file_is_what_the_tests_realm_makes_today() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), (
        "run python -m tests.deploy.realm"
    )


def test_it_holds_no_people_and_no_secrets() -> None:
    realm = staging()

    assert [one["username"] for one in realm["users"]] == [
        "service-account-nexius-provisioner"
    ]
    assert all(one["secret"].startswith("${") for one in realm["clients"])
    assert PASSWORD not in json.dumps(realm)
    assert "127.0.0.1" not in json.dumps(realm)
    assert "hashIterations" not in realm["passwordPolicy"]


def test_its_lifetimes_are_no_tests() -> None:
    assert staging()["accessTokenLifespan"] == STAGING.access_ttl >= 300


@pytest.mark.acceptance
@pytest.mark.timeout(300)
def test_a_real_keycloak_takes_it_and_the_doctor_finds_it_right(
    databases: Databases, tmp_path: Path
) -> None:
    home, folder = parts.keycloak_home(), tmp_path / "keycloak"
    keycloak._lay_out(home, folder)
    shutil.copy2(FILE, folder / "data" / "import")
    port, log = free_port(), tmp_path / "log"
    url = f"http://127.0.0.1:{port}"
    command = [
        *(str(folder / "bin" / "kc.sh"), "start", "--optimized", "--import-realm"),
        *("--cache=local", "--http-enabled=true", "--http-host=127.0.0.1"),
        *(f"--http-port={port}", f"--hostname={url}"),
    ]
    given = {
        "NEXIUS_ORIGIN": "https://app.example.test",
        "NEXIUS_CLIENT_SECRET": "test-only-gateway",
        "NEXIUS_ADMIN_CLIENT_SECRET": "test-only-provisioner",
    }
    settings = {
        "PATH": os.environ["PATH"],
        "BFF_CONFIG": str(ROOT / "config.toml"),
        "BFF_DATABASE__URL": databases.app,
        "BFF_DATABASE__WORKER_URL": databases.worker,
        "BFF_AUTH__ISSUER": f"{url}/realms/nexius",
        "BFF_AUTH__CLIENT_SECRET": given["NEXIUS_CLIENT_SECRET"],
        "BFF_AUTH__PROVISIONER_CLIENT_ID": "nexius-provisioner",
        "BFF_AUTH__PROVISIONER_CLIENT_SECRET": given["NEXIUS_ADMIN_CLIENT_SECRET"],
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            env=keycloak_distribution.environment() | given,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + keycloak.START_SECONDS
        while not keycloak._answers(
            f"{url}/realms/nexius/protocol/openid-connect/certs"
        ):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.5)
        doctor = subprocess.run(
            [sys.executable, "-m", "bff", "doctor"],
            cwd=ROOT,
            env=settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)

    said = {line.split(":")[0].strip(): line for line in doctor.stdout.splitlines()}
    for name in ("issuer", "signing keys", "client credentials", "provisioner client"):
        assert any(key.endswith(name) and "ok" in key for key in said), doctor.stdout
