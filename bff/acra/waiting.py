"""Put a run of the register into the queue: from the webhook, or at its time of day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from bff import audit
from bff.acra.runs import DEAD_AFTER, LOCKS

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

JOB = "acra_ingest"

# A run whose process is gone holds its lock no more.
RUNNING = (
    "SELECT run_id FROM acra_runs WHERE status = 'running' "  # noqa: S608 - our own words
    f"AND beat_at > now() - interval '{DEAD_AFTER}' "
    "AND NOT pg_try_advisory_xact_lock($1 + run_id)"
)
ADD = (
    "INSERT INTO acra_runs (reason) VALUES ($1) ON CONFLICT DO NOTHING RETURNING run_id"
)
LATEST = "SELECT run_id FROM acra_runs ORDER BY status = 'queued' DESC, run_id DESC"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that is queued or under way; *fresh* if it was queued just now."""

    run_id: int
    fresh: bool


async def enqueue(
    connection: PoolConnectionProxy,
    reason: str,
    *,
    address: str = "",
    request: str = "",
) -> Waiting:
    """Queue a run in *connection*'s transaction, unless one is queued or under way.

    *address* and *request* (its id) are of whoever asks, for the audit log.
    """
    running = await connection.fetchval(RUNNING, LOCKS)
    if running is not None:
        return Waiting(running, fresh=False)
    run_id = await connection.fetchval(ADD, reason)
    fresh = run_id is not None
    if run_id is None:
        # One waits already; it may have begun, or even ended, since we looked.
        run_id = await connection.fetchval(LATEST)
    # The proxy does all that a connection does; PgQueuer's types do not know it.
    driver = AsyncpgDriver(cast("asyncpg.Connection", connection))
    await Queries(driver).enqueue(
        JOB, str(run_id).encode(), dedupe_key=f"{JOB}:{run_id}", on_conflict="skip"
    )
    if fresh:
        entry = audit.Entry(
            "acra.run_queued",
            None,
            subject=str(run_id),
            detail={"reason": reason},
            address=address,
            request_id=request,
        )
        await audit.record(connection, entry)
    return Waiting(run_id, fresh=fresh)
