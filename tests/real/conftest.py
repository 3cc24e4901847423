"""One running product for all tests against the real thing."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import parts
from tests.parts import keycloak_home
from tests.real import (
    conformance,
    keycloak_distribution,
    odoo_conformance,
    odoo_distribution,
    odoo_warm,
)
from tests.real import keycloak as keycloaks
from tests.real import odoo as odoos
from tests.real import product as products

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from tests.real.conformance import Side
    from tests.real.keycloak import Keycloak
    from tests.real.odoo import Odoo
    from tests.real.odoo_conformance import OdooSide
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


# Keycloak's start counts for the first test that asks for it. Odoo's is short, but
# some of what it does takes most of a minute, and more on a busy machine.
KEYCLOAK_SECONDS = ODOO_SECONDS = 300


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave time for Keycloak and Odoo; what needs Odoo is for `make acceptance`."""
    for item in filter(_needs_keycloak, items):
        item.add_marker(pytest.mark.timeout(KEYCLOAK_SECONDS))
    for item in filter(_needs_odoo, items):
        item.add_marker(pytest.mark.timeout(ODOO_SECONDS))
        item.add_marker(pytest.mark.acceptance)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch Keycloak before the first test, where no time limit counts."""
    if not session.config.option.collectonly and any(
        map(_needs_keycloak, session.items)
    ):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        with contextlib.suppress(keycloak_distribution.Unavailable):
            keycloak_distribution.ready(reporter.write_line if reporter else print)
    if not session.config.option.collectonly and any(map(_needs_odoo, session.items)):
        with contextlib.suppress(odoo_distribution.Unavailable):
            odoo_warm.ready(odoo_distribution.ready())


def _needs_keycloak(item: pytest.Item) -> bool:
    return "keycloak" in item.name or "keycloak" in getattr(item, "fixturenames", ())


def _needs_odoo(item: pytest.Item) -> bool:
    side = item.callspec.params.get("odoo_side") if hasattr(item, "callspec") else None
    return side == "odoo" or "real_odoo" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def real_odoo() -> Generator[Odoo]:
    """Run a real Odoo once."""
    fetched = parts.odoo()
    with tempfile.TemporaryDirectory(prefix="bff-odoo-") as folder:
        Path(folder).chmod(0o711)  # its database runs as a system user when we are root
        with odoos.running(fetched, Path(folder)) as running:
            yield running


@pytest.fixture(params=odoo_conformance.KINDS)
async def odoo_side(request: pytest.FixtureRequest) -> AsyncGenerator[OdooSide]:
    """Give the fake Odoo, then the real one."""
    real = request.getfixturevalue("real_odoo") if request.param == "odoo" else None
    async with odoo_conformance.running(real) as one:
        yield one


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
