"""The settings of tenants' Odoo: what may be wrong with them, by its key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bff.config import load
from tests.bff.configs import DEV, KEY, PRODUCTION, problems

ODOO = {
    "ODOO_SERVER_URL": "http://127.0.0.1:8069",
    "ODOO_MASTER_PASSWORD": "test-master-only",
    "NEXIUS_ADMIN_CLIENT_ID": "nexius-provisioner",
    "NEXIUS_ADMIN_CLIENT_SECRET": "test-provisioner-secret",
    "BFF_SESSION__KEYS": KEY,
}
GOOD = {**DEV, **ODOO}
GOOD_PRODUCTION = {
    **PRODUCTION,
    **ODOO,
    "ODOO_SERVER_URL": "http://odoo:8069",
    "ODOO_DB_NAME_TEMPLATE": "odoot{tenant_id}",
    "ODOO_BASE_URL_TEMPLATE": "https://{db_name}.odoo.example.com",
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def without(environ: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in names}


def test_without_an_address_nothing_else_is_asked_for() -> None:
    assert load(None, DEV).odoo.server_url == ""
    load(None, {**DEV, "ODOO_DB_NAME_TEMPLATE": "shared"})


@pytest.mark.parametrize("environ", [GOOD, GOOD_PRODUCTION], ids=["dev", "production"])
def test_an_address_a_password_keys_and_a_provisioner_are_enough(
    environ: dict[str, str],
) -> None:
    odoo = load(None, environ).odoo
    assert odoo.server_url == environ["ODOO_SERVER_URL"]
    assert odoo.master_password.get_secret_value() == "test-master-only"
    assert "test-master-only" not in repr(odoo)


def test_the_original_s_variables_are_understood() -> None:
    odoo = load(
        None,
        {
            **GOOD,
            "ODOO_DB_NAME_TEMPLATE": "acme_{tenant_id}",
            "ODOO_BASE_URL_TEMPLATE": "https://{tenant_id}.odoo.test/",
            "ODOO_TEMPLATE_DB": "tpl_mine",
            "ODOO_BIN_PATH": "/opt/odoo/odoo-bin",
            "ODOO_CONF": "/etc/odoo.conf",
        },
    ).odoo
    assert odoo.db_name_template == "acme_{tenant_id}"
    assert odoo.base_url_template == "https://{tenant_id}.odoo.test/"
    assert odoo.template == "tpl_mine"
    assert (odoo.bin_path, odoo.conf) == (
        Path("/opt/odoo/odoo-bin"),
        Path("/etc/odoo.conf"),
    )


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"ODOO_SERVER_URL": "odoo:8069"}, "server_url", "give http"),
        ({"ODOO_SERVER_URL": "http://odoo/web"}, "server_url", "without a path"),
        ({"ODOO_SERVER_URL": "http://odoo:99999"}, "server_url", "give http"),
        ({"ODOO_SERVER_URL": "http://a@odoo"}, "server_url", "give http"),
        ({"ODOO_SERVER_URL": "http://localhost:8080"}, "server_url", "gateway's own"),
        ({"ODOO_DB_NAME_TEMPLATE": "shared"}, "db_name_template", "would share"),
        ({"ODOO_DB_NAME_TEMPLATE": "t{name}"}, "db_name_template", "may stand"),
        ({"ODOO_DB_NAME_TEMPLATE": "t_{tenant_id!r}"}, "db_name_template", "may stand"),
        ({"ODOO_DB_NAME_TEMPLATE": "t_{{tenant_id}}"}, "db_name_template", "may stand"),
        ({"ODOO_DB_NAME_TEMPLATE": "t_{tenant_id"}, "db_name_template", "may stand"),
        ({"ODOO_DB_NAME_TEMPLATE": "{tenant_id}"}, "db_name_template", ""),
        ({"ODOO_DB_NAME_TEMPLATE": "../{tenant_id}"}, "db_name_template", ""),
        ({"ODOO_DB_NAME_TEMPLATE": "t" * 40 + "{tenant_id}"}, "db_name_template", ""),
        ({"ODOO_BASE_URL_TEMPLATE": "https://{host}"}, "base_url_template", "stand"),
        (
            {"ODOO_BASE_URL_TEMPLATE": "https://x/{db_name}"},
            "base_url_template",
            "HOST",
        ),
        ({"ODOO_BASE_URL_TEMPLATE": "{db_name}"}, "base_url_template", "give http"),
        (
            {"ODOO_BASE_URL_TEMPLATE": "https://{db_name}.odoo.test"},
            "db_name_template",
            "no host has `_`",
        ),
        (
            {"ODOO_BASE_URL_TEMPLATE": "http://localhost:8080"},
            "base_url_template",
            "gateway's own",
        ),
        ({"ODOO_TEMPLATE_DB": "a b"}, "template", ""),
        ({"BFF_ODOO__APPS": json.dumps(["crm", "../x"])}, "apps.1", "a module's name"),
        ({"BFF_ODOO__CLONE": "sql"}, "postgres_url", "missing"),
        ({"BFF_ODOO__CLONE": "copy"}, "clone", ""),
        ({"BFF_ODOO__CLONE": "command"}, "bin_path", "missing"),
        ({"ODOO_CONF": "/etc/odoo.conf"}, "bin_path", "missing"),
        ({"ODOO_BIN_PATH": "/opt/odoo-bin"}, "conf", "missing"),
        ({"BFF_ODOO__POSTGRES_URL": "mysql://pw-secret@x"}, "postgres_url", "postgres"),
        *(
            ({"BFF_ODOO__POSTGRES_URL": f"postgresql://o:{bad}"}, "postgres_url", "%2F")
            for bad in (
                "pw-secret/x@h",
                "pw-secret#@h",
                "pw-secret?@h/d",
                "pw[secret@h",
            )
        ),
        ({"BFF_ODOO__SSO_CLIENT_ID": "odoo"}, "sso_client_secret", "missing"),
        ({"BFF_ODOO__TIMEOUT": "0"}, "timeout", ""),
        ({"BFF_ODOO__WARM": "-1"}, "warm", ""),
        ({"BFF_ODOO__ROTATE_BEFORE": "90"}, "rotate_before", ""),
    ],
)
def test_each_problem_is_said_by_its_key(
    changes: dict[str, str], key: str, said: str
) -> None:
    found = problems({**GOOD, **changes})

    assert list(found) == [f"odoo.{key}"]
    assert said in found[f"odoo.{key}"]
    assert "pw-secret" not in str(found)


@pytest.mark.parametrize(
    ("missing", "key"),
    [
        ("ODOO_MASTER_PASSWORD", "odoo.master_password"),
        ("BFF_SESSION__KEYS", "session.keys"),
        ("NEXIUS_ADMIN_CLIENT_ID", "odoo.sso_client_id"),
    ],
)
def test_what_is_missing_is_said_by_its_key(missing: str, key: str) -> None:
    environ = without(GOOD, missing)
    if missing == "NEXIUS_ADMIN_CLIENT_ID":
        environ = without(environ, "NEXIUS_ADMIN_CLIENT_SECRET")

    assert list(problems(environ)) == [key]


def test_one_client_for_all_needs_no_provisioner() -> None:
    environ = without(GOOD, "NEXIUS_ADMIN_CLIENT_ID", "NEXIUS_ADMIN_CLIENT_SECRET")
    environ["BFF_ODOO__SSO_CLIENT_ID"] = "odoo"
    environ["BFF_ODOO__SSO_CLIENT_SECRET"] = "test-odoo-secret"

    assert load(None, environ).odoo.sso_client_id == "odoo"


def test_a_key_file_is_a_key_ring() -> None:
    environ = without(GOOD, "BFF_SESSION__KEYS")
    environ["BFF_SESSION__KEY_FILE"] = "/run/secrets/keys"

    assert load(None, environ).odoo.server_url


def test_production_sends_people_to_https_on_another_host() -> None:
    plain = without(GOOD_PRODUCTION, "ODOO_BASE_URL_TEMPLATE")
    assert "plain http" in problems(plain)["odoo.server_url"]

    plain["ODOO_BASE_URL_TEMPLATE"] = "http://{db_name}.odoo.example.com"
    assert "plain http" in problems(plain)["odoo.base_url_template"]

    other_port = {"ODOO_BASE_URL_TEMPLATE": "https://App.example.com:8069"}
    found = problems({**GOOD_PRODUCTION, **other_port})
    assert "gateway's own" in found["odoo.base_url_template"]


def test_another_port_of_this_machine_is_another_place_while_developing() -> None:
    odoo = load(None, {**GOOD, "ODOO_SERVER_URL": "http://localhost:8069"}).odoo

    assert odoo.server_url == "http://localhost:8069"


@pytest.mark.parametrize("origin", ["http://[::1", "x", "https://*.example.com"])
def test_bad_origins_break_nothing_here(origin: str) -> None:
    environ = {**GOOD, "BFF_SERVER__PUBLIC_ORIGINS": json.dumps([origin])}

    assert list(problems(environ)) == ["server.public_origins.0"]
