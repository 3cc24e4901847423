"""Connect to Odoo's PostgreSQL, and word its errors as the library does."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import asyncpg

from odoo import errors
from odoo.databases import DUPLICATE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping

CONNECT_SECONDS, CLOSE_SECONDS = 5, 2
# The first that fits counts.
_KINDS: Mapping[type[asyncpg.PostgresError], type[errors.Refused]] = {
    asyncpg.DuplicateDatabaseError: errors.DatabaseExists,
    # Two copies at once: PostgreSQL's own index refuses the slower one.
    asyncpg.UniqueViolationError: errors.DatabaseExists,
    asyncpg.InvalidCatalogNameError: errors.TemplateMissing,
    asyncpg.ObjectInUseError: errors.DatabaseBusy,
    asyncpg.DiskFullError: errors.NoRoom,
    asyncpg.TooManyConnectionsError: errors.DatabaseBusy,
    asyncpg.InvalidAuthorizationSpecificationError: errors.AccessDenied,
    asyncpg.InsufficientPrivilegeError: errors.AccessRefused,
}
MAY_COPY = """
SELECT rolsuper OR (rolcreatedb AND pg_has_role(current_user, $1, 'MEMBER'))
FROM pg_roles WHERE rolname = current_user
"""
UNREADABLE = "odoo.postgres_url cannot be read"
_LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
)


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[asyncpg.Connection]:
    """Connect for as long as the context is open.

    Raises:
        Unreachable: nothing was sent.
        OutcomeUnknown: it broke off; what was asked for may have happened.
        Refused: PostgreSQL refused; the subclass says what.
    """
    try:
        with _worded():
            connection = await _connected(url)
    except errors.OutcomeUnknown as error:
        raise errors.Unreachable("Odoo's PostgreSQL cannot be reached") from error
    except errors.TemplateMissing as error:
        raise errors.DatabaseUnreachable(error.name, error.detail) from error
    try:
        with _worded():
            yield connection
    finally:
        with suppress(*_LOST):
            await connection.close(timeout=CLOSE_SECONDS)


async def _connected(url: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(
            url, timeout=CONNECT_SECONDS, command_timeout=DUPLICATE_SECONDS
        )
    except ValueError:
        # Without its cause: the driver's words repeat parts of the URL.
        raise errors.Unreachable(UNREADABLE) from None


def named(url: str, database: str) -> str:
    """Return the URL of another database of the same PostgreSQL.

    Raises:
        Unreachable: the URL cannot be read.
    """
    try:
        return urlsplit(url)._replace(path=f"/{quote(database, safe='')}").geturl()
    except ValueError:
        raise errors.Unreachable(UNREADABLE) from None


async def exists(connection: asyncpg.Connection, name: str) -> bool:
    """Tell whether there is a database, also one that takes no connections."""
    query = "SELECT 1 FROM pg_database WHERE datname = $1"
    return await connection.fetchval(query, name) is not None


async def reopen(connection: asyncpg.Connection, name: str) -> bool:
    """Let a closed template be connected to and dropped; False if there is none."""
    quoted = await connection.fetchval(
        "SELECT quote_ident(datname) FROM pg_database "
        "WHERE datname = $1 AND datistemplate AND NOT datallowconn",
        name,
    )
    if quoted is None:
        return False
    flags = "IS_TEMPLATE false ALLOW_CONNECTIONS true"
    await connection.execute(f"ALTER DATABASE {quoted} {flags}")
    return True


async def close(connection: asyncpg.Connection, name: str) -> None:
    """Close again what `reopen` has opened."""
    query = "SELECT quote_ident($1)"
    quoted = await connection.fetchval(query, name)
    flags = "IS_TEMPLATE true ALLOW_CONNECTIONS false"
    await connection.execute(f"ALTER DATABASE {quoted} {flags}")


async def whose(connection: asyncpg.Connection) -> tuple[str, str]:
    """Return the name of the database we are connected to, and its owner's."""
    ((name, owner),) = await connection.fetch(
        "SELECT datname, pg_get_userbyid(datdba) FROM pg_database "
        "WHERE datname = current_database()"
    )
    return name, owner


async def may_copy_for(connection: asyncpg.Connection, owner: str) -> bool | None:
    """Tell whether we may copy databases for a role; None if there is no such role."""
    known = await connection.fetchval(
        "SELECT 1 FROM pg_roles WHERE rolname = $1", owner
    )
    if not known:
        return None
    return bool(await connection.fetchval(MAY_COPY, owner))


@contextmanager
def _worded() -> Generator[None]:
    try:
        yield
    except _LOST as error:
        # Stopped in the middle, it may have come to its end all the same.
        raise errors.OutcomeUnknown("the connection broke") from error
    except asyncpg.PostgresError as error:
        kinds = (kind for known, kind in _KINDS.items() if isinstance(error, known))
        kind = next(kinds, errors.ServerFault)
        # PostgreSQL's message alone: its details may show values.
        said = " ".join(str(error.args[0]).split())[:200]
        raise kind(type(error).__name__, said) from error
