"""Who may open an account, and with which client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bff.configs import DEV, load, problems

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


PROVISIONER = {
    "NEXIUS_ADMIN_CLIENT_ID": "nexius-provisioner",
    "NEXIUS_ADMIN_CLIENT_SECRET": "s3cret-of-the-provisioner",
}


def test_a_gateway_that_opens_accounts_needs_a_client_for_it() -> None:
    found = problems({**DEV, "BFF_REGISTER__MODE": "admin_api"})
    assert "NEXIUS_ADMIN_CLIENT_ID" in found["register.mode"]

    config = load({**DEV, **PROVISIONER, "BFF_REGISTER__MODE": "admin_api"})
    assert config.registration.mode == "admin_api"
    assert config.auth.provisioner_client_id == "nexius-provisioner"
    assert "s3cret" not in repr(config)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"NEXIUS_ADMIN_CLIENT_ID": ""}, "auth.provisioner_client_id"),
        ({"NEXIUS_ADMIN_CLIENT_SECRET": ""}, "auth.provisioner_client_secret"),
        ({"NEXIUS_ADMIN_CLIENT_ID": "nexius-bff"}, "auth.provisioner_client_id"),
        (
            {"BFF_AUTH__ISSUER": "http://localhost:8180/id"},
            "auth.provisioner_client_id",
        ),
        ({"BFF_AUTH__PROMPTS": '["login"]'}, "register.mode"),
        ({"BFF_REGISTER__MODE": "open"}, "register.mode"),
        ({"BFF_REGISTRATION__MODE": "off"}, "registration"),
    ],
)
def test_the_client_that_makes_accounts_is_whole_and_another(
    changes: dict[str, str], key: str
) -> None:
    assert set(problems({**DEV, **PROVISIONER, **changes})) == {key}


def test_without_self_service_no_prompt_is_needed() -> None:
    environ = {**DEV, "BFF_AUTH__PROMPTS": '["login"]', "BFF_REGISTER__MODE": "off"}
    assert load(environ).registration.mode == "off"
