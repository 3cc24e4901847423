"""Read and make memberships."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiohttp import web

from bff.tenancy.membership import Membership, Policy, choose

if TYPE_CHECKING:
    from bff.database import Database
    from bff.identity.messages import Person
    from bff.sessions.store import Row

log = logging.getLogger(__name__)


class Tenancy:
    """Resolve the tenant of a person."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy

    async def resolve(
        self, person: Person, row: Row | None = None
    ) -> tuple[int | None, tuple[str, ...]]:
        """Return the tenant and roles of *person*, whose session so far is *row*."""
        current = row.tenant_id if row else None
        chosen = row.tenant_chosen if row else False
        choice = choose(
            person,
            await self.memberships(person.user_id),
            policy=self._policy,
            current=current,
            chosen=chosen,
        )
        if choice.tenant_id is not None and choice.join:
            if await self._join(person, choice.tenant_id):
                return choice.tenant_id, choice.roles
            log.warning("a claim names a tenant that does not exist")
            without = choose(
                person,
                await self.memberships(person.user_id),
                policy="ignore",
                current=current,
                chosen=chosen,
            )
            return without.tenant_id, without.roles
        return choice.tenant_id, choice.roles

    async def memberships(self, user_id: str) -> list[Membership]:
        """Return all memberships of a person, removed ones too, oldest first."""
        async with self._database.user_transaction(user_id) as connection:
            rows = await connection.fetch(
                "SELECT tenant_id, roles, removed_at IS NOT NULL AS removed "
                "FROM tenant_users WHERE user_id = $1 ORDER BY created_at, tenant_id",
                user_id,
            )
        return [
            Membership(row["tenant_id"], tuple(row["roles"]), row["removed"])
            for row in rows
        ]

    async def has_known(self, tenant_id: int, iss: str, sub: str) -> bool:
        """Tell whether somebody is a member of a tenant, or was."""
        if "\0" in sub:
            return False  # which PostgreSQL would not take
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

    async def _join(self, person: Person, tenant_id: int) -> bool:
        async with self._database.tenant_transaction(tenant_id) as connection:
            # A claimed id must exist already: ids are ours to give.
            if not await connection.fetchval(
                "SELECT 1 FROM tenants WHERE tenant_id = $1", tenant_id
            ):
                return False
            await connection.execute(
                # As a viewer: a claim's roles are united anew each time, so that
                # taking them away at the provider takes effect.
                "INSERT INTO tenant_users (tenant_id, iss, sub, email) "
                "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                tenant_id,
                person.iss,
                person.sub,
                person.email,
            )
        return True


TENANCY = web.AppKey("tenancy", Tenancy)
