"""What the faults share: a Keycloak that nobody else minds being stopped."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.parts import keycloak_home
from tests.real import keycloak as keycloaks

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.real.keycloak import Keycloak


@pytest.fixture(scope="module")
def own_keycloak() -> Generator[Keycloak]:
    """Run a real Keycloak of our own."""
    home = keycloak_home()
    with tempfile.TemporaryDirectory(prefix="bff-keycloak-") as folder:
        running = keycloaks.start(home, Path(folder))
        try:
            yield running
        finally:
            running.stop()
