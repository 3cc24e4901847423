"""End rows of sessions within a transaction: tell every replica, and the audit log."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from bff.audit import SYSTEM, record_each
from bff.sessions.locks import hold_person
from bff.telemetry import mark_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import asyncpg

    from bff.audit import Actor

# Rows are locked in one order everywhere (`locks`): two who end several at once do not
# wait for each other for ever.
OWN = """
WITH due AS (
  SELECT sid FROM auth_session WHERE ended_at IS NULL AND user_id = $2
    AND ($3::uuid IS NULL OR sid = $3) AND ($4::text IS NULL OR provider_sid = $4)
  ORDER BY sid FOR UPDATE)
UPDATE auth_session AS session
SET ended_at = now(), end_reason = $1, successor = NULL
FROM due WHERE session.sid = due.sid
RETURNING session.sid, session.tenant_id, session.sub
"""
OF_MEMBER = """
WITH due AS (
  SELECT sid FROM auth_session
  WHERE ended_at IS NULL AND tenant_id = $2 AND iss = $3 AND sub = $4
  ORDER BY sid FOR UPDATE)
UPDATE auth_session AS session
SET ended_at = now(), end_reason = $1, successor = NULL
FROM due WHERE session.sid = due.sid
RETURNING session.sid, session.tenant_id, session.sub
"""
OF_TENANT = """
WITH due AS (
  SELECT sid FROM auth_session WHERE ended_at IS NULL AND tenant_id = $2
  ORDER BY sid FOR UPDATE)
UPDATE auth_session AS session
SET ended_at = now(), end_reason = $1, successor = NULL
FROM due WHERE session.sid = due.sid
RETURNING session.sid
"""
# So many sessions are named in an entry; all are counted.
MOST_NAMED = 20


async def end_own(
    connection: asyncpg.pool.PoolConnectionProxy,
    user_id: str,
    reason: str,
    *,
    sid: UUID | None = None,
    provider_sid: str | None = None,
    replaced: bool = False,
    by: Actor = SYSTEM,
) -> list[UUID]:
    """End a person's sessions, or those of them that are named, last of all.

    *connection* sees the person's rows; *replaced* as for `announce`.
    """
    if sid is None:
        # What is being put in place of one of them just now ends as well.
        await hold_person(connection, user_id)
    rows = await connection.fetch(OWN, reason, user_id, sid, provider_sid)
    await announce(connection, rows, replaced=replaced)
    await tell(connection, rows, reason, by)
    return [row["sid"] for row in rows]


async def end_of_member(
    connection: asyncpg.pool.PoolConnectionProxy,
    tenant_id: int,
    iss: str,
    sub: str,
    reason: str,
) -> list[asyncpg.Record]:
    """End a person's sessions that act for one tenant; whoever calls it tells.

    *connection* sees the sessions of that tenant.
    """
    await hold_person(connection, f"{iss} {sub}")
    rows = await connection.fetch(OF_MEMBER, reason, tenant_id, iss, sub)
    await announce(connection, rows)
    return rows


async def end_of_tenant(
    connection: asyncpg.pool.PoolConnectionProxy, tenant_id: int, reason: str
) -> int:
    """End all sessions that act for one tenant, and count them; whoever calls it tells.

    *connection* is the worker's and holds the tenant's row FOR UPDATE: no session of
    the tenant is being made meanwhile.
    """
    rows = await connection.fetch(OF_TENANT, reason, tenant_id)
    await announce(connection, rows)
    return len(rows)


async def announce(
    connection: asyncpg.pool.PoolConnectionProxy,
    rows: Sequence[asyncpg.Record],
    *,
    replaced: bool = False,
) -> None:
    """Let every replica know of ended sessions.

    *replaced* tells that their browser has another one from now on.
    """
    await connection.executemany(
        "INSERT INTO ended_session (sid, replaced) VALUES ($1, $2) "
        "ON CONFLICT DO NOTHING",
        [(row["sid"], replaced) for row in rows],
    )


async def tell(
    connection: asyncpg.pool.PoolConnectionProxy,
    rows: Sequence[asyncpg.Record],
    reason: str,
    by: Actor,
) -> None:
    """Note ended sessions of one person in the log of each tenant they acted for."""

    def place(row: asyncpg.Record) -> tuple[bool, int]:
        return row["tenant_id"] is None, row["tenant_id"] or 0

    await record_each(
        connection,
        [
            by.did(
                "session.ended",
                ended[0]["tenant_id"],
                ended[0]["sub"],
                reason=reason,
                count=len(ended),
                sessions=[mark_of(row["sid"]) for row in ended[:MOST_NAMED]],
            )
            for _, group in groupby(sorted(rows, key=place), key=place)
            if (ended := list(group))
        ],
    )
