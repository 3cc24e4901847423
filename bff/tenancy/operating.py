"""What operators do with tenants: found, invite, suspend, delete, and look at them.

All of it by the worker's role, in a transaction of the tenant; each act is in the audit
log, by nobody of the tenant's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bff.audit import SYSTEM, record
from bff.database import set_tenant
from bff.sessions.ending import end_of_tenant
from bff.tenancy.invites import DAYS, OPERATOR, Made, hash_of
from bff.tenancy.membership import ranked

if TYPE_CHECKING:
    from datetime import datetime

    from asyncpg.pool import PoolConnectionProxy

# FOR UPDATE: who writes a session holds the row FOR KEY SHARE
# (bff/sessions/standing.py), so that none of the tenant is made until this is over.
LOCK = "SELECT status FROM tenants WHERE tenant_id = $1 FOR UPDATE"
OVERVIEW = """
SELECT tenant_id, tenants.name, tenants.status, tenants.created_at,
  coalesce(onboarding.status, 'none') AS onboarding,
  coalesce(odoo.db_name, '') AS database, odoo.key_expires_at
FROM tenants LEFT JOIN onboarding USING (tenant_id)
  LEFT JOIN odoo_connections AS odoo USING (tenant_id)
WHERE $1::bigint IS NULL OR tenant_id = $1 ORDER BY tenant_id
"""
PEOPLE = """
SELECT count(*) FILTER (WHERE removed_at IS NULL) AS members,
  count(*) FILTER (WHERE removed_at IS NULL AND 'admin' = ANY (roles)) AS admins,
  (SELECT count(*) FROM tenant_invites WHERE tenant_id = $1 AND redeemed_at IS NULL
    AND expires_at > now()) AS invites
FROM tenant_users WHERE tenant_id = $1
"""
INVITE = """
INSERT INTO tenant_invites (tenant_id, token_hash, email, roles, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + make_interval(days => $6))
RETURNING invite_id, expires_at
"""


@dataclass(frozen=True, slots=True)
class Overview:
    """A tenant in a list; *database* is Odoo's, empty where there is none."""

    tenant_id: int
    name: str
    status: str
    created_at: datetime
    onboarding: str
    database: str
    key_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class People:
    """How many a tenant has, and how many invitations are open."""

    members: int
    admins: int
    invites: int


class NoSuchTenant(Exception):
    """Tell that no tenant has this number."""

    def __init__(self, tenant_id: int) -> None:
        super().__init__(f"there is no tenant {tenant_id}")


class HasOdoo(Exception):
    """Tell that a tenant's Odoo must go first."""

    def __init__(self, database: str) -> None:
        super().__init__(f"its Odoo database {database} is still there")
        self.database = database


async def overview(
    connection: PoolConnectionProxy, tenant_id: int | None = None
) -> list[Overview]:
    """Return all tenants by number, or the one that is named if there is such."""
    return [Overview(**row) for row in await connection.fetch(OVERVIEW, tenant_id)]


async def people_of(connection: PoolConnectionProxy, tenant_id: int) -> People:
    """Count a tenant's people."""
    (row,) = await connection.fetch(PEOPLE, tenant_id)
    return People(**row)


async def found(connection: PoolConnectionProxy, name: str) -> int:
    """Make a tenant that has nobody yet, and return its number."""
    tenant_id = int(
        await connection.fetchval(
            "SELECT nextval(pg_get_serial_sequence('tenants', 'tenant_id'))"
        )
    )
    await set_tenant(connection, tenant_id)
    await connection.execute(
        "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2)", tenant_id, name
    )
    await record(connection, SYSTEM.did("tenant.founded", tenant_id, name=name))
    return tenant_id


async def invite_admin(
    connection: PoolConnectionProxy, tenant_id: int, email: str, token: str
) -> Made:
    """Keep an invitation that makes whoever has proven *email* an admin.

    It is no member's, so no member's leaving ends it. *email* is in lower case.

    Raises:
        NoSuchTenant: when there is none by this number.
    """
    await _locked(connection, tenant_id)
    roles = ranked(["admin"])
    (row,) = await connection.fetch(
        INVITE, tenant_id, hash_of(token), email, list(roles), OPERATOR, DAYS
    )
    made = Made(row["invite_id"], row["expires_at"])
    entry = SYSTEM.did(
        "invite.made", tenant_id, str(made.invite_id), roles=roles, email=email
    )
    await record(connection, entry)
    return made


async def suspend(connection: PoolConnectionProxy, tenant_id: int) -> int:
    """Keep a tenant's people out from now on; return how many sessions have ended.

    Doing it again ends what there is, and is fine.

    Raises:
        NoSuchTenant: when there is none by this number.
    """
    before = await _locked(connection, tenant_id)
    await _set_status(connection, tenant_id, "suspended")
    ended = await end_of_tenant(connection, tenant_id, "tenant_suspended")
    if before != "suspended" or ended:
        entry = SYSTEM.did("tenant.suspended", tenant_id, sessions_ended=ended)
        await record(connection, entry)
    return ended


async def resume(connection: PoolConnectionProxy, tenant_id: int) -> bool:
    """Let a tenant's people in again; False when they were not kept out.

    Raises:
        NoSuchTenant: when there is none by this number.
    """
    if await _locked(connection, tenant_id) == "active":
        return False
    await _set_status(connection, tenant_id, "active")
    await record(connection, SYSTEM.did("tenant.resumed", tenant_id))
    return True


async def delete(connection: PoolConnectionProxy, tenant_id: int) -> None:
    """Delete a tenant and all its rows; only its audit log stays.

    Raises:
        NoSuchTenant: when there is none by this number.
        HasOdoo: while it has a database; nothing is deleted then.
    """
    await _locked(connection, tenant_id)
    database = await connection.fetchval(
        "SELECT db_name FROM odoo_connections WHERE tenant_id = $1", tenant_id
    )
    if database is not None:
        raise HasOdoo(database)
    ended = await end_of_tenant(connection, tenant_id, "tenant_deleted")
    name = await connection.fetchval(
        "DELETE FROM tenants WHERE tenant_id = $1 RETURNING name", tenant_id
    )
    entry = SYSTEM.did("tenant.deleted", tenant_id, name=name, sessions_ended=ended)
    await record(connection, entry)


async def _locked(connection: PoolConnectionProxy, tenant_id: int) -> str:
    status = await connection.fetchval(LOCK, tenant_id)
    if status is None:
        raise NoSuchTenant(tenant_id)
    return str(status)


async def _set_status(
    connection: PoolConnectionProxy, tenant_id: int, status: str
) -> None:
    await connection.execute(
        "UPDATE tenants SET status = $2 WHERE tenant_id = $1", tenant_id, status
    )
