"""Invite people into a tenant by a link that works once.

Only the hash of a link's token is kept. Whoever redeems it becomes a member, or gets
its roles beside those they have.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from bff.database import set_tenant
from bff.errors import InviteForAnother, InviteNotFound, RoleMissing
from bff.tenancy.membership import Membership, united

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import asyncpg

    from bff.database import Database

DAYS = 7

CREATE = """
INSERT INTO tenant_invites (tenant_id, token_hash, email, roles, created_by, expires_at)
SELECT tenant_id, $3, $4, $5, user_id, now() + make_interval(days => $6)
FROM tenant_users WHERE tenant_id = $1 AND user_id = $2 AND removed_at IS NULL
RETURNING expires_at
"""
# Of two at once the second waits for the first here, and then finds it redeemed. What
# a removed member has left behind opens nothing, and nobody raises their own roles.
SPEND = """
UPDATE tenant_invites AS invite SET redeemed_at = now(), redeemed_by = $2
WHERE token_hash = $1 AND redeemed_at IS NULL AND expires_at > now()
  AND created_by <> $2
  AND EXISTS (
    SELECT 1 FROM tenant_users AS inviter
    WHERE inviter.tenant_id = invite.tenant_id AND inviter.user_id = invite.created_by
      AND inviter.removed_at IS NULL)
RETURNING roles, created_at
"""
# A removed person comes back by an invitation made since: an admin wanted them back.
# Their roles of before do not come with them.
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
RETURNING roles
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


class Invites:
    """Make and redeem invitations."""

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
    ) -> datetime:
        """Keep an invitation by *inviter*, a member, and return when it ends.

        An *email* in lower case binds it to the person who has proven that address.

        Raises:
            RoleMissing: when the inviter is no member any more.
        """
        async with self._database.tenant_transaction(tenant_id) as connection:
            expires_at: datetime | None = await connection.fetchval(
                CREATE,
                tenant_id,
                inviter,
                hash_of(token),
                email,
                list(united(roles, ())),
                DAYS,
            )
        if expires_at is None:
            raise RoleMissing
        return expires_at

    async def redeem(self, token: str, guest: Guest) -> Membership:
        """Make *guest* a member by the invitation of *token*, all or nothing.

        Raises:
            InviteNotFound: when it is unknown, used, too old, or opens nothing for
                this person; one answer for all.
            InviteForAnother: when it names an address that is not proven to be theirs.
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
            roles = await _join(connection, tenant_id, hashed, guest)
        return Membership(tenant_id, united(roles, ()), removed=False)


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
) -> list[str]:
    spent = await connection.fetchrow(SPEND, hashed, guest.user_id)
    if spent is None:
        raise InviteNotFound
    roles: list[str] | None = await connection.fetchval(
        JOIN,
        tenant_id,
        guest.iss,
        guest.sub,
        guest.email,
        spent["roles"],
        spent["created_at"],
    )
    if roles is None:
        raise InviteNotFound  # removed after it was made; nothing is spent
    return roles


INVITES = web.AppKey("invites", Invites)
