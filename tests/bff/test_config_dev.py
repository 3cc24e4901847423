"""What is for development is refused elsewhere, and where it would open too much."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bff.config_dev import opened, trouble_with
from tests.bff.configs import DEV, PRODUCTION, load, problems

if TYPE_CHECKING:
    from pathlib import Path

BYPASS = {**DEV, "DEV_AUTH_BYPASS": "true"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def split(*origins: str, **more: str) -> dict[str, str]:
    return {**DEV, "BFF_SPLIT_ORIGIN__ORIGINS": json.dumps(origins), **more}


def test_a_ui_on_another_port_is_let_in() -> None:
    found = load(split("http://localhost:3000", "http://localhost:5173/"))

    assert found.split_origin.origins == (
        "http://localhost:3000",
        "http://localhost:5173",
    )
    assert found.trusted_origins[-2:] == found.split_origin.origins
    assert load(DEV).trusted_origins == load(DEV).server.public_origins
    assert set(opened(found)) == {"split_origin.origins"}
    assert opened(load(DEV)) == {}


def test_a_ui_by_https_may_be_a_sister_of_the_gateway_s_name() -> None:
    home = {"BFF_SERVER__PUBLIC_ORIGINS": '["https://api.dev.example.com"]'}
    for origin in ("https://ui.dev.example.com", "https://example.com:3000"):
        assert load(split(origin, **home)).split_origin.origins == (origin,)


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("*", "no wildcard"),
        ("null", "not null"),
        ("http://*:3000", "no wildcard"),
        ("http://*.localhost:3000", "no wildcard"),
        ("http://localhost:3000/app", "no path"),
        ("localhost:3000", "scheme://host"),
        ("file://", "scheme://host"),
        ("http://LOCALHOST:3000", "browsers write this origin http://localhost:3000"),
        ("http://localhost:80", "browsers write this origin http://localhost"),
        ("http://localhost:8080", "is the gateway's own"),
        ("http://ui.example.com", "plain http is for this machine only"),
        ("http://192.168.1.7:3000", "plain http is for this machine only"),
        ("http://127.0.0.1:3000", "open the UI as http://localhost:3000"),
        ("http://[::1]:3000", "open the UI as http://localhost:3000"),
        ("http://app.localhost:3000", "is another site"),
        ("https://localhost:3000", "is another site"),
        ("https://ui.example.com", "is another site"),
        ("http://[::1", "scheme://host"),
        ("", "scheme://host"),
    ],
)
def test_an_origin_that_is_none_or_gets_no_cookies_is_refused(
    origin: str, said: str
) -> None:
    found = problems(split("http://localhost:3000", origin))

    assert list(found) == ["split_origin.origins.1"]
    assert said in found["split_origin.origins.1"]


@pytest.mark.parametrize(
    ("origin", "home", "is_good"),
    [
        ("https://a.example.com", "https://b.example.com", True),
        ("https://a.example.com", "http://b.example.com", False),
        ("https://example.com", "https://example.org", False),
        ("https://10.0.0.1", "https://11.0.0.1", False),
        ("https://a.localhost", "https://localhost", False),
        ("http://127.0.0.1:1", "http://127.0.0.1:2", True),
    ],
)
def test_cookies_go_by_site(origin: str, home: str, *, is_good: bool) -> None:
    assert (trouble_with(origin, (home,)) == "") is is_good


def test_a_home_that_is_no_address_is_said_elsewhere() -> None:
    told = split("http://localhost:3000", BFF_SERVER__PUBLIC_ORIGINS='["http://["]')
    assert "server.public_origins.0" in problems(told)


def test_production_has_one_origin() -> None:
    told = {
        **PRODUCTION,
        "BFF_SPLIT_ORIGIN__ORIGINS": '["https://ui.example.com", "*"]',
    }
    found = problems(told)
    assert list(found) == ["split_origin.origins"]
    assert 'environment = "dev"' in found["split_origin.origins"]
    del told["BFF_ENVIRONMENT"]
    assert list(problems(told)) == ["split_origin.origins"]


def test_the_bypass_is_off_unless_somebody_wants_it() -> None:
    for value in ("", "false", "0"):
        assert not load({**DEV, "DEV_AUTH_BYPASS": value}).lets_bypass
        assert not load({**PRODUCTION, "DEV_AUTH_BYPASS": value}).lets_bypass
    for name in ("DEV_AUTH_BYPASS", "BFF_DEV__BYPASS"):
        assert load({**DEV, name: "true"}).lets_bypass
    assert set(opened(load(BYPASS))) == {"dev.bypass"}
    # Ours wins over the original's.
    assert not load({**BYPASS, "BFF_DEV__BYPASS": "false"}).lets_bypass


def test_production_asks_everybody_to_sign_in() -> None:
    for name in ("DEV_AUTH_BYPASS", "BFF_DEV__BYPASS"):
        found = problems({**PRODUCTION, name: "true"})
        assert list(found) == ["dev.bypass"]
        assert "DEV_AUTH_BYPASS" in found["dev.bypass"]


@pytest.mark.parametrize(
    ("place", "is_good"),
    [
        ("127.0.0.1:8080", True),
        ("127.9.9.9:8080", True),
        ("[::1]:8080", True),
        ("localhost:8080", True),
        ("0.0.0.0:8080", False),
        ("[::]:8080", False),
        ("192.168.1.7:8080", False),
        ("host.example.com:8080", False),
        ("localhost.example.com:8080", False),
    ],
)
@pytest.mark.parametrize("key", ["listen", "admin_listen"])
def test_the_bypass_is_for_this_machine_alone(
    key: str, place: str, *, is_good: bool
) -> None:
    told = {**BYPASS, f"BFF_SERVER__{key.upper()}": place}
    if is_good:
        assert load(told).lets_bypass
    else:
        assert list(problems(told)) == [f"server.{key}"]


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        (
            "BFF_SERVER__PUBLIC_ORIGINS",
            '["http://localhost:8080", "https://x.ngrok.app"]',
            "server.public_origins.1",
        ),
        ("BFF_SERVER__ALLOWED_HOSTS", '["x.test:8080"]', "server.allowed_hosts.0"),
        ("BFF_SERVER__ALLOWED_HOSTS", '["[2001:db8::1]:1"]', "server.allowed_hosts.0"),
        ("BFF_SERVER__TRUSTED_PROXIES", '["10.0.0.1"]', "server.trusted_proxies"),
    ],
)
def test_nothing_that_is_reached_from_elsewhere_goes_with_the_bypass(
    variable: str, value: str, key: str
) -> None:
    assert list(problems({**BYPASS, variable: value})) == [key]
    assert load({**DEV, variable: value})


def test_a_ui_on_the_network_does_not_go_with_the_bypass() -> None:
    home = '["https://localhost:8080"]'
    told = split("https://localhost:3000", BFF_SERVER__PUBLIC_ORIGINS=home)
    assert load({**told, "DEV_AUTH_BYPASS": "1"}).lets_bypass
    home = '["https://api.example.com"]'
    told = split("https://ui.example.com", BFF_SERVER__PUBLIC_ORIGINS=home)
    assert set(problems({**told, "DEV_AUTH_BYPASS": "1"})) == {
        "server.public_origins.0",
        "split_origin.origins.0",
    }


def test_allowed_hosts_of_this_machine_go_with_it() -> None:
    told = {"BFF_SERVER__ALLOWED_HOSTS": '["localhost:9", "[::1]:9", "127.0.0.1"]'}
    assert load({**BYPASS, **told}).lets_bypass


def test_a_default_tenant_counts_with_the_bypass_only() -> None:
    assert load({**BYPASS, "DEFAULT_TENANT_ID": "1001"}).dev.default_tenant_id == 1001
    for told in (DEV, PRODUCTION):
        found = problems({**told, "DEFAULT_TENANT_ID": "1001"})
        assert list(found) == ["dev.default_tenant_id"]
        assert "DEFAULT_TENANT_ID" in found["dev.default_tenant_id"]
    for value in ("0", "-1", "acme"):
        found = problems({**BYPASS, "DEFAULT_TENANT_ID": value})
        assert list(found) == ["dev.default_tenant_id"]
