"""Write a session only while the membership that it rests on is what it was.

Roles are read first and sealed into a ticket later. Whoever takes a role away ends the
sessions there are; one that is being made just then would escape, with the old roles.
So the membership is held while the session's row is written: either its roles have
changed before, and nothing is written, or they change after, and end the session too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from bff.database import set_tenant
from bff.errors import Unavailable
from bff.sessions.locks import hold_person

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import asyncpg

    from bff.database import Database
    from bff.sessions.session import Seat

# FOR KEY SHARE waits for whoever suspends the tenant, and stands in nobody else's way.
ACTIVE = """
SELECT 1 FROM tenants WHERE tenant_id = $1 AND status = 'active' FOR KEY SHARE
"""
# FOR SHARE waits for whoever changes the row, and lets others read it alike.
HOLD = """
SELECT roles FROM tenant_users
WHERE tenant_id = $1 AND user_id = $2 AND removed_at IS NULL FOR SHARE
"""


# Each try but the first follows a change that an admin made in between.
TRIES = 10
T = TypeVar("T")


class MembershipChanged(Exception):
    """Tell that a membership is no longer what a session's roles were made of."""


async def is_active(database: Database, tenant_id: int) -> bool:
    """Tell whether a tenant is not suspended; a suspension under way is waited for.

    Raises:
        DatabaseUnavailable: when it cannot be told.
    """
    async with database.tenant_transaction(tenant_id) as connection:
        return bool(await connection.fetchval(ACTIVE, tenant_id))


async def hold(
    connection: asyncpg.pool.PoolConnectionProxy, user_id: str, seat: Seat
) -> None:
    """Keep a person's membership as *seat* has it to the end of the transaction.

    The transaction sees the seat's tenant from then on, and nobody else writes the
    person's sessions. Call it before any row of a session is locked.

    Raises:
        MembershipChanged: when it is another by now, or gone, or its tenant suspended.
    """
    await set_tenant(connection, seat.tenant_id)
    if seat.tenant_id is not None and not await connection.fetchval(
        ACTIVE, seat.tenant_id
    ):
        raise MembershipChanged
    await hold_person(connection, user_id)
    if seat.tenant_id is None:
        return
    found = await connection.fetchval(HOLD, seat.tenant_id, user_id)
    if found is None or set(found) != set(seat.stored):
        raise MembershipChanged


async def settled(act: Callable[[], Awaitable[T]]) -> T:
    """Return what *act* returns, which reads a membership and writes a session.

    Raises:
        Unavailable: when the membership changes again and again.
    """
    for _ in range(TRIES):
        try:
            return await act()
        except MembershipChanged:
            continue  # between reading and writing: what it is now decides
    raise Unavailable
