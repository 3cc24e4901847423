"""Where the key ring comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bff import config
from bff.sessions.keyring import load_ring
from bff.sessions.sealing import KeyRingError, Unopenable, format_key

if TYPE_CHECKING:
    from pathlib import Path

    from bff.config import Config

KEY = format_key(3, b"k" * 32)


def configured(environment: str = "dev", **session: object) -> Config:
    return config.Config.model_validate(
        {"environment": environment, "session": session}
    )


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(format_key(4, b"f" * 32))

    assert load_ring(configured(keys=KEY, key_file=file)).ids == [3]
    assert load_ring(configured(key_file=file)).ids == [4]


def test_production_needs_a_ring(tmp_path: Path) -> None:
    with pytest.raises(KeyRingError, match="required in production"):
        load_ring(configured("production"))
    with pytest.raises(KeyRingError, match="cannot be read"):
        load_ring(configured("production", key_file=tmp_path / "absent"))


def test_in_dev_a_ring_is_made_for_this_process() -> None:
    first, second = load_ring(configured()), load_ring(configured())

    sealed = first.seal("cookie", "x", b"plain")

    assert first.open("cookie", "x", sealed) == b"plain"
    with pytest.raises(Unopenable):
        second.open("cookie", "x", sealed)
