"""A fake Odoo for each test, and our library in front of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import pytest

from odoo.client import Server
from odoo.databases import Databases
from tests.fakes.odoo import FakeOdoo, odoo_server
from tests.fakes.odoo_services import MASTER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@dataclass(frozen=True)
class Odoo:
    """The fake server, and who manages its databases."""

    fake: FakeOdoo
    server: Server
    databases: Databases


@pytest.fixture
def series() -> str:
    """Say which Odoo the fake is; tests override it by parameters."""
    return "19.0"


@pytest.fixture
def year() -> int:
    """Say when the fake was built: from 2026 on keys are minted by keys as well."""
    return 2025


@pytest.fixture
async def http() -> AsyncGenerator[aiohttp.ClientSession]:
    """Give a session as the gateway's."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
async def odoo(
    http: aiohttp.ClientSession, series: str, year: int
) -> AsyncGenerator[Odoo]:
    """Serve a fake Odoo."""
    async with odoo_server(series, programmatic=year >= 2026) as fake:
        server = Server(http=http, url=fake.url, seconds=20)
        yield Odoo(fake, server, Databases(server=server, master=MASTER))
