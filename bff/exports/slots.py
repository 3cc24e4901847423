"""Let few exports run at once, on connections that nothing else uses.

A slow reader holds its connection and its snapshot for as long as it takes: exports
have a pool of their own, and one tenant has only some of it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from bff.audit import record
from bff.errors import ShuttingDown, TooBusy
from bff.errors_workspace import TooManyExports

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from bff.audit import Entry
    from bff.config_tenancy import Exports as Settings
    from bff.database import Database
    from bff.errors import GatewayError
    from bff.exports.formats import CopyOptions

# Seconds that an export waits for others to end: small ones take turns.
PATIENCE = 5.0
# A server that sorts or waits finds out within a second that we are gone (PostgreSQL 14
# and newer); one that writes does so at once.
NOTICE_SOON = """
SELECT set_config(name, '1s', true) FROM pg_settings
WHERE name = 'client_connection_check_interval'
"""


@dataclass(slots=True)
class _Tenant:
    """What one tenant may have at once, and has."""

    free: asyncio.Semaphore
    exports: int = 0


class Exports:
    """Count the exports that run, and copy rows for them."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._free = asyncio.Semaphore(settings.pool_size)
        self._tenants: dict[int, _Tenant] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False

    @property
    def max_seconds(self) -> float:
        """Return how long an export may take, to its last byte."""
        return self._settings.max_seconds

    @property
    def running(self) -> int:
        """Return how many exports run or wait for others."""
        return sum(tenant.exports for tenant in self._tenants.values())

    async def finished(self) -> None:
        """Wait until none runs."""
        await self._idle.wait()

    @asynccontextmanager
    async def admitted(self, tenant_id: int) -> AsyncGenerator[None]:
        """Hold one of the connections for an export of *tenant_id*.

        Raises:
            ShuttingDown: when this process takes no new ones.
            TooManyExports: when the tenant has as many as it may for another 5 s.
            TooBusy: when others have all connections for so long.
        """
        if self.draining:
            raise ShuttingDown(headers={"Retry-After": "1", "Connection": "close"})
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            tenant = _Tenant(asyncio.Semaphore(self._settings.per_tenant))
            self._tenants[tenant_id] = tenant
        tenant.exports += 1
        self._idle.clear()
        try:
            async with (
                _within(PATIENCE, tenant.free, TooManyExports),
                _within(PATIENCE, self._free, TooBusy),
            ):
                yield
        finally:
            tenant.exports -= 1
            if not tenant.exports:
                del self._tenants[tenant_id]
            if not self._tenants:
                self._idle.set()

    async def copy(
        self,
        tenant_id: int,
        query: str,
        write: Callable[[bytes], Coroutine[object, object, None]],
        *,
        entry: Entry,
        options: CopyOptions,
    ) -> None:
        """Give the rows of *query*, as the tenant sees them, to *write*.

        *entry* is on the log before the first row leaves, and stays there whatever
        becomes of the rest. *write* gets whole rows; while it waits, PostgreSQL does.

        Raises:
            DatabaseUnavailable: when PostgreSQL is away, or goes away.
        """
        async with self._database.tenant_transaction(tenant_id) as connection:
            await record(connection, entry)
        async with self._database.tenant_transaction(tenant_id) as connection:
            await connection.execute(NOTICE_SOON)
            try:
                # The pool's limit for a statement is not made for this one.
                await connection.copy_from_query(
                    query,
                    output=write,
                    format="csv",
                    timeout=self.max_seconds,
                    **options,
                )
            except BaseException:
                # asyncpg 0.32 takes rows that are still on their way for the end of a
                # COPY that it cancels, and does not know any more where it stands.
                connection.terminate()
                raise


@asynccontextmanager
async def _within(
    seconds: float, free: asyncio.Semaphore, refusal: type[GatewayError]
) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(seconds):
            await free.acquire()
    except TimeoutError as error:
        raise refusal(headers={"Retry-After": "5"}) from error
    try:
        yield
    finally:
        free.release()


EXPORTS = web.AppKey("exports", Exports)
