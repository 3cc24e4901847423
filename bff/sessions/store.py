"""Keep the row of a session: create, lease, next generation, end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bff.audit import SYSTEM, Actor, record, storable
from bff.sessions.ending import end_of_member, end_own, tell
from bff.sessions.moves import BY_CLAIM, BY_HAND, came_in, count_switch, keep_pace, move
from bff.sessions.sealing import KeyRing, Unopenable
from bff.sessions.session import (
    AccessTicket,
    DamagedTicket,
    Pair,
    Seat,
    new_sid,
    renamed,
)
from bff.sessions.standing import hold
from bff.telemetry import mark_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    import asyncpg

    from bff.database import Database
    from bff.identity.messages import Person

PURPOSE = "successor"
MAX_DEVICE = 200


@dataclass(frozen=True, slots=True)
class Row:
    """What a session's row says to a request that wants the next generation."""

    gen: int
    ended: bool
    tenant_id: int | None
    tenant_chosen: bool
    successor: Pair | None
    # Ended because another session took its place in the browser.
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a person's list of sessions."""

    sid: UUID
    device: str
    tenant_id: int | None
    created_at: datetime
    expires_at: datetime


class SessionStore:
    """Read and write session rows as the person they belong to."""

    def __init__(
        self,
        database: Database,
        ring: KeyRing,
        *,
        on_ended: Callable[[str, int], None] = lambda _reason, _count: None,
    ) -> None:
        self._database = database
        self._ring = ring
        # Told of sessions that ended: why, and how many.
        self._on_ended = on_ended

    async def create(
        self,
        pair: Pair,
        person: Person,
        seat: Seat,
        *,
        way: str,
        device: str = "",
        by: Actor = SYSTEM,
    ) -> None:
        """Write the row of a new session, begun by *way*.

        Raises:
            MembershipChanged: when *seat* is not what it was.
        """
        device = storable(device)[:MAX_DEVICE]
        async with self._database.user_transaction(person.user_id) as connection:
            await hold(connection, person.user_id, seat)
            await connection.execute(
                "INSERT INTO auth_session (sid, iss, sub, email, tenant_id, "
                "provider_sid, device, gen, expires_at) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                pair.access.sid,
                person.iss,
                person.sub,
                person.email,
                pair.access.tenant_id,
                person.provider_sid,
                device,
                pair.access.gen,
                datetime.fromtimestamp(pair.access.session_exp, UTC),
            )
            entry = by.did(
                "session.signed_in",
                seat.tenant_id,
                person.sub,
                way=way,
                device=device,
                session=mark_of(pair.access.sid),
            )
            await record(connection, entry)

    async def look(self, user_id: str, sid: UUID) -> Row | None:
        """Return the row of *sid*, None when this person has no such session."""
        async with self._database.user_transaction(user_id) as connection:
            found = await connection.fetchrow(
                # Of one that a renewal has moved, for those who wait for it only.
                "SELECT gen, tenant_id, tenant_chosen, "
                "CASE WHEN ended_at IS NULL OR ended_at > now() - interval '1 minute' "
                "THEN successor END AS successor, "
                "ended_at IS NOT NULL OR expires_at <= now() AS ended, "
                "EXISTS (SELECT FROM ended_session e "
                "WHERE e.sid = $1 AND e.replaced) AS replaced "
                "FROM auth_session WHERE sid = $1",
                sid,
            )
        return None if found is None else self._row(sid, found)

    async def lease(
        self, user_id: str, sid: UUID, gen: int, owner: UUID, seconds: float
    ) -> Row | None:
        """Become the one who asks for the generation after *gen*; None if not.

        After *seconds* anybody may take the lease over, unless it is extended.
        """
        async with self._database.user_transaction(user_id) as connection:
            found = await connection.fetchrow(
                "UPDATE auth_session SET refreshing_by = $3, "
                "refreshing_until = now() + make_interval(secs => $4) "
                "WHERE sid = $1 AND gen = $2 AND ended_at IS NULL "
                "AND expires_at > now() "
                "AND (refreshing_until IS NULL OR refreshing_until < now()) "
                "RETURNING gen, tenant_id, tenant_chosen, NULL::bytea AS successor, "
                "false AS ended, false AS replaced",
                sid,
                gen,
                owner,
                seconds,
            )
        return None if found is None else self._row(sid, found)

    async def extend(
        self, user_id: str, sid: UUID, owner: UUID, seconds: float
    ) -> None:
        """Keep *owner*'s lease for *seconds* from now, unless somebody else has it."""
        async with self._database.user_transaction(user_id) as connection:
            await connection.execute(
                "UPDATE auth_session "
                "SET refreshing_until = now() + make_interval(secs => $3) "
                "WHERE sid = $1 AND refreshing_by = $2",
                sid,
                owner,
                seconds,
            )

    async def publish(
        self, user_id: str, sid: UUID, owner: UUID, pair: Pair, seat: Seat
    ) -> Pair | None:
        """Store *pair* as the next generation of *sid* and give the lease back.

        A session that leaves a tenant by it goes on under a new id, in the pair that is
        returned: what was begun for the tenant of before ends everywhere.
        None when it ended meanwhile, or the lease went to someone else.

        Raises:
            MembershipChanged: when *seat* is not what it was; the lease stays.
        """
        access = pair.access
        async with self._database.user_transaction(user_id) as connection:
            await hold(connection, user_id, seat)
            before = await connection.fetchrow(
                "SELECT tenant_id FROM auth_session WHERE sid = $1 "
                "AND refreshing_by = $2 AND gen = $3 - 1 AND ended_at IS NULL "
                "FOR UPDATE",
                sid,
                owner,
                access.gen,
            )
            if before is None:
                return None
            if before["tenant_id"] not in {None, access.tenant_id}:
                moved = renamed(pair, new_sid())
                sealed = self._ring.seal(PURPOSE, sid.hex, moved.dump())
                done = await move(
                    connection,
                    sid,
                    access.gen - 1,
                    moved.access,
                    reason=BY_CLAIM,
                    sealed=sealed,
                )
                self._on_ended(BY_CLAIM, int(done))
                return moved if done else None
            await connection.execute(
                "UPDATE auth_session SET gen = $2, successor = $3, tenant_id = $4, "
                "email = $5, refreshing_by = NULL, refreshing_until = NULL "
                "WHERE sid = $1",
                sid,
                access.gen,
                self._ring.seal(PURPOSE, sid.hex, pair.dump()),
                access.tenant_id,
                access.email,
            )
            if access.tenant_id != before["tenant_id"]:
                await record(connection, came_in(SYSTEM, access, "renewal"))
        return pair

    async def release(self, user_id: str, sid: UUID, owner: UUID) -> None:
        """Give the lease back without a result."""
        async with self._database.user_transaction(user_id) as connection:
            await connection.execute(
                "UPDATE auth_session SET refreshing_by = NULL, refreshing_until = NULL "
                "WHERE sid = $1 AND refreshing_by = $2",
                sid,
                owner,
            )

    async def set_tenant(
        self, ticket: AccessTicket, seat: Seat, *, by: Actor = SYSTEM
    ) -> bool:
        """Note the tenant that a session without one has come to.

        False when *ticket* is not its last, or it acts for another tenant already.

        Raises:
            MembershipChanged: when *seat* is not what it was.
        """
        async with self._database.user_transaction(ticket.user_id) as connection:
            await hold(connection, ticket.user_id, seat)
            is_new = await connection.fetchval(
                "WITH before AS (SELECT sid, tenant_id FROM auth_session "
                "WHERE sid = $1 AND gen = $3 AND ended_at IS NULL "
                "AND (tenant_id IS NULL OR tenant_id = $2) FOR UPDATE) "
                "UPDATE auth_session AS session SET tenant_id = $2 FROM before "
                "WHERE session.sid = before.sid RETURNING before.tenant_id IS NULL",
                ticket.sid,
                seat.tenant_id,
                ticket.gen,
            )
            if is_new:
                at = replace(ticket, tenant_id=seat.tenant_id)
                await record(connection, came_in(by, at, "found"))
        return is_new is not None

    async def stay(self, ticket: AccessTicket, seat: Seat) -> bool:
        """Note that the tenant a session acts for was chosen by hand.

        False when it acts for another by now, has ended, or is being renewed: a
        renewal has read before that nothing was chosen.

        Raises:
            MembershipChanged: when *seat* is not what it was.
        """
        async with self._database.user_transaction(ticket.user_id) as connection:
            await hold(connection, ticket.user_id, seat)
            return bool(
                await connection.fetchval(
                    "UPDATE auth_session SET tenant_chosen = true WHERE sid = $1 "
                    "AND tenant_id = $2 AND ended_at IS NULL AND expires_at > now() "
                    "AND (tenant_chosen OR refreshing_by IS NULL) RETURNING true",
                    ticket.sid,
                    seat.tenant_id,
                )
            )

    async def acts(self, ticket: AccessTicket) -> bool:
        """Tell by its row whether a session lives and acts for its ticket's tenant."""
        async with self._database.user_transaction(ticket.user_id) as connection:
            found = await connection.fetchval(
                "SELECT 1 FROM auth_session WHERE sid = $1 AND tenant_id = $2 "
                "AND ended_at IS NULL AND expires_at > now()",
                ticket.sid,
                ticket.tenant_id,
            )
        return found is not None

    async def end(
        self,
        user_id: str,
        sid: UUID,
        reason: str,
        *,
        replaced: bool = False,
        by: Actor = SYSTEM,
    ) -> bool:
        """End one session on every replica; False when it had ended before.

        *replaced* tells that its browser has another one from now on.
        """
        async with self._database.user_transaction(user_id) as connection:
            ended = await end_own(
                connection, user_id, reason, sid=sid, replaced=replaced, by=by
            )
        self._on_ended(reason, len(ended))
        return bool(ended)

    async def end_all(
        self, user_id: str, reason: str, *, by: Actor = SYSTEM
    ) -> list[UUID]:
        """End all of a person's sessions on every replica and name them."""
        async with self._database.user_transaction(user_id) as connection:
            ended = await end_own(connection, user_id, reason, by=by)
        self._on_ended(reason, len(ended))
        return ended

    async def end_of_provider(
        self, user_id: str, provider_sid: str, reason: str, *, by: Actor = SYSTEM
    ) -> int:
        """End the sessions made under one of the provider's; count them."""
        async with self._database.user_transaction(user_id) as connection:
            ended = await end_own(
                connection, user_id, reason, provider_sid=provider_sid, by=by
            )
        self._on_ended(reason, len(ended))
        return len(ended)

    async def end_of_member(
        self, tenant_id: int, iss: str, sub: str, reason: str, *, by: Actor = SYSTEM
    ) -> list[UUID]:
        """End a person's sessions that act for one tenant, on every replica."""
        async with self._database.sessions_transaction(tenant_id) as connection:
            rows = await end_of_member(connection, tenant_id, iss, sub, reason)
            await tell(connection, rows, reason, by)
        self._on_ended(reason, len(rows))
        return [row["sid"] for row in rows]

    async def replace(
        self,
        old: AccessTicket,
        new: AccessTicket,
        seat: Seat,
        reason: str,
        *,
        by: Actor = SYSTEM,
    ) -> bool:
        """End *old* and begin *new*, with its tokens and in a tenant chosen by hand.

        False when *old* has ended, or its tokens are not the last: they are being
        renewed or have been.

        Raises:
            MembershipChanged: when *seat* is not what it was.
            RateLimited: when the person has switched too often.
        """
        async with self._database.user_transaction(old.user_id) as connection:
            await hold(connection, old.user_id, seat)
            if reason == BY_HAND:
                await keep_pace(connection, old.user_id)
            done = await move(connection, old.sid, old.gen, new, reason=reason, by=by)
            if done and reason == BY_HAND:
                await count_switch(connection, old.user_id)
        self._on_ended(reason, int(done))
        return done

    async def user_of(self, provider_sid: str) -> str | None:
        """Return whose session was made under one of the provider's, if any lives."""
        async with self._database.shared_transaction() as connection:
            await connection.execute(
                "SELECT set_config('request.provider_sid', $1, true)", provider_sid
            )
            found = await connection.fetchval(
                "SELECT user_id FROM auth_session "
                "WHERE provider_sid = $1 AND ended_at IS NULL LIMIT 1",
                provider_sid,
            )
        return None if found is None else str(found)

    async def live_of(self, user_id: str) -> list[Listed]:
        """Return a person's live sessions, the newest first."""
        async with self._database.user_transaction(user_id) as connection:
            rows = await connection.fetch(
                "SELECT sid, device, tenant_id, created_at, expires_at "
                "FROM auth_session WHERE user_id = $1 AND ended_at IS NULL "
                "AND expires_at > now() ORDER BY created_at DESC, sid",
                user_id,
            )
        return [Listed(*row.values()) for row in rows]

    def _row(self, sid: UUID, found: asyncpg.Record) -> Row:
        successor = None
        if found["successor"] is not None:
            try:
                successor = Pair.load(
                    self._ring.open(PURPOSE, sid.hex, found["successor"])
                )
            except (Unopenable, DamagedTicket, KeyError):
                # Of a key retired since, or of another release: as good as none.
                successor = None
        return Row(
            gen=found["gen"],
            ended=found["ended"],
            tenant_id=found["tenant_id"],
            tenant_chosen=found["tenant_chosen"],
            successor=successor,
            replaced=found["replaced"],
        )
