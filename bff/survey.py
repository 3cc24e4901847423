"""Read, in the worker, how queue, tenants, sessions and register stand, for metrics.

Whoever serves may not see other tenants' rows; a worker may. Every worker tells the
same, so that none is missed.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from bff.database import DatabaseUnavailable

if TYPE_CHECKING:
    from bff.database import Database
    from bff.gauges import Standing

log = logging.getLogger(__name__)

# Seconds between two looks.
PAUSE = 30.0
# Each gives the labels of a metric, in their order, and its number.
QUERIES = {
    "bff_tenants": "SELECT status, count(*) FROM tenants GROUP BY 1",
    "bff_onboardings": "SELECT status, count(*) FROM onboarding GROUP BY 1",
    "bff_sessions": "SELECT count(*) FROM auth_session "
    "WHERE ended_at IS NULL AND expires_at > now()",
    "bff_jobs": "SELECT entrypoint, status::text, count(*) FROM pgqueuer "
    "WHERE status IN ('queued', 'picked') GROUP BY 1, 2",
    "bff_oldest_job_seconds": "SELECT entrypoint, "
    "extract(epoch FROM now() - min(execute_after)) FROM pgqueuer "
    "WHERE status = 'queued' AND execute_after <= now() GROUP BY 1",
    "bff_odoo_copies": "SELECT state, count(*) FROM odoo_warm GROUP BY 1",
    # A table that was never analysed has -1.
    "bff_acra_companies": "SELECT greatest(reltuples, 0) FROM pg_class "
    "WHERE oid = 'companies'::regclass",
    "bff_acra_last_run_timestamp_seconds": "SELECT extract(epoch FROM max(ended_at)) "
    "FROM acra_runs WHERE status = 'done' HAVING max(ended_at) IS NOT NULL",
}


async def survey(database: Database, standing: Standing) -> None:
    """Look once; *database* is the worker's.

    Raises:
        DatabaseUnavailable: when the database goes away.
    """
    found: dict[str, list[tuple[tuple[str, ...], float]]] = {}
    async with database.shared_transaction() as connection:
        for name, query in QUERIES.items():
            rows = await connection.fetch(query)
            found[name] = [
                (tuple(map(str, labels)), float(number)) for *labels, number in rows
            ]
    standing.note(found)


async def keep_surveying(database: Database, standing: Standing) -> None:
    """Look again and again, until cancelled."""
    while True:
        try:
            await survey(database, standing)
        except DatabaseUnavailable as error:
            log.warning("the metrics of queue and tenants grow old: %s", error)
        except Exception:
            # A worker works on, whatever its metrics lack.
            log.exception("the metrics of queue and tenants cannot be read")
        await asyncio.sleep(PAUSE)
