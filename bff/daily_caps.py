"""Count acts by day in PostgreSQL, for all replicas together; keys are hashes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bff.errors import RateLimited

if TYPE_CHECKING:
    import asyncpg

DAY = 86400


async def count(
    connection: asyncpg.pool.PoolConnectionProxy,
    kind: str,
    key: str,
    *,
    most: int,
    refusal: str,
) -> None:
    """Add one act to the last day's in the caller's transaction.

    Raises:
        RateLimited: with *refusal* as its sentence, when there are *most* already.
    """
    hashed = hashlib.sha256(key.encode()).digest()
    # Counting and adding are one act, whoever else comes with this key.
    await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_of(kind, key))
    done = await connection.fetchval(
        "SELECT count(*) FROM attempts WHERE kind = $1 AND key = $2 "
        "AND at > now() - interval '1 day'",
        kind,
        hashed,
    )
    if done >= most:
        raise RateLimited(refusal, headers={"Retry-After": str(DAY)})
    await connection.execute(
        "INSERT INTO attempts (kind, key) VALUES ($1, $2)", kind, hashed
    )


def lock_of(kind: str, key: str) -> int:
    """Return the number of the advisory lock for *key*."""
    digest = hashlib.sha256(f"{kind} {key}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
