"""What a tenant may be told by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bff.configs import DEV, load, problems

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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
        assert load(env).tenancy.source == "organization"
    else:
        assert "auth.scope" in problems(env)["tenancy.source"]
