"""Stores of the serving role and of the worker; tenants with and without Odoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from bff.database import connect
from bff.dev.provider import Provider, Realm, serving
from bff.onboarding.store import OnboardingStore
from tests.bff.onboarding.bench import Bench
from tests.bff.onboarding.estate import Estate, keep_template
from tests.bff.onboarding.founding import OPEN
from tests.fakes.odoo import odoo_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.database import Database
    from tests.databases import Databases
    from tests.fakes.odoo import FakeOdoo


@pytest.fixture
async def app(databases: Databases) -> AsyncGenerator[Database]:
    async with connect(databases.app, size=8) as database:
        yield database


@pytest.fixture
async def worker(databases: Databases) -> AsyncGenerator[OnboardingStore]:
    async with connect(databases.worker, size=2) as database:
        yield OnboardingStore(database, OPEN)


@pytest.fixture
def store(app: Database) -> OnboardingStore:
    return OnboardingStore(app, OPEN)


@pytest.fixture
async def bench(databases: Databases) -> AsyncGenerator[Bench]:
    async with connect(databases.app, size=3) as pool:
        bench = Bench(databases, OnboardingStore(pool, OPEN))
        await bench.begin()
        yield bench


@pytest.fixture
def series() -> str:
    """Say which Odoo the fake is; tests override it by parameters."""
    return "19.0"


@pytest.fixture
def year() -> int:
    """Say when the fake was built: from 2026 on keys are minted by keys as well."""
    return 2025


@pytest.fixture
async def fake(series: str, year: int) -> AsyncGenerator[FakeOdoo]:
    async with odoo_server(series, programmatic=year >= 2026) as fake:
        yield fake


@pytest.fixture
async def estate(databases: Databases, fake: FakeOdoo) -> AsyncGenerator[Estate]:
    """Give a tenant that has just been founded, and all that its Odoo needs."""
    async with (
        connect(databases.app, size=3) as pool,
        serving(Provider(Realm(), [], [])) as issuer,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        await keep_template(databases, fake)
        store = OnboardingStore(pool, OPEN)
        estate = Estate(databases, store, fake, issuer, http)
        await estate.begin()
        yield estate
