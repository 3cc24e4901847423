"""Keep a tenant's rules."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bff.audit import record
from bff.errors import RulesFull, TooBusy
from bff.icp.candidates import PATIENCE, compute

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    import asyncpg

    from bff.audit import Entry
    from bff.database import Database
    from bff.icp.rules import Profile

# Each is computed anew whenever companies have changed.
MOST_RULES = 100
# Saves of one process at once, and the seconds that another waits: each may take long,
# and holds a connection that all tenants share.
AT_ONCE, QUEUE = 2, 10.0

# Of one tenant one at a time: else more rules than allowed could come at once. Any
# constant of ours, with the tenant beside it.
TURN = "SELECT pg_advisory_xact_lock(1768124530, hashint8($1))"
SAVE = """
INSERT INTO icp_rules (tenant_id, name, payload, created_at, updated_at)
VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp())
ON CONFLICT (tenant_id, name) DO UPDATE SET
  payload = excluded.payload, updated_at = excluded.updated_at
RETURNING rule_id, name, payload, created_at, updated_at, xmax = 0 AS is_new
"""
LIST = """
SELECT rule_id, name, payload, candidates, created_at, updated_at
FROM icp_rules WHERE tenant_id = $1 ORDER BY updated_at DESC, rule_id DESC LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as it is kept, and how many companies fit."""

    rule_id: int
    name: str
    payload: dict[str, Any]
    candidates: int
    created_at: datetime
    updated_at: datetime


class Rules:
    """List, save and delete a tenant's rules."""

    def __init__(
        self,
        database: Database,
        most: int = MOST_RULES,
        *,
        at_once: int = AT_ONCE,
        queue: float = QUEUE,
    ) -> None:
        self._database = database
        self._most = most
        self._gate = asyncio.Semaphore(at_once)
        self._queue = queue

    async def of(self, tenant_id: int) -> list[Rule]:
        """Return all rules of a tenant, the one changed last first."""
        async with self._database.tenant_transaction(tenant_id) as connection:
            rows = await connection.fetch(LIST, tenant_id, self._most)
        return [_rule(row, row["candidates"]) for row in rows]

    async def save(
        self, tenant_id: int, name: str, profile: Profile, entry: Entry
    ) -> tuple[Rule, bool]:
        """Make or change the rule *name*, with its candidates; True when it is new.

        Raises:
            RulesFull: when the tenant has as many rules as there may be.
            TooBusy: when others are saving for too long.
        """
        payload = json.dumps(profile.told())
        async with (
            self._turn(),
            self._database.tenant_transaction(tenant_id) as connection,
        ):
            await connection.execute(TURN, tenant_id, timeout=PATIENCE)
            (row,) = await connection.fetch(
                SAVE, tenant_id, name, payload, timeout=PATIENCE
            )
            count = await connection.fetchval(
                "SELECT count(*) FROM icp_rules WHERE tenant_id = $1", tenant_id
            )
            if count > self._most and row["is_new"]:
                raise RulesFull
            candidates = await compute(connection, tenant_id, row["rule_id"], profile)
            await record(connection, entry)
        return _rule(row, candidates), row["is_new"]

    async def delete(self, tenant_id: int, rule_id: int, entry: Entry) -> bool:
        """Forget a rule and its candidates; False when there is none.

        *entry* gets the rule's name as its subject.
        """
        async with self._database.tenant_transaction(tenant_id) as connection:
            name = await connection.fetchval(
                "DELETE FROM icp_rules WHERE tenant_id = $1 AND rule_id = $2 "
                "RETURNING name",
                tenant_id,
                rule_id,
                timeout=PATIENCE,
            )
            if name is None:
                return False
            await record(connection, replace(entry, subject=name))
        return True

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(self._queue):
                await self._gate.acquire()
        except TimeoutError as error:
            raise TooBusy(headers={"Retry-After": "10"}) from error
        try:
            yield
        finally:
            self._gate.release()


def _rule(row: asyncpg.Record, candidates: int) -> Rule:
    return Rule(
        row["rule_id"],
        row["name"],
        json.loads(row["payload"]),
        candidates,
        row["created_at"],
        row["updated_at"],
    )


RULES = web.AppKey("icp_rules", Rules)
