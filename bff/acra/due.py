"""Remember that something is due whenever companies have changed, until it is done.

The mark is written in the transaction of the change: whoever is killed between the two
leaves it to the next run, though nothing changes any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncpg.pool import PoolConnectionProxy

    from bff.database import Database

# Of `acra_ingest`: there while it is due. No dataset is called so.
ROW = "@due"
MARK = """
INSERT INTO acra_ingest (dataset, updated_at) VALUES ($1, clock_timestamp())
ON CONFLICT (dataset) DO UPDATE SET updated_at = clock_timestamp()
"""


class Left(Exception):
    """Say in one sentence that not all could be done: the next run tries again."""


class Outcome(Protocol):
    """What became of it."""

    @property
    def left(self) -> int:
        """How much could not be done this time."""


async def mark(connection: PoolConnectionProxy) -> None:
    """Note that companies change, in the transaction of *connection*."""
    await connection.execute(MARK, ROW)


async def catch_up(
    database: Database, afterwards: Callable[[Database], Awaitable[Outcome]]
) -> None:
    """Do *afterwards* if it is due.

    Raises:
        Left: when something of it is left; all of it stays due.
        DatabaseUnavailable: when the database goes away; then it stays due, too.
    """
    async with database.shared_transaction() as connection:
        since = await connection.fetchval(
            "SELECT updated_at FROM acra_ingest WHERE dataset = $1", ROW
        )
    if since is None:
        return
    outcome = await afterwards(database)
    if outcome.left:
        raise Left(f"{outcome.left} customer rules could not be computed anew")
    async with database.shared_transaction() as connection:
        # Companies may have changed again, if another run has taken over.
        await connection.execute(
            "DELETE FROM acra_ingest WHERE dataset = $1 AND updated_at = $2", ROW, since
        )
