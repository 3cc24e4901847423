"""Hand out database transactions that know whose rows they may see.

There is no other door to a connection: a tenant or a user is set, transaction-local,
before any statement of the caller runs, and a failure to set it fails the request.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ACQUIRE_TIMEOUT = 5.0
# How asyncpg says that the server is away, stopping, full, or silent too long.
LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
)
# Whatever keeps a connection from being made: a wrong password, a missing database.
NO_CONNECTION = (*LOST, asyncpg.PostgresError)


class DatabaseUnavailable(Exception):
    """Tell that PostgreSQL cannot be reached or has no connection left for us."""


class Database:
    """Hold one role's connection pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def tenant_transaction(
        self, tenant_id: int
    ) -> AsyncGenerator[asyncpg.pool.PoolConnectionProxy]:
        """Open a transaction that sees one tenant's rows.

        Raises:
            DatabaseUnavailable: when no connection can be had within 5 s.
        """
        async with self._transaction() as connection:
            await set_tenant(connection, tenant_id)
            yield connection

    @asynccontextmanager
    async def user_transaction(
        self, user_id: str
    ) -> AsyncGenerator[asyncpg.pool.PoolConnectionProxy]:
        """Open a transaction that sees one person's own rows, of whatever tenant.

        *user_id* is ``iss + " " + sub``.

        Raises:
            DatabaseUnavailable: when no connection can be had within 5 s.
        """
        async with self._transaction() as connection:
            await connection.execute(
                "SELECT set_config('request.user_id', $1, true)", user_id
            )
            yield connection

    @asynccontextmanager
    async def shared_transaction(
        self,
    ) -> AsyncGenerator[asyncpg.pool.PoolConnectionProxy]:
        """Open a transaction that sees only what belongs to nobody.

        Raises:
            DatabaseUnavailable: when no connection can be had within 5 s.
        """
        async with self._transaction() as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(
        self,
    ) -> AsyncGenerator[asyncpg.pool.PoolConnectionProxy]:
        try:
            connection = await self._pool.acquire(timeout=ACQUIRE_TIMEOUT)
        except NO_CONNECTION as error:
            raise DatabaseUnavailable("no database connection") from error
        try:
            try:
                async with connection.transaction():
                    yield connection
            finally:
                await self._pool.release(connection, timeout=ACQUIRE_TIMEOUT)
        except asyncpg.DataError:
            raise  # an InterfaceError too, but of a value that fits no column
        except LOST as error:
            raise DatabaseUnavailable("the database connection was lost") from error


async def set_tenant(
    connection: asyncpg.pool.PoolConnectionProxy, tenant_id: int
) -> None:
    """Let *connection*'s transaction see *tenant_id*, and no other tenant."""
    await connection.execute(
        "SELECT set_config('request.tenant_id', $1, true)", str(tenant_id)
    )


@asynccontextmanager
async def connect(
    url: str, *, size: int = 10, command_timeout: float = 10.0, name: str = "bff"
) -> AsyncGenerator[Database]:
    """Open a pool of up to *size* connections; the first is made on first use."""
    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        command_timeout=command_timeout,
        timeout=ACQUIRE_TIMEOUT,
        server_settings={"application_name": name},
    )
    async with pool:
        yield Database(pool)


DATABASE = web.AppKey("database", Database)
