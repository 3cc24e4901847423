"""Somebody who asks the gateway for a workspace, and waits for their Odoo."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.bff.waiting import until
from tests.real.keycloak_realms import PASSWORD

if TYPE_CHECKING:
    from tests.world import Browser

# For a copy and all that follows, and a machine that does other things too.
READY_SECONDS = 120.0
PAUSE = 0.2


@dataclass
class Person:
    """Somebody of the realm, with a browser of the gateway's."""

    email: str
    sub: str
    browser: Browser

    async def sign_in(self) -> None:
        """Begin another session: one ends by itself after some minutes."""
        answer = await self.browser.login(self.email, PASSWORD)
        assert answer.status == 200, await answer.text()

    async def asks(self, method: str, path: str, **options: Any) -> Any:
        """Send a request that must go well, and return its JSON."""
        async with await self.browser.request(method, path, **options) as answer:
            assert answer.ok, (answer.status, await answer.text())
            return await answer.json() if answer.status != 204 else None

    async def founds(self) -> int:
        """Ask for a workspace and return its tenant."""
        path = "/onboarding/first_login"
        return int((await self.asks("POST", path, json={}))["tenant_id"])

    async def reached(
        self, *statuses: str, seconds: float = READY_SECONDS
    ) -> dict[str, Any]:
        """Wait until onboarding is at one of these, and return the document."""

        async def look() -> dict[str, Any] | None:
            try:
                found = dict(await self.asks("GET", "/onboarding/status"))
            except (AssertionError, aiohttp.ClientError):
                return None  # our database may be away for a moment
            seen.append(found)
            if found["status"] in statuses:
                return found
            await asyncio.sleep(PAUSE)
            return None

        seen: list[dict[str, Any]] = []
        try:
            return await until(look, seconds=seconds)
        except TimeoutError:
            raise AssertionError(json.dumps(seen[-1:], indent=1)) from None
