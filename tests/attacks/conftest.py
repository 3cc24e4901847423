"""What attackers stand before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.attacks.outside import Tap, tapped

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases


@pytest.fixture
async def tap(databases: Databases) -> AsyncGenerator[Tap]:
    """Give a gateway whose upstream keeps what it gets, and Bob's cookies."""
    async with tapped(databases) as tap, tap.world.signed_in("bob@globex.test") as bob:
        tap.jar = bob.cookies
        yield tap
