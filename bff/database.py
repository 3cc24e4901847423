"""Hand out database transactions that know whose rows they may see.

There is no other door to a connection: a tenant or a user is set, transaction-local,
before any statement of the caller runs, and a failure to set it fails the request.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import asyncpg
from aiohttp import web

from bff import tracing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ACQUIRE_TIMEOUT = 5.0
# A server that does not even begin a transaction by then is frozen or cut off: nobody
# waits for it as long as a statement may take.
BEGIN_TIMEOUT = 3.0
# A caller that is told to stop does not wait longer for the statement's cancelling.
CANCEL_TIMEOUT = 1.0
# Seconds that connections get to be given back and closed at the end.
CLOSE_TIMEOUT = 5.0
# What a span says of a transaction, and no more: no statement, no value.
POSTGRESQL = {"db.system.name": "postgresql"}
# How asyncpg says that the server is away, stopping, full, or silent too long.
LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
)
# How PostgreSQL says that two stood in each other's way, and that one may try again.
COLLIDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
# Whatever keeps a connection from being made: a wrong password, a missing database.
NO_CONNECTION = (*LOST, asyncpg.PostgresError)


class DatabaseUnavailable(Exception):
    """Tell that PostgreSQL cannot be reached or has no connection left for us."""


class DatabaseConflict(DatabaseUnavailable):
    """Tell that a transaction was given up for another's sake: try it again."""


class Database:
    """Hold one role's connection pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @property
    def usage(self) -> tuple[int, int, int]:
        """Return connections in use, open, and open at most."""
        pool = self._pool
        size = pool.get_size()
        return size - pool.get_idle_size(), size, pool.get_max_size()

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
    async def invite_transaction(
        self, token_hash: bytes
    ) -> AsyncGenerator[asyncpg.pool.PoolConnectionProxy]:
        """Open a transaction that sees the one invitation whose token one holds.

        Raises:
            DatabaseUnavailable: when no connection can be had within 5 s.
        """
        async with self._transaction() as connection:
            await connection.execute(
                "SELECT set_config('request.invite', $1, true)", token_hash.hex()
            )
            yield connection

    @asynccontextmanager
    async def sessions_transaction(
        self, tenant_id: int
    ) -> AsyncGenerator[asyncpg.pool.PoolConnectionProxy]:
        """Open a transaction that sees the sessions acting for one tenant.

        Raises:
            DatabaseUnavailable: when no connection can be had within 5 s.
        """
        async with self._transaction() as connection:
            await connection.execute(
                "SELECT set_config('request.sessions_of_tenant', $1, true)",
                str(tenant_id),
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
        with tracing.asking("postgresql", "transaction", POSTGRESQL):
            async with self._opened() as connection:
                yield connection

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[asyncpg.pool.PoolConnectionProxy]:
        try:
            connection = await self._pool.acquire(timeout=ACQUIRE_TIMEOUT)
        except NO_CONNECTION as error:
            raise DatabaseUnavailable("no database connection") from error
        stopped = False
        try:
            try:
                async with _begun(connection):
                    yield connection
            except asyncio.CancelledError:
                stopped = True
                raise
            finally:
                await self._give_back(connection, stopped=stopped)
        except asyncpg.DataError:
            raise  # an InterfaceError too, but of a value that fits no column
        except COLLIDED as error:
            raise DatabaseConflict("another transaction was in the way") from error
        except LOST as error:
            raise DatabaseUnavailable("the database connection was lost") from error

    async def _give_back(
        self, connection: asyncpg.pool.PoolConnectionProxy, *, stopped: bool
    ) -> None:
        if not stopped:
            await self._pool.release(connection, timeout=ACQUIRE_TIMEOUT)
            return
        # Who is told to stop stops, whatever becomes of the connection.
        with suppress(*LOST):
            await self._pool.release(connection, timeout=CANCEL_TIMEOUT)


@asynccontextmanager
async def _begun(
    connection: asyncpg.pool.PoolConnectionProxy,
) -> AsyncGenerator[None]:
    """Begin a transaction, and end it without waiting for a server that is silent."""
    transaction = connection.transaction()
    try:
        async with asyncio.timeout(BEGIN_TIMEOUT):
            await transaction.start()
    except (TimeoutError, asyncio.CancelledError):
        connection.terminate()
        raise
    try:
        yield
    except TimeoutError:
        await _cut_off(connection, transaction)
        raise
    except BaseException:
        # In the middle of a statement, or to a server that is gone, there is nothing to
        # be said: giving the connection back cancels and rolls back.
        with suppress(asyncpg.InterfaceError):
            await transaction.rollback()
        raise
    else:
        await transaction.commit()


async def _cut_off(
    connection: asyncpg.pool.PoolConnectionProxy,
    transaction: asyncpg.transaction.Transaction,
) -> None:
    """Roll back what a time limit has ended, or drop a connection that is silent.

    asyncpg asks the server to stop the statement. A connection that is dropped before
    takes that back: the statement would go on there, and hold its locks.
    """
    try:
        async with asyncio.timeout(CANCEL_TIMEOUT):
            await transaction.rollback()
    except (*NO_CONNECTION, asyncio.CancelledError) as error:
        with suppress(asyncpg.InterfaceError):  # dropped already
            connection.terminate()
        if isinstance(error, asyncio.CancelledError):
            raise


async def set_tenant(
    connection: asyncpg.pool.PoolConnectionProxy, tenant_id: int | None
) -> None:
    """Let *connection*'s transaction see *tenant_id*, and no other tenant."""
    await connection.execute(
        "SELECT set_config('request.tenant_id', $1, true)",
        "" if tenant_id is None else str(tenant_id),
    )


@asynccontextmanager
async def connect(
    url: str,
    *,
    size: int = 10,
    command_timeout: float = 10.0,
    name: str = "bff",
    pooled: bool = False,
) -> AsyncGenerator[Database]:
    """Open a pool of up to *size* connections; the first is made on first use.

    *pooled* tells that each transaction may have another server connection, as behind
    PgBouncer: no statement is kept prepared, and there is no session to set back.
    """
    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        command_timeout=command_timeout,
        timeout=ACQUIRE_TIMEOUT,
        server_settings={"application_name": name},
        **(_POOLED if pooled else {}),
    )
    async with pool:
        try:
            yield Database(pool)
        finally:
            # Cut short, it terminates what will not be closed politely.
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await pool.close()


async def _leave_as_it_is(connection: asyncpg.pool.PoolConnectionProxy) -> None:
    del connection


_POOLED: dict[str, Any] = {"statement_cache_size": 0, "reset": _leave_as_it_is}
DATABASE = web.AppKey("database", Database)
