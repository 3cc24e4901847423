"""One PostgreSQL server for all tests, one database copied for each."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from hypothesis import settings

from bff import migrate
from bff.dev.postgres import SUPERUSER, Postgres, start, stop
from bff.roles import ROLES, ensure_roles
from tests.databases import Databases
from tests.parts import MISSING
from tests.stock import Stock
from tests.telling import TOLD
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

TEMPLATE = "bff_template"
NOT_RUN = Path(__file__).parents[1] / ".cache" / "not-run"

BENCH = "tests/bench"
# Containers often have 64 MB of it.
MEMORY, ROOM = Path("/dev") / "shm", 4 * 1024**3

# A busy machine is no failure: pytest-timeout alone limits how long a test takes.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def postgres_server() -> Generator[Postgres]:
    """Run PostgreSQL with a migrated template database."""
    with tempfile.TemporaryDirectory(prefix="bff-test-", dir=_fastest()) as folder:
        Path(folder).chmod(0o711)  # the server runs as a system user when we are root
        place = Path(folder) / "postgres"
        server = start(place, durable=False)
        try:
            asyncio.run(_prepare(server))
            yield server
        finally:
            stop(place)


def _fastest() -> Path | None:
    """Return memory to write thousands of databases to, None if there is little."""
    try:
        return MEMORY if shutil.disk_usage(MEMORY).free > ROOM else None
    except OSError:
        return None


async def _prepare(server: Postgres) -> None:
    superuser = await asyncpg.connect(server.url(SUPERUSER, "postgres"))
    try:
        await ensure_roles(superuser, server.passwords)
        await superuser.execute(f"CREATE DATABASE {TEMPLATE} OWNER bff_owner")
    finally:
        await superuser.close()
    owner = await asyncpg.connect(server.url("bff_owner", TEMPLATE))
    try:
        await migrate.migrate(owner)
    finally:
        await owner.close()


@pytest.fixture(scope="session")
def stock(postgres_server: Postgres) -> Generator[Stock]:
    """Keep migrated databases ready."""
    url = postgres_server.url(SUPERUSER, "postgres")
    with Stock(url, TEMPLATE).kept() as kept:
        yield kept


@pytest.fixture
async def databases(
    postgres_server: Postgres, stock: Stock
) -> AsyncGenerator[Databases]:
    """Give a fresh, migrated database and its URLs by role."""
    name = await asyncio.to_thread(stock.take)
    yield Databases(
        {role: postgres_server.url(role, name) for role in (SUPERUSER, *ROLES)}
    )
    stock.give_back(name)


@pytest.fixture
async def world(databases: Databases) -> AsyncGenerator[World]:
    """Give a gateway on a real socket with provider, fake graph server and database."""
    async with World(databases).running() as running:
        yield running


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares a server that takes long to start, else each file."""
    for item in items:
        asked = getattr(item, "fixturenames", ())
        place = item.nodeid.partition("::")[0]
        if "real_odoo" in asked or "odoo_side" in asked:
            place = "odoo"
        elif "keycloak" in asked or "side" in asked:
            place = "keycloak"
        elif "product" in asked:
            place = "product"
        elif place.startswith(BENCH):
            place = BENCH
        item.add_marker(pytest.mark.xdist_group(place))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Notice when pytest-xdist cannot tell groups, which costs minutes and no failure.

    Raises:
        pytest.UsageError: As with pytest 9.2 and pytest-xdist 3.8.
    """
    is_grouped = getattr(session.config.option, "loadgroup", False)
    if is_grouped and any("@" not in item.nodeid for item in session.items):
        raise pytest.UsageError("pytest-xdist does not keep groups of tests together")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that reports what this one has to say, if it is another."""
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told.update(missing=MISSING, told=TOLD)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear what one of several processes has to say (pytest-xdist)."""
    said = getattr(node, "workeroutput", {})
    MISSING.update(said.get("missing", {}))
    TOLD.extend(said.get("told", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name each suite that could not run, and what would enable it.

    Also left in a file, which `make test` shows as its last words.
    """
    for text in TOLD:
        terminalreporter.write_line(text)
    lines = [f"NOT RUN: the {part} tests. {why}" for part, why in MISSING.items()]
    for line in lines:
        terminalreporter.write_line(line, yellow=True)
    NOT_RUN.parent.mkdir(exist_ok=True)
    NOT_RUN.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
