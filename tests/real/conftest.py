"""One running product for all tests against the real thing."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import parts
from tests.parts import keycloak_home
from tests.real import agent_chat_ui as agent_chat_uis
from tests.real import agent_chat_ui_site as agent_chat_ui_sites
from tests.real import (
    conformance,
    keycloak_distribution,
    odoo_conformance,
    odoo_distribution,
    odoo_warm,
    sdks,
)
from tests.real import keycloak as keycloaks
from tests.real import odoo as odoos
from tests.real import product as products
from tests.real.restarting import settings_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from typing import Any

    from tests.real.agent_chat_ui_site import Site
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
    if not session.config.option.collectonly and any(
        map(_needs_agent_chat_ui, session.items)
    ):
        with contextlib.suppress(sdks.Unavailable):
            agent_chat_uis.ready()


def _needs_keycloak(item: pytest.Item) -> bool:
    return "keycloak" in item.name or "keycloak" in getattr(item, "fixturenames", ())


def _needs_agent_chat_ui(item: pytest.Item) -> bool:
    return "agent_chat_ui" in getattr(item, "fixturenames", ())


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
def next_start() -> Generator[str]:
    """Run agent-chat-ui by `next start` once, and give its address."""
    with agent_chat_uis.next_start(parts.agent_chat_ui()) as address:
        yield address


@pytest.fixture(params=["folder", "next start"])
def agent_chat_ui(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give the [ui] settings that show agent-chat-ui: its files, then its server."""
    if request.param == "folder":
        return {"mode": "directory", "directory": parts.agent_chat_ui().files}
    return {"mode": "upstream", "upstream": request.getfixturevalue("next_start")}


@pytest.fixture
async def agent_chat_ui_site(
    product: Product, agent_chat_ui: dict[str, Any]
) -> AsyncGenerator[Site]:
    """Run a gateway of the product that shows agent-chat-ui."""
    settings = settings_of(product, product.report["graph_url"])
    async with agent_chat_ui_sites.site(settings, agent_chat_ui) as running:
        yield running


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
