"""Where the gateway may listen, and what it may be called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bff.config_server import hosts
from tests.bff.configs import DEV, PRODUCTION, load, problems

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def with_origins(*origins: str) -> dict[str, str]:
    return {**DEV, "BFF_SERVER__PUBLIC_ORIGINS": json.dumps(origins)}


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
    assert load(with_origins("http://localhost:8080/")).canonical_origin == (
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


def test_hosts_are_those_of_the_origins_and_the_listed_ones() -> None:
    found = load(
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
