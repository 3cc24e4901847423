"""What a PostgreSQL URL may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bff.configs import DEV, load, problems

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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
    load({**DEV, "BFF_DATABASE__URL": f"postgresql://{place}"})
