"""Invite people into a tenant by a link that works once.

Only the hash of a link's token is kept. Whoever redeems it becomes a member, or gets
its roles beside those they have.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from bff.audit import SYSTEM, Actor, record
from bff.database import set_tenant
from bff.errors_access import RoleMissing, TenantSuspended
from bff.errors_workspace import InviteForAnother, InviteNotFound, InvitesFull
from bff.sessions.standing import ACTIVE
from bff.tenancy.members import LOCK
from bff.tenancy.membership import ranked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from bff.database import Database

DAYS = 7
# So many can be open at once, and all of them are listed.
MOST_OPEN = 500
ONLY_VIEWERS = (
    "Your own role comes from the identity provider, so you can invite viewers only. "
    "Give other roles there."
)

# Who made an invitation that is no member's: the operator, by `bff tenants`.
OPERATOR = ""

# A role that comes by a claim is not ours to pass on: when the provider takes it away,
# nobody tells us.
CREATE = """
INSERT INTO tenant_invites (tenant_id, token_hash, email, roles, created_by, expires_at)
SELECT tenant_id, $3, $4, $5, user_id, now() + make_interval(days => $6)
FROM tenant_users WHERE tenant_id = $1 AND user_id = $2 AND removed_at IS NULL
  AND ($5::text[] <@ '{viewer}' OR 'admin' = ANY(roles))
RETURNING invite_id, expires_at
"""
# Of two at once the second waits for the first here, and then finds it redeemed. What
# a removed member has left behind opens nothing, not even once they are back, nor does
# more than a viewer's what an admin of before has left; and nobody raises their own
# roles. An operator's is no member's.
SPEND = """
UPDATE tenant_invites AS invite SET redeemed_at = now(), redeemed_by = $2
WHERE token_hash = $1 AND redeemed_at IS NULL AND expires_at > now()
  AND created_by <> $2
  AND (created_by = '' OR EXISTS (
    SELECT 1 FROM tenant_users AS inviter
    WHERE inviter.tenant_id = invite.tenant_id AND inviter.user_id = invite.created_by
      AND inviter.removed_at IS NULL AND inviter.created_at <= invite.created_at
      AND (invite.roles <@ '{viewer}' OR 'admin' = ANY(inviter.roles))))
RETURNING invite_id, roles, created_at
"""
# A removed person comes back by an invitation made since: an admin wanted them back.
# Their roles of before do not come with them. Who was a member all along was so before
# this transaction began.
JOIN = """
INSERT INTO tenant_users AS member (tenant_id, iss, sub, email, roles)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, iss, sub) DO UPDATE SET
  email = excluded.email,
  roles = CASE WHEN member.removed_at IS NULL
    THEN ARRAY(SELECT DISTINCT unnest(member.roles || excluded.roles))
    ELSE excluded.roles END,
  created_at = CASE WHEN member.removed_at IS NULL THEN member.created_at
    ELSE now() END,
  removed_at = NULL
WHERE member.removed_at IS NULL OR member.removed_at < $6
RETURNING roles, created_at <> now() AS stayed
"""
COUNT_OPEN = """
SELECT count(*) FROM tenant_invites
WHERE tenant_id = $1 AND redeemed_at IS NULL AND expires_at > now()
"""
OPEN = """
SELECT invite_id, invite.email, invite.roles, coalesce(inviter.email, '') AS invited_by,
  invite.created_at, expires_at
FROM tenant_invites AS invite LEFT JOIN tenant_users AS inviter
  ON inviter.tenant_id = invite.tenant_id AND inviter.user_id = invite.created_by
WHERE invite.tenant_id = $1 AND redeemed_at IS NULL AND expires_at > now()
ORDER BY invite.created_at DESC, invite_id LIMIT $2
"""
# Not now(): somebody may be redeeming it in a transaction that began before.
REVOKE = """
UPDATE tenant_invites SET expires_at = created_at
WHERE tenant_id = $1 AND invite_id = $2 AND redeemed_at IS NULL AND expires_at > now()
RETURNING invite_id
"""


@dataclass(frozen=True, slots=True)
class Guest:
    """Who redeems an invitation, as the provider's token says."""

    iss: str
    sub: str
    email: str
    email_verified: bool

    @property
    def user_id(self) -> str:
        """Return the key of the person."""
        return f"{self.iss} {self.sub}"


@dataclass(frozen=True, slots=True)
class Made:
    """A new invitation."""

    invite_id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Open:
    """An invitation that can be redeemed, without its token; *email* may be empty."""

    invite_id: UUID
    email: str
    roles: tuple[str, ...]
    invited_by: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Joined:
    """A membership by invitation; *stayed* tells that it was one all along."""

    tenant_id: int
    roles: tuple[str, ...]
    stayed: bool


class Invites:
    """Make, list, revoke and redeem invitations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        tenant_id: int,
        inviter: str,
        token: str,
        *,
        email: str = "",
        roles: Sequence[str] = (),
        by: Actor = SYSTEM,
    ) -> Made:
        """Keep an invitation by *inviter*, a member.

        An *email* in lower case binds it to the person who has proven that address.

        Raises:
            RoleMissing: when the inviter is no member any more, or gives more than
                `viewer` without being an admin in our own table.
            InvitesFull: when as many are open as may be.
        """
        wanted = ranked(roles)
        async with self._database.tenant_transaction(tenant_id) as connection:
            # Counting and adding are one act, whoever else invites.
            await connection.execute(LOCK, tenant_id)
            if await connection.fetchval(COUNT_OPEN, tenant_id) >= MOST_OPEN:
                raise InvitesFull
            made = await connection.fetchrow(
                CREATE,
                tenant_id,
                inviter,
                hash_of(token),
                email,
                list(wanted),
                DAYS,
            )
            if made is not None:
                subject = str(made["invite_id"])
                entry = by.did(
                    "invite.made", tenant_id, subject, roles=wanted, email=email
                )
                await record(connection, entry)
        if made is None:
            raise RoleMissing(ONLY_VIEWERS if len(wanted) > 1 else None)
        return Made(made["invite_id"], made["expires_at"])

    async def open_of(self, tenant_id: int) -> list[Open]:
        """Return a tenant's invitations that can be redeemed, the newest first."""
        async with self._database.tenant_transaction(tenant_id) as connection:
            rows = await connection.fetch(OPEN, tenant_id, MOST_OPEN)
        return [Open(**{**row, "roles": ranked(row["roles"])}) for row in rows]

    async def revoke(
        self, tenant_id: int, invite_id: UUID, *, by: Actor = SYSTEM
    ) -> bool:
        """End an invitation; False when it could not be redeemed any more."""
        async with self._database.tenant_transaction(tenant_id) as connection:
            done = await connection.fetchval(REVOKE, tenant_id, invite_id)
            if done is not None:
                entry = by.did("invite.revoked", tenant_id, str(invite_id))
                await record(connection, entry)
        return done is not None

    async def redeem(self, token: str, guest: Guest, *, by: Actor = SYSTEM) -> Joined:
        """Make *guest* a member by the invitation of *token*, all or nothing.

        Raises:
            InviteNotFound: when it is unknown, used, too old, or opens nothing for
                this person; one answer for all.
            InviteForAnother: when it names an address that is not proven to be theirs.
            TenantSuspended: when the tenant takes nobody in.
        """
        hashed = hash_of(token)
        async with self._database.invite_transaction(hashed) as connection:
            row = await connection.fetchrow(
                "SELECT tenant_id, email FROM tenant_invites WHERE token_hash = $1 "
                "AND redeemed_at IS NULL AND expires_at > now()",
                hashed,
            )
            if row is None:
                raise InviteNotFound
            if row["email"] and not _is_proven(guest, row["email"]):
                raise InviteForAnother
            tenant_id: int = row["tenant_id"]
            await set_tenant(connection, tenant_id)
            if not await connection.fetchval(ACTIVE, tenant_id):
                raise TenantSuspended
            return await _join(connection, tenant_id, hashed, guest, by)


def hash_of(token: str) -> bytes:
    """Return what is kept of *token*."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _is_proven(guest: Guest, email: str) -> bool:
    return guest.email_verified and guest.email.strip().lower() == email


async def _join(
    connection: asyncpg.pool.PoolConnectionProxy,
    tenant_id: int,
    hashed: bytes,
    guest: Guest,
    by: Actor,
) -> Joined:
    spent = await connection.fetchrow(SPEND, hashed, guest.user_id)
    if spent is None:
        raise InviteNotFound
    joined = await connection.fetchrow(
        JOIN,
        tenant_id,
        guest.iss,
        guest.sub,
        guest.email,
        spent["roles"],
        spent["created_at"],
    )
    if joined is None:
        raise InviteNotFound  # removed after it was made; nothing is spent
    entry = by.did(
        "invite.redeemed",
        tenant_id,
        str(spent["invite_id"]),
        user=guest.sub,
        roles=ranked(spent["roles"]),
        was_member=joined["stayed"],
    )
    await record(connection, entry)
    return Joined(tenant_id, ranked(joined["roles"]), joined["stayed"])


INVITES = web.AppKey("invites", Invites)
