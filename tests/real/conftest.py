"""One running product for all tests against the real thing."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.parts import keycloak_home
from tests.real import conformance, keycloak_distribution
from tests.real import keycloak as keycloaks
from tests.real import product as products

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from tests.real.conformance import Side
    from tests.real.keycloak import Keycloak
    from tests.real.product import Product


@pytest.fixture(scope="session")
def product() -> Generator[Product]:
    """Run `bff dev` once: PostgreSQL, provider, real LangGraph server, gateway."""
    with tempfile.TemporaryDirectory(prefix="bff-real-") as folder:
        Path(folder).chmod(0o711)  # the database runs as a system user when we are root
        running = products.start(Path(folder))
        try:
            yield running
        finally:
            products.stop(running)


# Keycloak's start counts for the first test that asks for it.
KEYCLOAK_SECONDS = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave time for Keycloak's start to the tests that need it."""
    for item in filter(_needs_keycloak, items):
        item.add_marker(pytest.mark.timeout(KEYCLOAK_SECONDS))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch Keycloak before the first test, where no time limit counts."""
    if not session.config.option.collectonly and any(
        map(_needs_keycloak, session.items)
    ):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        with contextlib.suppress(keycloak_distribution.Unavailable):
            keycloak_distribution.ready(reporter.write_line if reporter else print)


def _needs_keycloak(item: pytest.Item) -> bool:
    return "keycloak" in item.name or "keycloak" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def keycloak() -> Generator[Keycloak]:
    """Run a real Keycloak once."""
    home = keycloak_home()
    with tempfile.TemporaryDirectory(prefix="bff-keycloak-") as folder:
        running = keycloaks.start(home, Path(folder))
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture(params=conformance.KINDS)
async def side(request: pytest.FixtureRequest) -> AsyncGenerator[Side]:
    """Give each provider in turn: ours and Keycloak, rotation off and on."""
    is_real = request.param.startswith("keycloak")
    real = request.getfixturevalue("keycloak") if is_real else None
    async with conformance.running(request.param, real) as one:
        yield one
