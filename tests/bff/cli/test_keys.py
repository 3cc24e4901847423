"""`bff keys`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bff.sessions.sealing import parse_keys
from tests.bff.cli.commands import bff
from tests.bff.configs import DEV

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("after", "key_id"), [("0", 1), ("1", 2), ("254", 255), ("255", 1)]
)
def test_a_new_key_has_the_next_id_and_is_never_the_same(
    after: str, key_id: int
) -> None:
    one, two = (bff("keys", "new", "--after", after).output for _ in range(2))

    ((found, key),) = parse_keys(one)
    assert found == key_id
    assert len(key) == 32
    assert one != two


def test_new_keys_make_a_ring_that_is_listed_without_its_keys() -> None:
    newest = bff("keys", "new", "--after", "1").output.strip()
    oldest = bff("keys", "new").output.strip()

    result = bff("keys", "list", env={**DEV, "BFF_SESSION__KEYS": f"{newest},{oldest}"})

    assert result.exit_code == 0
    assert result.output.split() == ["2", "seals", "and", "opens", "1", "opens"]
    for key in (newest, oldest):
        assert key.partition(":")[2] not in result.output


def test_a_ring_from_a_file_is_listed_too(tmp_path: Path) -> None:
    file = tmp_path / "ring"
    file.write_text(bff("keys", "new").output, encoding="utf-8")

    result = bff("keys", "list", env={**DEV, "BFF_SESSION__KEY_FILE": str(file)})

    assert (result.exit_code, result.output.split()[0]) == (0, "1")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"BFF_SESSION__KEYS": "1:not-32-bytes"}, "key 1"),
        ({"BFF_SESSION__KEY_FILE": "/nowhere/ring"}, "/nowhere/ring"),
    ],
)
def test_a_bad_ring_is_one_sentence_without_the_key(
    env: dict[str, str], said: str
) -> None:
    result = bff("keys", "list", env={**DEV, **env})

    assert result.exit_code == 1
    assert said in result.stderr
    assert "not-32-bytes" not in result.stderr
