"""Tenants with and without Odoo, and a fake Odoo that has our template."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bff.database import connect
from tests.bff.sites.estate import Estate, opened_estate
from tests.bff.sites.scene import Scene

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases


@pytest.fixture
async def scene(databases: Databases) -> AsyncGenerator[Scene]:
    async with (
        connect(databases.worker, size=6, name="bff-worker") as worker,
        connect(databases.app, size=4) as app,
    ):
        yield Scene(databases, worker, app)


@pytest.fixture
async def estate(scene: Scene) -> AsyncGenerator[Estate]:
    async with opened_estate(scene) as found:
        yield found
