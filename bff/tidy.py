"""Delete what is over, in the worker: nothing here is needed by anybody any more.

Every replica tries, and a lock in the database lets one at a time do it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from bff.database import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from bff.database import Database

log = logging.getLogger(__name__)

BATCH = 1000
# Seconds between two rounds, give or take a tenth: replicas started together part.
PAUSE, JITTER = 3600.0, 0.1
LOCK = int.from_bytes(b"bff tidy", "big")

# What is over, by table. A session's row is kept for a week, for those who ask what
# became of it; `ended_session` far longer than any access token lives (an hour).
OVER = {
    "auth_session": "expires_at < now() - interval '7 days' "
    "OR ended_at < now() - interval '7 days'",
    "ended_session": "ended_at < now() - interval '1 day'",
    "sign_in_failure": "at < now() - interval '1 day'",
    "attempts": "at < now() - interval '2 days'",
    "logout_token": "expires_at < now() - interval '1 day'",
    "acra_signature": "expires_at < now()",
    "tenant_invites": "expires_at < now() - interval '30 days'",
    # The queue's own notes, once they are counted, and the counts: nobody reads them.
    "pgqueuer_log": "aggregated AND created < now() - interval '7 days'",
    "pgqueuer_statistics": "created < now() - interval '7 days'",
}


# What was done is kept for as long as the operator wants to know it.
AUDIT_DAYS = 400


async def tidy(
    database: Database, *, batch: int = BATCH, audit_days: int = AUDIT_DAYS
) -> dict[str, int]:
    """Delete what is over and count it by table; nothing while another replica does.

    Raises:
        DatabaseUnavailable: when the database goes away; what is done stays done.
    """
    deleted: dict[str, int] = {}
    old = f"at < now() - interval '{audit_days:d} days'"
    for table, over in {**OVER, "audit_log": old}.items():
        while True:
            count = await _delete(database, table, over, batch)
            if count is None:
                return deleted
            if count:
                deleted[table] = deleted.get(table, 0) + count
            if count < batch:
                break
    return deleted


async def keep_tidy(
    database: Database,
    closing: asyncio.Event,
    random: Callable[[], float],
    audit_days: int = AUDIT_DAYS,
) -> None:
    """Tidy now and hourly until *closing*; *random* gives numbers from 0 to 1."""
    # Not `while True`: a connection that breaks as we cancel hides the cancelling.
    while not closing.is_set():
        try:
            deleted = await tidy(database, audit_days=audit_days)
        except DatabaseUnavailable:
            log.warning("nothing was tidied: no database")
        except Exception:
            # Whatever it was: rows pile up slowly, and the next round tries again.
            log.exception("tidying failed")
        else:
            if deleted:
                listed = ", ".join(f"{n} of {table}" for table, n in deleted.items())
                log.info("tidied: %s", listed)
        await asyncio.sleep(PAUSE * (1 + JITTER * (2 * random() - 1)))


async def _delete(database: Database, table: str, over: str, batch: int) -> int | None:
    """Delete up to *batch* rows and count them; None when another replica is at it."""
    async with database.shared_transaction() as connection:
        # Given back with the transaction, which PgBouncer understands too.
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
            return None
        # By place: a row that changes meanwhile has moved, and is left alone.
        done: str = await connection.execute(
            f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - names of OVER
            f"SELECT ctid FROM {table} WHERE {over} LIMIT $1))",
            batch,
        )
    return int(done.rpartition(" ")[2])
