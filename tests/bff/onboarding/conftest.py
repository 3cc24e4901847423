"""Stores of the serving role and of the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bff.database import connect
from bff.onboarding.store import OnboardingStore
from tests.bff.onboarding.bench import Bench
from tests.bff.onboarding.founding import OPEN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.database import Database
    from tests.databases import Databases


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
