"""The units are such as systemd takes, and name secrets that are settings."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from bff.config import load
from tests.deploy.files import DEPLOY
from tests.world import KEY

if TYPE_CHECKING:
    from pathlib import Path

UNITS = ("bff.service", "bff-worker.service")
CREDENTIAL = re.compile(r"^LoadCredential=(\w+):/etc/bff/secrets/(\w+)$", re.MULTILINE)


@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_unit(name: str, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt install systemd)")
    unit = tmp_path / name
    text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/bff/bin/bff", "/bin/true"), encoding="utf-8")

    said = subprocess.run(
        [program, "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (said.returncode, said.stdout + said.stderr) == (0, "")


@pytest.mark.parametrize("name", UNITS)
def test_its_secrets_are_settings(name: str, tmp_path: Path) -> None:
    found = CREDENTIAL.findall((DEPLOY / "systemd" / name).read_text(encoding="utf-8"))
    values = {
        "BFF_DATABASE__URL": "postgresql://bff_app:test@db/bff",
        "BFF_DATABASE__WORKER_URL": "postgresql://bff_worker:test@db/bff",
        "BFF_SESSION__KEYS": KEY,
    }
    assert found
    for variable, file in found:
        assert variable == file
        (tmp_path / variable).write_text(values.get(variable, "test-only-value"))

    config = load(
        DEPLOY / "image" / "config.toml",
        {
            "BFF_SECRETS_DIR": str(tmp_path),
            "BFF_AUTH__ISSUER": "https://login.example.test/realms/nexius",
            "BFF_SERVER__PUBLIC_ORIGINS": '["https://app.example.test"]',
        },
    )

    assert config.session.keys.get_secret_value() == KEY
