"""compose.yaml keeps compose's schema, is explained, and configures what there is."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema

from bff.config import load
from tests.deploy.files import DEPLOY, ROOT, VARIABLE, compose_text, composed, example
from tests.real import keycloak_distribution, odoo_distribution

OURS = ("gateway", "migrate", "roles", "worker")
VALUES = dict.fromkeys(example(), "test-only-value") | {
    "APP_HOST": "app.example.test",
    "LOGIN_HOST": "login.example.test",
    "ODOO_HOST": "odoo.example.test",
    "BFF_DATABASE__URL": "postgresql://bff_app:test@postgres/bff",
    "BFF_DATABASE__OWNER_URL": "postgresql://bff_owner:test@postgres/bff",
    "BFF_DATABASE__WORKER_URL": "postgresql://bff_worker:test@postgres/bff",
}


def services() -> dict[str, Any]:
    return dict(composed(VALUES)["services"])


def test_it_keeps_the_schema_of_compose() -> None:
    schema = get_builtin_schema("vendor.compose-spec")
    jsonschema.validate(composed(VALUES), schema)
    broken = composed(VALUES)
    broken["services"]["gateway"]["read_onyl"] = True
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_each_variable_is_explained_and_each_explained_one_is_used() -> None:
    used = {name for name, _, _ in VARIABLE.findall(compose_text())}

    assert used == set(example())


def test_nothing_starts_with_a_variable_that_is_empty() -> None:
    lax = {
        name
        for name, operator, said in VARIABLE.findall(compose_text())
        if operator != ":?" or not said
    }

    assert lax == {"BFF_TAG"}
    assert {name for name, value in example().items() if value} == {"BFF_TAG"}


@pytest.mark.parametrize("name", OURS)
def test_the_gateway_takes_the_settings_in_production(name: str) -> None:
    environment = services()[name]["environment"]

    config = load(DEPLOY / "image" / "config.toml", environment)

    assert config.environment == "production"
    assert not config.worker.embedded
    assert config.server.listen == "0.0.0.0:8080"


@pytest.mark.parametrize("name", OURS)
def test_ours_may_write_nowhere_and_become_nobody(name: str) -> None:
    service = services()[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    assert "ports" not in service


def test_only_caddy_is_reached_from_outside() -> None:
    assert [name for name, one in services().items() if "ports" in one] == ["caddy"]


def test_who_is_believed_about_addresses_is_caddy() -> None:
    config = load(
        DEPLOY / "image" / "config.toml", services()["gateway"]["environment"]
    )
    address = services()["caddy"]["networks"]["inside"]["ipv4_address"]

    assert config.server.trusted_proxies == (address,)


def test_what_it_is_made_of_is_what_the_tests_run_on() -> None:
    image = services()["keycloak"]["image"]
    addon = (DEPLOY / "odoo" / "auth-oidc.txt").read_text(encoding="utf-8")

    assert image.endswith(f":{keycloak_distribution.VERSION}")
    assert addon == odoo_distribution.OIDC


def test_files_that_are_mounted_or_built_from_are_there() -> None:
    for service in services().values():
        mounts = [str(one).partition(":")[0] for one in service.get("volumes", ())]
        for place in mounts:
            if place.startswith("./"):
                assert (ROOT / place).exists(), place
        build = service.get("build")
        if isinstance(build, dict):
            assert (ROOT / build["dockerfile"]).is_file()
        elif build:
            assert (ROOT / build / "Dockerfile").is_file()
