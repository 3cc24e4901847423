"""List a tenant's members, change their roles, remove them.

Whoever loses a role or their place loses the sessions made of it in the same
transaction: nobody goes on with what they had. One tenant's changes happen one after
another, so that two admins cannot remove each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from bff.audit import SYSTEM, Actor, is_storable, record
from bff.errors import NotFound
from bff.errors_access import RoleMissing, SessionEnded
from bff.errors_workspace import LastAdmin
from bff.sessions.ending import end_of_member
from bff.sessions.locks import hold_person
from bff.tenancy.membership import ranked

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from bff.database import Database
    from bff.sessions.session import AccessTicket

NOT_YOURS_TO_GIVE = (
    "Your own role comes from the identity provider, so you can take roles away but "
    "not give them. Give them there."
)

# After the last one by its place in the list: a removed one keeps it.
LIST = """
SELECT sub, email, roles, created_at, removed_at FROM tenant_users
WHERE tenant_id = $1 AND iss = $2 AND ($3 OR removed_at IS NULL)
  AND ($4::text IS NULL OR (email, sub) > (
    SELECT email, sub FROM tenant_users
    WHERE tenant_id = $1 AND iss = $2 AND sub = $4))
ORDER BY email, sub LIMIT $5
"""
# What is foreign keys' stays free: others write rows of the tenant meanwhile.
LOCK = "SELECT 1 FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE"
SEE_SESSIONS = """
SELECT set_config('request.sessions_of_tenant', $1, true),
  set_config('request.user_id', $2, true)
"""
LIVES = """
SELECT 1 FROM auth_session WHERE sid = $1 AND user_id = $2 AND tenant_id = $3
  AND ended_at IS NULL AND expires_at > now()
"""
ONE = """
SELECT sub, email, roles, created_at, removed_at FROM tenant_users
WHERE tenant_id = $1 AND iss = $2 AND sub = $3 AND removed_at IS NULL
"""
OTHER_ADMINS = """
SELECT count(*) FROM tenant_users WHERE tenant_id = $1 AND iss = $2 AND sub <> $3
  AND removed_at IS NULL AND 'admin' = ANY(roles)
"""
CHANGE = """
UPDATE tenant_users
SET roles = coalesce($4, roles), removed_at = CASE WHEN $4 IS NULL THEN now() END
WHERE tenant_id = $1 AND iss = $2 AND sub = $3
RETURNING sub, email, roles, created_at, removed_at
"""


@dataclass(frozen=True, slots=True)
class Member:
    """One person's place in a tenant; *roles* are those of our own table."""

    sub: str
    email: str
    roles: tuple[str, ...]
    joined_at: datetime
    removed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Changed:
    """A member after a change, and the sessions that ended with it."""

    member: Member
    ended: tuple[UUID, ...]


class Members:
    """Read and change who belongs to a tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        tenant_id: int,
        iss: str,
        *,
        after: str | None = None,
        limit: int,
        removed: bool = False,
    ) -> list[Member]:
        """Return up to *limit* members of *iss* by e-mail, from behind *after* on.

        *after* is a member's `sub`. With *removed*, tombstones too.
        """
        if after is not None and not is_storable(after):
            return []
        async with self._database.tenant_transaction(tenant_id) as connection:
            rows = await connection.fetch(LIST, tenant_id, iss, removed, after, limit)
        return [_member(row) for row in rows]

    async def set_roles(
        self,
        admin: AccessTicket,
        tenant_id: int,
        sub: str,
        roles: tuple[str, ...],
        *,
        by: Actor = SYSTEM,
    ) -> Changed:
        """Give a member exactly *roles* and end their sessions for the tenant.

        Roles they have already change nothing and end nothing.

        Raises:
            NotFound: when *sub* is no member, or not any more.
            LastAdmin: when nobody would be left who is admin in our own table.
            RoleMissing: when *admin* is none there, and gives a role.
            SessionEnded: when the session of *admin* has ended meanwhile.
        """
        async with self._database.tenant_transaction(tenant_id) as connection:
            before = await _opened(connection, admin, tenant_id, sub)
            if roles == before.roles:
                return Changed(before, ())
            if {*roles} - {*before.roles}:
                giver = await _find(connection, tenant_id, admin.iss, admin.sub)
                if giver is None or "admin" not in giver.roles:
                    raise RoleMissing(NOT_YOURS_TO_GIVE)
            changed = await _change(connection, admin.iss, tenant_id, before, roles)
            entry = by.did(
                "member.roles_changed",
                tenant_id,
                sub,
                before=before.roles,
                roles=roles,
                email=before.email,
                sessions_ended=len(changed.ended),
            )
            await record(connection, entry)
        return changed

    async def remove(
        self, admin: AccessTicket, tenant_id: int, sub: str, *, by: Actor = SYSTEM
    ) -> Changed:
        """Leave a tombstone of a member and end their sessions for the tenant.

        Raises:
            NotFound: when *sub* is no member, or not any more.
            LastAdmin: when nobody would be left who is admin in our own table.
            SessionEnded: when the session of *admin* has ended meanwhile.
        """
        async with self._database.tenant_transaction(tenant_id) as connection:
            before = await _opened(connection, admin, tenant_id, sub)
            changed = await _change(connection, admin.iss, tenant_id, before, None)
            entry = by.did(
                "member.removed",
                tenant_id,
                sub,
                roles=before.roles,
                email=before.email,
                sessions_ended=len(changed.ended),
            )
            await record(connection, entry)
        return changed


async def _opened(
    connection: asyncpg.pool.PoolConnectionProxy,
    admin: AccessTicket,
    tenant_id: int,
    sub: str,
) -> Member:
    """Wait for a tenant's other changes and return *sub* as they have left them.

    The session that asks must have outlived them, in this tenant: else its roles are of
    before, or of elsewhere.
    """
    await connection.execute(LOCK, tenant_id)
    await connection.execute(SEE_SESSIONS, str(tenant_id), admin.user_id)
    if not await connection.fetchval(LIVES, admin.sid, admin.user_id, tenant_id):
        raise SessionEnded
    # Before their membership: who writes a session locks in the same order.
    await hold_person(connection, f"{admin.iss} {sub}")
    found = await _find(connection, tenant_id, admin.iss, sub)
    if found is None:
        raise NotFound
    return found


async def _find(
    connection: asyncpg.pool.PoolConnectionProxy, tenant_id: int, iss: str, sub: str
) -> Member | None:
    if not is_storable(sub):
        return None
    row = await connection.fetchrow(ONE, tenant_id, iss, sub)
    return None if row is None else _member(row)


async def _change(
    connection: asyncpg.pool.PoolConnectionProxy,
    iss: str,
    tenant_id: int,
    before: Member,
    roles: tuple[str, ...] | None,
) -> Changed:
    """Write *roles*, or a tombstone for None, and end what was made of those before."""
    sub = before.sub
    loses_admin = "admin" in before.roles and "admin" not in (roles or ())
    if loses_admin and not await connection.fetchval(OTHER_ADMINS, tenant_id, iss, sub):
        raise LastAdmin
    stored = None if roles is None else list(roles)
    # The membership first: who writes a session holds it in the same order.
    (row,) = await connection.fetch(CHANGE, tenant_id, iss, sub, stored)
    reason = "removed" if roles is None else "roles_changed"
    ended = await end_of_member(connection, tenant_id, iss, sub, reason)
    return Changed(_member(row), tuple(one["sid"] for one in ended))


def _member(row: asyncpg.Record) -> Member:
    return Member(
        sub=row["sub"],
        email=row["email"],
        roles=ranked(row["roles"]),
        joined_at=row["created_at"],
        removed_at=row["removed_at"],
    )


MEMBERS = web.AppKey("members", Members)
