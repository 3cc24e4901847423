"""See that no task of tenants' Odoo is lost, and no key of ours comes to its end.

Every worker looks. What it asks for is asked once, however many do.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from bff.database import DatabaseUnavailable
from bff.sites.tasks import Kind, ask, revive

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bff.database import Database

log = logging.getLogger(__name__)

# Seconds between two rounds, give or take a tenth. Each asks for one key, so that all
# those that were made on the same day are not replaced in the same minute.
PAUSE, JITTER = 20.0, 0.1
# Seconds for which a task is left in peace that has no job: one may just be ending.
QUIET = 15.0
# Hours until a rotation that failed is asked for again, and where the key has ended.
AGAIN, SOON = 20, 1
# Of a key whose rotation failed before, days before its end that somebody must look.
URGENT = 3
DUE = """
SELECT its.tenant_id, its.key_expires_at, its.key_expires_at < now()
  + make_interval(days => $4) AND last.state = 'failed' AS urgent, pause.hours
FROM odoo_connections AS its
CROSS JOIN LATERAL (
  SELECT CASE WHEN its.key_expires_at < now() THEN $3::int ELSE $2::int END
) AS pause (hours)
LEFT JOIN odoo_tasks AS last ON last.tenant_id = its.tenant_id AND last.kind = 'rotate'
WHERE its.made AND its.active
  AND its.key_expires_at < now() + make_interval(days => $1)
  AND (last.tenant_id IS NULL OR (last.state NOT IN ('queued', 'running')
    AND coalesce(last.finished_at, last.asked_at)
      < now() - make_interval(hours => pause.hours)))
ORDER BY its.key_expires_at LIMIT 1
"""


async def ask_rotation(database: Database, days: int) -> int | None:
    """Ask for another key for whoever's ends first, within *days*; return whose.

    Raises:
        DatabaseUnavailable: when the database goes away.
    """
    async with database.shared_transaction() as connection:
        row = await connection.fetchrow(DUE, days, AGAIN, SOON, URGENT)
    if row is None:
        return None
    tenant_id: int = row["tenant_id"]
    if row["urgent"]:
        said = "the key of tenant %d ends at %s, and could not be replaced so far"
        log.error(said, tenant_id, row["key_expires_at"].isoformat(timespec="minutes"))
    async with database.tenant_transaction(tenant_id) as connection:
        # Another worker may have asked just now.
        recently = row["hours"] * 3600.0
        await ask(connection, tenant_id, Kind.ROTATE, not_within=recently)
    return tenant_id


async def keep_up(
    database: Database,
    closing: asyncio.Event,
    random: Callable[[], float],
    rotate_before: int,
) -> None:
    """Look until *closing*; *random* gives numbers from 0 to 1.

    Keys are replaced that end within *rotate_before* days.
    """
    # Not `while True`: a connection that breaks as we cancel hides the cancelling.
    while not closing.is_set():
        # Each by itself: one that fails must not take the other along.
        await _tried(_revive(database))
        await _tried(ask_rotation(database, rotate_before))
        await pause(closing, PAUSE * (1 + JITTER * (2 * random() - 1)))


async def _revive(database: Database) -> None:
    if count := await revive(database, QUIET):
        log.warning("%d tasks had lost their job", count)


async def _tried(looking: Awaitable[object]) -> None:
    try:
        await looking
    except DatabaseUnavailable:
        log.warning("nobody looks after tenants' Odoo: no database")
    except Exception:
        # Whatever it was: keys end slowly, and the next round tries again.
        log.exception("looking after tenants' Odoo failed")


async def pause(closing: asyncio.Event, seconds: float) -> None:
    """Wait so many seconds, or until *closing*."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await closing.wait()
