"""Read memberships, and make those that a claim asks for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from bff.audit import SYSTEM, is_storable, record
from bff.database import set_tenant
from bff.errors_access import TenantSuspended
from bff.sessions.session import Seat
from bff.tenancy.membership import Membership, Policy, choose, seated

if TYPE_CHECKING:
    import asyncpg

    from bff.database import Database
    from bff.identity.messages import Person
    from bff.sessions.store import Row

log = logging.getLogger(__name__)

MEMBERSHIPS = """
SELECT tenant_id, roles, removed_at IS NOT NULL AS removed FROM tenant_users
WHERE user_id = $1 ORDER BY created_at, tenant_id
"""
# Of so many tenants a person is told the names.
MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant that a person may switch to, and in which roles."""

    tenant_id: int
    name: str
    roles: tuple[str, ...]


class Tenancy:
    """Resolve the tenant of a person."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy

    async def resolve(self, person: Person, row: Row | None = None) -> Seat:
        """Return the tenant and roles of *person*, whose session so far is *row*.

        A tenant that is suspended is nobody's: the next one of theirs is taken.
        """
        policy, suspended = self._policy, False
        memberships = await self.memberships(person.user_id)
        while True:
            choice = choose(
                person,
                memberships,
                policy=policy,
                current=row.tenant_id if row else None,
                chosen=row.tenant_chosen if row else False,
            )
            if choice.tenant_id is None:
                return Seat(None, suspended=suspended)
            if choice.join and not await self._join(person, choice.tenant_id):
                log.warning("a claim names a tenant that does not exist")
                policy, memberships = "ignore", await self.memberships(person.user_id)
                continue
            if await self._is_active(choice.tenant_id):
                return Seat(choice.tenant_id, choice.roles, choice.stored)
            suspended = True
            closed = Membership(choice.tenant_id, (), removed=True)
            others = (m for m in memberships if m.tenant_id != choice.tenant_id)
            memberships = [*others, closed]

    async def seat_in(self, person: Person, tenant_id: int) -> Seat | None:
        """Return the place of *person* in *tenant_id*, None for who is no member.

        Raises:
            TenantSuspended: when they are one, and the tenant is suspended.
        """
        for membership in await self.memberships(person.user_id):
            if membership.tenant_id == tenant_id and not membership.removed:
                if not await self._is_active(tenant_id):
                    raise TenantSuspended
                choice = seated(person, membership, self._policy)
                return Seat(tenant_id, choice.roles, choice.stored)
        return None

    async def workspaces(self, person: Person) -> list[Workspace]:
        """Return the tenants that *person* may switch to, by name; a hundred at most.

        Each name is read as its tenant's: nobody sees a tenant by being a person.
        """
        found = []
        async with self._database.user_transaction(person.user_id) as connection:
            rows = await connection.fetch(MEMBERSHIPS, person.user_id)
            active = [one for one in map(_membership, rows) if not one.removed]
            for membership in active[:MOST_NAMED]:
                tenant_id = membership.tenant_id
                await set_tenant(connection, tenant_id)
                name = await connection.fetchval(
                    "SELECT name FROM tenants "
                    "WHERE tenant_id = $1 AND status = 'active'",
                    tenant_id,
                )
                if name is None:
                    continue
                roles = seated(person, membership, self._policy).roles
                found.append(Workspace(tenant_id, name, roles))
        return sorted(found, key=lambda one: (one.name.casefold(), one.tenant_id))

    async def memberships(self, user_id: str) -> list[Membership]:
        """Return all memberships of a person, removed ones too, oldest first."""
        async with self._database.user_transaction(user_id) as connection:
            rows = await connection.fetch(MEMBERSHIPS, user_id)
        return [_membership(row) for row in rows]

    async def has_known(self, tenant_id: int, iss: str, sub: str) -> bool:
        """Tell whether somebody is a member of a tenant, or was."""
        if not is_storable(sub):
            return False
        async with self._database.tenant_transaction(tenant_id) as connection:
            found = await connection.fetchval(
                "SELECT 1 FROM tenant_users "
                "WHERE tenant_id = $1 AND iss = $2 AND sub = $3",
                tenant_id,
                iss,
                sub,
            )
        return found is not None

    async def status(self, tenant_id: int | None) -> str:
        """Return the onboarding status of a tenant, `none` before it began."""
        if tenant_id is None:
            return "none"
        async with self._database.tenant_transaction(tenant_id) as connection:
            found = await connection.fetchval(
                "SELECT status FROM onboarding WHERE tenant_id = $1", tenant_id
            )
        return str(found or "none")

    async def _is_active(self, tenant_id: int) -> bool:
        async with self._database.tenant_transaction(tenant_id) as connection:
            found = await connection.fetchval(
                "SELECT status = 'active' FROM tenants WHERE tenant_id = $1", tenant_id
            )
        return bool(found)

    async def _join(self, person: Person, tenant_id: int) -> bool:
        async with self._database.tenant_transaction(tenant_id) as connection:
            # A claimed id must exist already: ids are ours to give. Suspended ones are
            # joined, too: later requests see no claim, and whoever had no row would
            # be let found another workspace instead.
            if not await connection.fetchval(
                "SELECT 1 FROM tenants WHERE tenant_id = $1", tenant_id
            ):
                return False
            joined = await connection.fetchval(
                # As a viewer: a claim's roles are united anew each time, so that
                # taking them away at the provider takes effect.
                "INSERT INTO tenant_users (tenant_id, iss, sub, email) "
                "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING true",
                tenant_id,
                person.iss,
                person.sub,
                person.email,
            )
            if joined:
                entry = SYSTEM.did(
                    "member.joined", tenant_id, person.sub, email=person.email
                )
                await record(connection, entry)
        return True


def _membership(row: asyncpg.Record) -> Membership:
    return Membership(row["tenant_id"], tuple(row["roles"]), row["removed"])


TENANCY = web.AppKey("tenancy", Tenancy)
