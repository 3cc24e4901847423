"""What cookies may be told to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bff.configs import DEV, load, problems

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_two_cookies_must_not_share_a_name() -> None:
    found = problems({**DEV, "BFF_SESSION__REFRESH_COOKIE": "nx_access"})

    assert list(found) == ["session.refresh_cookie"]


def test_the_host_prefix_needs_secure_cookies() -> None:
    assert list(problems({**DEV, "BFF_SESSION__HOST_PREFIX": "true"})) == [
        "session.host_prefix"
    ]
    assert not load(DEV).secure_cookies
    assert not load(DEV).host_prefix
