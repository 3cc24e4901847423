"""Note that a tenant's Odoo is gone: what is said of it must hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bff.onboarding.phases import NAMES, Phase, dump, read
from bff.onboarding.store import CHANNEL

if TYPE_CHECKING:
    from datetime import datetime

    from asyncpg.pool import PoolConnectionProxy

GONE = (
    "The Odoo of this workspace was removed by the people who run this service. Ask "
    "them, or try again to have a new one set up."
)
UNDONE = "creating_odoo"
READ = """
SELECT phases, attempt, error FROM onboarding WHERE tenant_id = $1 FOR UPDATE
"""
# Whoever is at it writes nothing more, as after any other who took over.
WRITE = """
UPDATE onboarding SET status = $2, phases = $3, error = $4, fence = fence + 1,
  event_seq = event_seq + 1, updated_at = now() WHERE tenant_id = $1
"""


async def undo(connection: PoolConnectionProxy, tenant_id: int, now: datetime) -> None:
    """Let what a tenant's Odoo was made by count as failed, in a transaction of it."""
    row = await connection.fetchrow(READ, tenant_id)
    if row is None:
        return
    before = read(row["phases"], row["attempt"], row["error"])
    place = NAMES.index(UNDONE)
    phases = (*before.phases[:place], *(Phase(name) for name in NAMES[place:]))
    at = now.isoformat(timespec="milliseconds")
    progress = replace(before, phases=phases).fail(UNDONE, at, GONE)
    await connection.execute(
        WRITE, tenant_id, progress.status, dump(progress), progress.error
    )
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, str(tenant_id))
