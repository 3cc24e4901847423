"""Put one session in place of another: in another tenant, under a new id.

All that lives of the old one ends with it, on every replica: its tickets, its streams.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

from bff.audit import SYSTEM, Actor, Entry, record
from bff.errors import RateLimited
from bff.sessions.ending import announce, tell
from bff.telemetry import mark_of

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

    from bff.sessions.session import AccessTicket

# By hand the tokens must not be in renewal; a renewal ($7, the sealed tokens) has the
# lease itself, and leaves them to those who wait for it.
MOVE = """
WITH old AS (
  UPDATE auth_session SET ended_at = now(), end_reason = $6, successor = $7::bytea,
    gen = CASE WHEN $7::bytea IS NULL THEN gen ELSE gen + 1 END
  WHERE sid = $1 AND gen = $2 AND ended_at IS NULL AND expires_at > now()
    AND ($7::bytea IS NOT NULL OR refreshing_until IS NULL OR refreshing_until < now())
  RETURNING sid, iss, sub, tenant_id, provider_sid, device, expires_at),
new AS (
  INSERT INTO auth_session (sid, iss, sub, email, tenant_id, tenant_chosen,
    provider_sid, device, gen, expires_at)
  SELECT $3, iss, sub, $8, $4, $7::bytea IS NULL, provider_sid, device, $5, expires_at
  FROM old)
SELECT sid, tenant_id, sub FROM old
"""
BY_HAND, BY_CLAIM = "switched_tenant", "claim_changed"
# So many switches a person has within so many seconds: each ends a session, of which
# every replica must know for an hour.
MOST, WINDOW = 30, 600.0
KIND = "tenant_switch"
TOO_MANY = "You have switched workspaces too often. Wait a moment and try again."
# How long until the switch falls out of the window that is one too many.
WAIT = """
SELECT extract(epoch FROM at - now())::float8 + $3 FROM attempts
WHERE kind = $4 AND key = $1 AND at > now() - make_interval(secs => $3)
ORDER BY at DESC OFFSET $2 LIMIT 1
"""


async def move(
    connection: asyncpg.pool.PoolConnectionProxy,
    sid: UUID,
    gen: int,
    new: AccessTicket,
    *,
    reason: str,
    by: Actor = SYSTEM,
    sealed: bytes | None = None,
) -> bool:
    """End *sid* and begin *new*, the person being held; False when *gen* is not last.

    *sealed* are the tokens that a renewal has brought, for those who wait for them.
    """
    rows = await connection.fetch(
        MOVE, sid, gen, new.sid, new.tenant_id, new.gen, reason, sealed, new.email
    )
    if rows:
        await announce(connection, rows, replaced=True)
        if new.tenant_id is not None:
            how = "renewal" if sealed is not None else reason
            await record(connection, came_in(by, new, how))
        # Neither tenant's log names the other.
        await tell(connection, rows, reason, by)
    return bool(rows)


async def keep_pace(connection: asyncpg.pool.PoolConnectionProxy, user_id: str) -> None:
    """Let a person, who is held, switch once more.

    Raises:
        RateLimited: when there were too many, with Retry-After in whole seconds.
    """
    wait = await connection.fetchval(WAIT, _key(user_id), MOST - 1, WINDOW, KIND)
    if wait is not None:
        seconds = max(1, math.ceil(wait))
        raise RateLimited(TOO_MANY, headers={"Retry-After": str(seconds)})


async def count_switch(
    connection: asyncpg.pool.PoolConnectionProxy, user_id: str
) -> None:
    """Count a switch that a person has made."""
    await connection.execute(
        "INSERT INTO attempts (kind, key) VALUES ($1, $2)", KIND, _key(user_id)
    )


def _key(user_id: str) -> bytes:
    return hashlib.sha256(user_id.encode()).digest()


def came_in(by: Actor, ticket: AccessTicket, how: str) -> Entry:
    """Return the entry of a living session that acts for another tenant from now on."""
    return by.did(
        "session.came_in",
        ticket.tenant_id,
        ticket.sub,
        how=how,
        session=mark_of(ticket.sid),
    )
