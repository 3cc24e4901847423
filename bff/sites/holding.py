"""Let one worker at a time work on a tenant's database.

A lease in the tenant's row: whoever takes it raises the fence, and writes of older
fences change nothing. A worker that is killed loses it after ten seconds; one that was
paused finds itself replaced.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bff.database import DatabaseUnavailable
from bff.sites.safe import Replaced

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from bff.database import Database

log = logging.getLogger(__name__)

# Seconds: how long a lease lasts, how often it is extended, how long one waits for it.
# Two extensions may be missed. A call to Odoo may take longer than a lease: before each
# change there the holder asks for a whole one (`odoo.safe.Safe.still_ours`).
LEASE, EXTEND, PATIENCE, STEP = 10.0, 3.0, 20.0, 0.1


class StillHeld(Exception):
    """Tell that another worker has had the tenant in hand for too long to wait."""


class NoOdoo(Exception):
    """Tell that the tenant has no row: nothing was ever made for it."""


class Held(Protocol):
    """Something in hand, under a lease."""

    async def extend(self) -> None:
        """Hold it for a whole lease from now, or raise `Replaced`."""


@dataclass(slots=True)
class Hold:
    """A tenant in hand."""

    database: Database
    tenant_id: int
    fence: int
    lease: float

    def __str__(self) -> str:
        return f"tenant {self.tenant_id}"

    async def extend(self) -> None:
        """Hold the tenant for a whole lease from now.

        Raises:
            Replaced: when another worker took over.
            DatabaseUnavailable: when it cannot be told.
        """
        async with self.database.tenant_transaction(self.tenant_id) as connection:
            done = await connection.fetchval(
                "UPDATE odoo_connections "
                "SET held_until = now() + make_interval(secs => $3) "
                "WHERE tenant_id = $1 AND fence = $2 RETURNING true",
                self.tenant_id,
                self.fence,
                self.lease,
            )
        if not done:
            raise Replaced


@asynccontextmanager
async def holding(
    database: Database,
    tenant_id: int,
    *,
    patience: float = PATIENCE,
    lease: float = LEASE,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncGenerator[Hold]:
    """Hold a tenant for as long as the context is open.

    Raises:
        NoOdoo: when there is nothing to hold; known at once.
        StillHeld: when another worker does not let go in *patience* seconds.
        DatabaseUnavailable: when the database goes away.
    """
    hold = await _taken(database, tenant_id, patience, lease, sleep)
    try:
        async with extended(hold, lease):
            yield hold
    finally:
        with suppress(DatabaseUnavailable):  # it ends by itself
            await _let_go(hold)


@asynccontextmanager
async def extended(held: Held, lease: float) -> AsyncGenerator[None]:
    """Extend a lease again and again for as long as the context is open."""
    extending = asyncio.ensure_future(_keep(held, lease * EXTEND / LEASE))
    try:
        yield
    finally:
        extending.cancel()
        # Not awaited by itself: who is told to stop meanwhile must hear of it.
        await asyncio.wait({extending})


async def _taken(
    database: Database,
    tenant_id: int,
    patience: float,
    lease: float,
    sleep: Callable[[float], Awaitable[None]],
) -> Hold:
    waited = 0.0
    while True:
        async with database.tenant_transaction(tenant_id) as connection:
            fence = await connection.fetchval(
                "UPDATE odoo_connections SET fence = fence + 1, "
                "held_until = now() + make_interval(secs => $2) WHERE tenant_id = $1 "
                "AND (held_until IS NULL OR held_until < now()) RETURNING fence",
                tenant_id,
                lease,
            )
            if fence is None and not await connection.fetchval(
                "SELECT true FROM odoo_connections WHERE tenant_id = $1", tenant_id
            ):
                raise NoOdoo(f"tenant {tenant_id} has no Odoo")
        if fence is not None:
            return Hold(database, tenant_id, fence, lease)
        if waited >= patience:
            raise StillHeld(f"another worker has tenant {tenant_id} in hand")
        await sleep(STEP)
        waited += STEP


async def _keep(held: Held, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            await held.extend()
        except DatabaseUnavailable as error:
            # The next one may come through before the lease is over.
            log.warning("%s is not held on: %s", held, error)
        except Replaced:
            log.warning("%s was taken over", held)
            return
        except Exception:
            # Whatever it was: the lease must not end because of one bad answer.
            log.exception("%s is not held on", held)


async def _let_go(hold: Hold) -> None:
    async with hold.database.tenant_transaction(hold.tenant_id) as connection:
        await connection.execute(
            "UPDATE odoo_connections SET held_until = NULL "
            "WHERE tenant_id = $1 AND fence = $2",
            hold.tenant_id,
            hold.fence,
        )
