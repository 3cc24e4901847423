"""Stop a fake Odoo in the middle of a call, and let it go on."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aiohttp import web

    from tests.fakes.odoo import FakeOdoo


@dataclass
class Gate:
    """One call that waits; `entered` when it is there."""

    entered: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    is_taken: bool = False

    async def reached(self, seconds: float = 20.0) -> None:
        await asyncio.wait_for(self.entered.wait(), seconds)

    async def wait(self) -> None:
        self.is_taken = True
        self.entered.set()
        await self.opened.wait()

    def open(self) -> None:
        self.opened.set()


@contextmanager
def gate(fake: FakeOdoo, name: str, *, after: bool = False) -> Generator[Gate]:
    """Let the next call of this method wait, before it takes effect or after it."""
    one, act_on = Gate(), fake._act

    async def gated(request: web.Request, method: str, act: Callable[[], Any]) -> Any:
        if method != name or one.is_taken:
            return await act_on(request, method, act)
        if not after:
            await one.wait()
            return await act_on(request, method, act)
        one.is_taken = True
        result = await act_on(request, method, act)
        await one.wait()
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake, "_act", gated)
        try:
            yield one
        finally:
            one.open()
