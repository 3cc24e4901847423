"""One person's way from first_login to ready, watched by its events."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import aiohttp

from tests.real.keycloak_realms import PASSWORD
from tests.world import Browser

if TYPE_CHECKING:
    from tests.databases import Databases
    from tests.real.conformance import Side
    from tests.world import World

ENDS = frozenset({"ready", "error"})
# When each change of a row was made, by the clock of a database on this machine.
NOTES = """
CREATE TABLE bench_changes (tenant_id bigint, seq bigint, at timestamptz);
CREATE FUNCTION bench_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public AS $$
BEGIN
  INSERT INTO bench_changes VALUES (NEW.tenant_id, NEW.event_seq, clock_timestamp());
  RETURN NEW;
END $$;
CREATE TRIGGER bench_note AFTER UPDATE OF event_seq ON onboarding
FOR EACH ROW EXECUTE FUNCTION bench_note();
"""
CHANGES = """
SELECT seq, extract(epoch FROM at)::float8 AS at FROM bench_changes WHERE tenant_id = $1
"""
WARM = "SELECT count(*) FROM odoo_warm WHERE state = 'ready'"
PATIENCE = 600.0


class Failed(Exception):
    """Say in one sentence why there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Onboarded:
    """What it took, each phase of it, and how late events were; all in seconds."""

    seconds: float
    phases: dict[str, float]
    delays: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A gateway with its worker, and who may sign in there."""

    name: str
    url: str
    side: Side
    databases: Databases
    warm: int = 0

    async def onboard(self) -> Onboarded:
        """Take somebody new from their first_login to ready.

        Raises:
            Failed: when it comes to nothing.
        """
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            timeout=aiohttp.ClientTimeout(total=PATIENCE),
        ) as session:
            # Of its world a browser asks nothing but its address.
            browser = Browser(cast("World", self), session, self.url)
            await self._sign_in(browser)
            began = time.perf_counter()
            said = await browser.post("/onboarding/first_login", json={})
            if not said.ok:
                raise Failed(f"first_login: {await said.text()}")
            tenant_id = int((await said.json())["tenant_id"])
            document, arrived = await _followed(browser)
            seconds = time.perf_counter() - began
        if document["status"] != "ready":
            raise Failed(f"{self.name}: {document['error']}")
        delays = await self._delays(tenant_id, arrived)
        return Onboarded(seconds, _phases(document), delays)

    async def filled(self) -> None:
        """Wait until as many copies are ready as the gateway keeps.

        Raises:
            Failed: when that takes too long.
        """
        deadline = time.monotonic() + PATIENCE
        async with self.databases.superuser() as superuser:
            while await superuser.fetchval(WARM) < self.warm:
                if time.monotonic() > deadline:
                    raise Failed("the pool of warm copies is not filled")
                await asyncio.sleep(0.2)

    async def _sign_in(self, browser: Browser) -> None:
        self.side.token_of_provisioner = ""  # it lasts a minute
        user = await self.side.somebody()
        said = await browser.login(user["email"], PASSWORD)
        if not said.ok:
            raise Failed(f"sign-in: {await said.text()}")

    async def _delays(
        self, tenant_id: int, arrived: dict[int, float]
    ) -> tuple[float, ...]:
        """Return how late each event was; of changes at once only the last is one."""
        async with self.databases.superuser() as superuser:
            rows = await superuser.fetch(CHANGES, tenant_id)
        known = [row for row in rows if row["seq"] in arrived]
        return tuple(arrived[row["seq"]] - row["at"] for row in known)


async def _followed(browser: Browser) -> tuple[dict[str, Any], dict[int, float]]:
    """Read events to the end; return the last document, and when each one came."""
    arrived: dict[int, float] = {}
    async with await browser.get("/onboarding/events") as stream:
        seq = 0
        async for line in stream.content:
            if line.startswith(b"id: "):
                seq = int(line[4:])
            elif line.startswith(b"data: "):
                arrived[seq] = time.time()
                document = dict(json.loads(line[6:]))
                if document["status"] in ENDS:
                    # The first tells what was before anybody listened.
                    del arrived[min(arrived)]
                    return document, arrived
    raise Failed("the stream of events ended too early")


def _phases(document: dict[str, Any]) -> dict[str, float]:
    return {
        phase["name"]: _time(phase["finished_at"]) - _time(phase["started_at"])
        for phase in document["phases"]
    }


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
