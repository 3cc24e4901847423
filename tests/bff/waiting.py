"""Wait for what will be, never longer than needed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


async def until(look: Callable[[], Awaitable[T | None]], *, seconds: float = 10.0) -> T:
    """Return the first true thing that *look* gives within *seconds*."""
    async with asyncio.timeout(seconds):
        while not (found := await look()):  # noqa: ASYNC110 - what others do sets no event
            await asyncio.sleep(0.03)
    return found
