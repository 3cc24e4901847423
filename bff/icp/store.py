"""Keep a tenant's rules."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import asyncpg
from aiohttp import web

from bff.audit import record
from bff.errors import TooBusy
from bff.errors_workspace import RulesFull
from bff.icp.candidates import PATIENCE, SILENCE, compute, limit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from bff.audit import Entry
    from bff.database import Database
    from bff.icp.rules import Profile

# Each is computed anew whenever companies have changed.
MOST_RULES = 100
# Changes of one process at once, and the seconds that another waits: each may take
# long, and holds a connection that all tenants share. Of one tenant one at a time.
AT_ONCE, QUEUE = 2, 10.0
LATER = {"Retry-After": "10"}

# Of one tenant one at a time in all processes, too: else more rules than allowed could
# come at once. Any constant of ours, with the tenant beside it.
TURN = "SELECT pg_advisory_xact_lock(1768124530, hashint8($1))"
BEFORE = "SELECT payload FROM icp_rules WHERE tenant_id = $1 AND name = $2"
SAVE = """
INSERT INTO icp_rules (tenant_id, name, payload, created_at, updated_at)
VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp())
ON CONFLICT (tenant_id, name) DO UPDATE SET
  payload = excluded.payload, updated_at = excluded.updated_at
RETURNING rule_id, name, payload, created_at, updated_at, xmax = 0 AS is_new
"""
# Whoever computes the rule holds it; nobody waits for that with a connection in hand.
HOLD = """
SELECT name FROM icp_rules WHERE tenant_id = $1 AND rule_id = $2 FOR UPDATE NOWAIT
"""
DELETE = "DELETE FROM icp_rules WHERE tenant_id = $1 AND rule_id = $2"
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
        # Each is gone when nobody has or wants a turn.
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def of(self, tenant_id: int) -> list[Rule]:
        """Return all rules of a tenant, the one changed last first."""
        async with self._database.tenant_transaction(tenant_id) as connection:
            rows = await connection.fetch(LIST, tenant_id, self._most)
        return [_rule(row, row["candidates"]) for row in rows]

    async def save(
        self, tenant_id: int, name: str, profile: Profile, entry: Entry
    ) -> tuple[Rule, bool]:
        """Make or change the rule *name*, with its candidates; True when it is new.

        *entry* gets the rule's number, the conditions that changed and how many fit:
        not what they are, for rules are long and the audit log is kept.

        Raises:
            RulesFull: when the tenant has as many rules as there may be.
            TooBusy: when others are saving for too long.
        """
        told = profile.told()
        async with (
            self._turn(tenant_id),
            self._database.tenant_transaction(tenant_id) as connection,
        ):
            await limit(connection)
            wait = PATIENCE + SILENCE
            await connection.execute(TURN, tenant_id, timeout=wait)
            before = await connection.fetchval(BEFORE, tenant_id, name)
            (row,) = await connection.fetch(
                SAVE, tenant_id, name, json.dumps(told), timeout=wait
            )
            count = await connection.fetchval(
                "SELECT count(*) FROM icp_rules WHERE tenant_id = $1", tenant_id
            )
            if count > self._most and row["is_new"]:
                raise RulesFull
            rule_id = row["rule_id"]
            candidates = await compute(connection, tenant_id, rule_id, profile)
            detail = {
                "rule_id": rule_id,
                "changed": _changed(json.loads(before or "{}"), told),
                "candidates": candidates,
            }
            await record(connection, replace(entry, detail=detail))
        return _rule(row, candidates), row["is_new"]

    async def delete(self, tenant_id: int, rule_id: int, entry: Entry) -> bool:
        """Forget a rule and its candidates; False when there is none.

        *entry* gets the rule's name as its subject, and its number.

        Raises:
            TooBusy: when the rule is being computed, or others are saving for too long.
        """
        async with (
            self._turn(tenant_id),
            self._database.tenant_transaction(tenant_id) as connection,
        ):
            await limit(connection)
            try:
                name = await connection.fetchval(HOLD, tenant_id, rule_id)
            except asyncpg.LockNotAvailableError as error:
                raise TooBusy(
                    "This rule is being computed right now. Try again in a moment.",
                    headers=LATER,
                ) from error
            if name is None:
                return False
            await connection.execute(
                DELETE, tenant_id, rule_id, timeout=PATIENCE + SILENCE
            )
            detail = {"rule_id": rule_id}
            await record(connection, replace(entry, subject=name, detail=detail))
        return True

    @asynccontextmanager
    async def _turn(self, tenant_id: int) -> AsyncGenerator[None]:
        """Wait for one's own tenant first: that holds no place of everybody's."""
        own = self._turns.setdefault(tenant_id, asyncio.Lock())
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._queue):
                    await stack.enter_async_context(own)
                    await stack.enter_async_context(self._gate)
            except TimeoutError as error:
                raise TooBusy(headers=LATER) from error
            yield


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the conditions that one has and the other has not, or has otherwise."""
    either = sorted(before.keys() | after.keys())
    return [key for key in either if before.get(key) != after.get(key)]


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
