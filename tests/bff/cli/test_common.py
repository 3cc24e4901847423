"""Every command explains itself, and a bad configuration is one clear message."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from tests.bff.cli.commands import bff
from tests.bff.configs import DEV

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = (
    (),
    ("serve",),
    ("worker",),
    ("doctor",),
    ("dev",),
    ("db",),
    ("db", "roles"),
    ("migrate",),
    ("migrate", "up"),
    ("migrate", "plan"),
    ("migrate", "status"),
    ("keys",),
    ("keys", "new"),
    ("keys", "list"),
    ("keys", "reseal"),
    ("keys", "client"),
)
CONFIGURED = (
    ("serve",),
    ("worker",),
    ("doctor",),
    ("migrate", "up"),
    ("migrate", "plan"),
    ("migrate", "status"),
    ("keys", "list"),
    ("keys", "reseal"),
    ("db", "roles", "--admin-url", "postgresql://x"),
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_explains_each_command(command: tuple[str, ...]) -> None:
    result = bff(*command, "--help")

    assert result.exit_code == 0
    explained = [line for line in result.output.splitlines() if line.strip()]
    assert explained[0].startswith("Usage: bff")
    assert len(explained[1].strip()) > 12


def test_without_a_command_the_help_is_shown() -> None:
    for group in ((), ("db",), ("migrate",), ("keys",)):
        assert "Usage: bff" in bff(*group).output


def test_the_version_is_the_package_s() -> None:
    result = bff("--version")

    assert (result.exit_code, result.output.strip()) == (0, version("nexius-bff"))


def test_an_unknown_command_or_option_is_a_usage_error() -> None:
    assert bff("nosuch").exit_code == 2
    assert bff("serve", "--nosuch").exit_code == 2


@pytest.mark.parametrize("command", CONFIGURED, ids=" ".join)
def test_a_bad_configuration_ends_each_command_with_all_its_problems(
    command: tuple[str, ...],
) -> None:
    env = {
        **DEV,
        "BFF_AUTH__CLIENT_SECRET": "",
        "BFF_NOSUCH": "1",
        "BFF_SERVER__LISTEN": "nowhere",
    }

    result = bff(*command, env=env)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for key in ("auth.client_secret: ", "nosuch: ", "server.listen: "):
        assert result.stderr.count(f"  - {key}") == 1
    assert "pw-app" not in result.stderr


def test_a_configuration_file_that_is_missing_is_named() -> None:
    for result in (
        bff("keys", "list", "--config", "gone.toml", env=DEV),
        bff("keys", "list", env={**DEV, "BFF_CONFIG": "gone.toml"}),
    ):
        assert result.exit_code == 1
        assert "gone.toml: there is no such file" in result.stderr


def test_a_worker_needs_the_url_of_its_role() -> None:
    env: dict[str, str | None] = {**DEV, "BFF_WORKER__EMBEDDED": "false"}
    env["BFF_DATABASE__WORKER_URL"] = None

    result = bff("worker", env=env)

    assert result.exit_code == 1
    assert result.stderr.strip() == (
        "database.worker_url is not set: give it as BFF_DATABASE__WORKER_URL"
    )
