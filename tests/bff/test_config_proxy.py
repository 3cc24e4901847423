"""What may stand behind a prefix."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.bff.configs import DEV, load, problems

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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

    assert load(environ).proxy["graph"].upstreams == (upstream,)


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
