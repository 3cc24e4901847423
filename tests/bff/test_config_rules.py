"""What settings must be to each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from bff.config import Config, load
from tests.bff.configs import DEV, PRODUCTION, problems


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_client_proves_itself_one_way_and_no_other() -> None:
    both = {**DEV, "BFF_AUTH__CLIENT_KEY_FILE": "client.pem"}
    neither = {name: value for name, value in DEV.items() if "SECRET" not in name}
    by_key = {**neither, "BFF_AUTH__CLIENT_KEY_FILE": "client.pem"}

    assert "leave one out" in problems(both)["auth.client_key_file"]
    assert "auth.client_key_file" in problems(neither)["auth.client_secret"]
    assert good(by_key).auth.client_key_file == Path("client.pem")
    production = {**PRODUCTION, "BFF_AUTH__CLIENT_KEY_FILE": "client.pem"}
    assert "auth.client_key_file" in problems(production)
    del production["BFF_AUTH__CLIENT_SECRET"]
    assert good(production).auth.client_key_file is not None


def good(environ: dict[str, str]) -> Config:
    return load(None, environ)


def test_production_demands_https_secure_cookies_and_a_key_ring() -> None:
    found = problems(
        {
            **DEV,
            "BFF_ENVIRONMENT": "production",
            "BFF_SESSION__SECURE": "false",
        }
    )

    assert set(found) == {
        "auth.issuer",
        "server.public_origins.0",
        "server.public_origins.1",
        "session.secure",
        "session.keys",
    }
    assert "bff keys new" in found["session.keys"]
    assert good(PRODUCTION).secure_cookies
    assert good(PRODUCTION).host_prefix


def test_production_is_what_runs_when_nothing_is_said() -> None:
    environ = {**PRODUCTION}
    del environ["BFF_ENVIRONMENT"]

    assert good(environ).environment == "production"


def test_a_key_file_is_a_key_ring() -> None:
    environ = {**PRODUCTION, "BFF_SESSION__KEY_FILE": "/run/secrets/keys"}
    del environ["BFF_SESSION__KEYS"]

    assert good(environ).session.key_file == Path("/run/secrets/keys")


@pytest.mark.parametrize(
    "issuer", ["sso.example.com", "https://", "http://[", "https://h/?x"]
)
def test_an_issuer_is_an_address(issuer: str) -> None:
    assert list(problems({**DEV, "BFF_AUTH__ISSUER": issuer})) == ["auth.issuer"]


def test_a_gateway_without_a_worker_needs_no_url_for_one() -> None:
    environ = {**DEV, "BFF_WORKER__EMBEDDED": "false"}
    del environ["BFF_DATABASE__WORKER_URL"]

    assert not good(environ).worker.embedded
    del environ["BFF_WORKER__EMBEDDED"]
    assert list(problems(environ)) == ["database.worker_url"]


def test_a_token_s_audience_must_be_demanded() -> None:
    assert list(problems({**DEV, "BFF_AUTH__AUDIENCE": ""})) == ["auth.audience"]
