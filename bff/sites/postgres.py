"""Connect to Odoo's PostgreSQL, and word its errors as the library does."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

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
            connection = await asyncpg.connect(
                url, timeout=CONNECT_SECONDS, command_timeout=DUPLICATE_SECONDS
            )
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
