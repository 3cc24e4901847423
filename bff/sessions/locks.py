"""Say in which order rows of people and sessions are locked.

Whoever needs several of these takes them in this order, so that nobody waits in a ring:

1. the tenant's row (`bff/tenancy`: one tenant's changes happen one after another; who
   writes a session shares it, and waits for a suspension only),
2. the person (`hold_person`),
3. the membership (`bff/sessions/standing.py`, `bff/tenancy/members.py`),
4. rows of sessions, by rising `sid`.

The person's lock is for whoever begins, moves or renews a session, and for whoever
ends all that somebody has: a statement sees only what was there when it began, and
would miss the row that a transaction under way puts in place of one it waits for.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg


async def hold_person(
    connection: asyncpg.pool.PoolConnectionProxy, user_id: str
) -> None:
    """Let nobody else write a person's sessions to the end of the transaction.

    Statements after this one see what others have done until now.
    """
    await connection.execute(
        "SELECT pg_advisory_xact_lock($1)", lock_of_person(user_id)
    )


def lock_of_person(user_id: str) -> int:
    """Return the number of a person's advisory lock."""
    key = b"sessions of\0" + user_id.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big", signed=True)
