"""What settings must be to each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bff.config import Config, load
from bff.config_rules import hosts
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


@pytest.mark.parametrize(
    ("scope", "is_good"),
    [
        ("openid", False),
        ("openid organizations", False),
        ("openid organization:acme", False),
        ("openid organization", True),
        ("openid organization:*", True),
    ],
)
def test_organizations_must_be_asked_for(scope: str, *, is_good: bool) -> None:
    env = {
        **DEV,
        "BFF_TENANCY__SOURCE": "organization",
        "BFF_AUTH__SCOPE": scope,
    }

    if is_good:
        assert good(env).tenancy.source == "organization"
    else:
        assert "auth.scope" in problems(env)["tenancy.source"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("API_URL", "http://data.gov.sg/api", "must be https"),
        ("API_URL", "data.gov.sg", "give https://HOST/PATH"),
        ("COLLECTION_URL", "ftp://data.gov.sg/x", "give https://HOST/PATH"),
        ("DOWNLOAD_URL", "http://10.0.0.1/x", "must be https"),
        ("TIMEZONE", "Singapore Time", "Asia/Singapore"),
        ("TIMEZONE", "../../etc/passwd", "Asia/Singapore"),
        ("TIMEZONE", "", "Asia/Singapore"),
        ("WEBHOOK_SECRET", "short", "32 characters"),
        ("WEBHOOK_SECRET", "x" * 32 + ",", "32 characters"),
    ],
)
def test_the_register_s_settings_are_checked(name: str, value: str, said: str) -> None:
    found = problems({**DEV, f"BFF_ACRA__{name}": value})

    assert said in found[f"acra.{name.lower()}"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://s3.example/bucket", "must end in /"),
        ("http://s3.example/bucket/", "must be https"),
        ("https://s3.example/?bucket=x/", "give https://HOST/PATH"),
    ],
)
def test_files_of_the_register_come_from_a_place_that_is_told_exactly(
    url: str, said: str
) -> None:
    urls = json.dumps(["https://s3.example/bucket/", url])
    found = problems({**DEV, "BFF_ACRA__DOWNLOAD_FROM": urls})

    assert said in found["acra.download_from.1"]


def test_plain_http_is_for_fakes_on_this_machine() -> None:
    here = {"BFF_ACRA__API_URL": "http://127.0.0.1:1/api"}

    assert good({**DEV, **here}).acra.api_url
    assert "must be https" in problems({**PRODUCTION, **here})["acra.api_url"]


@pytest.mark.parametrize("schedule", ["", "daily", "99 1 * * *", "1 * * *"])
def test_a_schedule_must_be_one(schedule: str) -> None:
    told = {**DEV, "BFF_ACRA__SCHEDULE": schedule}

    assert good(told).acra.schedule == schedule, "nobody follows it"
    found = problems({**told, "BFF_ACRA__SCHEDULED": "true"})
    assert "five fields of cron" in found["acra.schedule"]


def with_origins(*origins: str) -> dict[str, str]:
    return {**DEV, "BFF_SERVER__PUBLIC_ORIGINS": json.dumps(origins)}


def good(environ: dict[str, str]) -> Config:
    return load(None, environ)


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "https://*",
        "https://*.example.com",
        "https://example.com/app",
        "https://example.com?x",
        "https://example.com#x",
        "https://user@example.com",
        "https://a b",
        "https://[::1",
        "https://example.com:99999",
        "https://example.com:²",
        "ftp://example.com",
        "example.com",
        "https://",
        "",
    ],
)
def test_only_bare_origins_are_origins(origin: str) -> None:
    found = problems(with_origins("http://localhost:8080", origin))

    assert list(found) == ["server.public_origins.1"]
    assert "scheme://host" in found["server.public_origins.1"]


@pytest.mark.parametrize(
    ("origin", "written"),
    [
        ("https://App.example.com", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://localhost:80", "http://localhost"),
    ],
)
def test_an_origin_that_no_browser_would_ever_send_is_pointed_out(
    origin: str, written: str
) -> None:
    assert problems(with_origins(origin))["server.public_origins.0"].endswith(written)


def test_a_closing_slash_is_forgiven() -> None:
    assert good(with_origins("http://localhost:8080/")).canonical_origin == (
        "http://localhost:8080"
    )


def test_an_empty_list_of_origins_is_refused() -> None:
    assert "server.public_origins" in problems(with_origins())


@pytest.mark.parametrize(
    "listen", ["8080", ":8080", "localhost", "localhost:", "h:70000", "h:²", "h:-1"]
)
def test_listeners_need_a_host_and_a_port(listen: str) -> None:
    for key in ("listen", "admin_listen"):
        found = problems({**DEV, f"BFF_SERVER__{key.upper()}": listen})
        assert list(found) == [f"server.{key}"]


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


def test_there_is_no_bypass_of_the_sign_in() -> None:
    assert list(problems({**DEV, "DEV_AUTH_BYPASS": "1"})) == ["DEV_AUTH_BYPASS"]
    assert list(problems({**DEV, "BFF_DEV__BYPASS": "true"})) == ["dev"]
    assert good({**DEV, "DEV_AUTH_BYPASS": "false"}).environment == "dev"


def test_hosts_are_those_of_the_origins_and_the_listed_ones() -> None:
    found = good(
        {
            **PRODUCTION,
            "BFF_SERVER__PUBLIC_ORIGINS": '["https://app.example.com", '
            '"https://b.example.com:8443"]',
            "BFF_SERVER__ALLOWED_HOSTS": '["Internal.test"]',
        }
    )

    assert hosts(found) == {
        "app.example.com",
        "app.example.com:443",
        "b.example.com:8443",
        "internal.test",
    }


def test_the_two_cookies_must_not_share_a_name() -> None:
    found = problems({**DEV, "BFF_SESSION__REFRESH_COOKIE": "nx_access"})

    assert list(found) == ["session.refresh_cookie"]


def test_the_host_prefix_needs_secure_cookies() -> None:
    assert list(problems({**DEV, "BFF_SESSION__HOST_PREFIX": "true"})) == [
        "session.host_prefix"
    ]
    assert not good(DEV).secure_cookies
    assert not good(DEV).host_prefix


@pytest.mark.parametrize(
    "upstream",
    ["graph:2024", "http://", "http://[", "file:///x", "http://h?x", "unix:x"],
)
def test_upstreams_are_addresses(upstream: str) -> None:
    found = problems(
        {**DEV, "BFF_PROXY__GRAPH__UPSTREAMS": json.dumps(["http://ok", upstream])}
    )

    assert list(found) == ["proxy.graph.upstreams.1"]


@pytest.mark.parametrize(
    "upstream", ["http://g:1", "https://g/base", "unix:/run/g.sock", "unix:///g.sock"]
)
def test_addresses_and_sockets_are_upstreams(upstream: str) -> None:
    environ = {**DEV, "BFF_PROXY__GRAPH__UPSTREAMS": json.dumps([upstream])}

    assert good(environ).proxy["graph"].upstreams == (upstream,)


def test_two_proxies_do_not_share_a_prefix() -> None:
    found = problems(
        {
            **DEV,
            "BFF_PROXY__GRAPH__PREFIX": "/agent",
            "BFF_PROXY__OTHER__PREFIX": "/agent",
        }
    )

    assert list(found) == ["proxy.other.prefix"]


def test_a_prefix_has_no_empty_segment() -> None:
    assert "proxy.graph.prefix" in problems(
        {**DEV, "BFF_PROXY__GRAPH__PREFIX": "/a//b"}
    )


def test_a_database_url_is_one_of_postgresql() -> None:
    for name in ("URL", "OWNER_URL", "WORKER_URL", "LISTEN_URL"):
        found = problems({**DEV, f"BFF_DATABASE__{name}": "mysql://u:pw-secret@h/d"})
        assert list(found) == [f"database.{name.lower()}"]
        assert "pw-secret" not in str(found)


@pytest.mark.parametrize(
    "place",
    ["u:pw-secret/1@h/d", "u:pw-secret#@h/d", "u:pw-secret?@h", "u:p@[pw-secret"],
)
def test_a_password_that_is_not_written_for_a_url_is_told_without_it(
    place: str,
) -> None:
    for name in ("URL", "OWNER_URL", "WORKER_URL", "LISTEN_URL"):
        found = problems({**DEV, f"BFF_DATABASE__{name}": f"postgresql://{place}"})
        assert list(found) == [f"database.{name.lower()}"]
        assert "%2F" in str(found)
        assert "pw-secret" not in str(found)


@pytest.mark.parametrize(
    "place",
    ["h/d", "u@h:5432/d", "u:p%2F@[::1]:5432/d", "u:p@a:1,b:2/d", "/d?host=/run/pg"],
)
def test_a_database_url_may_be_all_that_the_driver_takes(place: str) -> None:
    good({**DEV, "BFF_DATABASE__URL": f"postgresql://{place}"})


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


PROVISIONER = {
    "NEXIUS_ADMIN_CLIENT_ID": "nexius-provisioner",
    "NEXIUS_ADMIN_CLIENT_SECRET": "s3cret-of-the-provisioner",
}


def test_a_gateway_that_opens_accounts_needs_a_client_for_it() -> None:
    found = problems({**DEV, "BFF_REGISTER__MODE": "admin_api"})
    assert "NEXIUS_ADMIN_CLIENT_ID" in found["register.mode"]

    config = good({**DEV, **PROVISIONER, "BFF_REGISTER__MODE": "admin_api"})
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
    assert good(environ).registration.mode == "off"
