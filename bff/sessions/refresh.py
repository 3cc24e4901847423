"""Bring a session to its next generation of tokens exactly once.

In a process, requests with the same tickets share one flight, which no browser's
leaving can cancel. Across replicas a lease on the row decides who asks the provider;
nobody holds a database connection meanwhile. The others take the successor.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID, uuid4

from bff.database import DatabaseUnavailable
from bff.identity.keys import SignatureRefused
from bff.identity.messages import (
    ClaimsRefused,
    Person,
    ProviderUnavailable,
    Refusal,
    TokenRefused,
)
from bff.sessions.session import AccessTicket, Pair, RefreshTicket, new_pair

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from bff.identity.provider import Provider
    from bff.sessions.store import Row, SessionStore

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.05, 0.5
# Once the provider has answered, its tokens are the only ones that count: a database
# that has just lost a connection is asked again.
INSIST = (0.1, 0.5, 2.0)
Resolve = Callable[[Person, "Row"], "Awaitable[tuple[int | None, tuple[str, ...]]]"]


T = TypeVar("T")


class RefreshRefused(Exception):
    """Tell that the session has no next generation: it is over."""


class RefreshStale(Exception):
    """Tell that the tickets are too old to be helped; the session itself lives."""


class RefreshUnavailable(Exception):
    """Tell that nobody can say now; the cookies stay as they are."""


class ForeignToken(Exception):
    """Tell that the provider answered with another person's token."""


class Refresher:
    """Renew the tokens of sessions."""

    def __init__(
        self,
        store: SessionStore,
        provider: Provider,
        resolve: Resolve,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._provider = provider
        self._resolve = resolve
        self._clock = clock
        self._patience = provider.auth.timeout + 10
        # Discovery, the grant and the keys, each within its own limit.
        self._lease = 3 * provider.auth.timeout + 5
        self._flights: dict[tuple[UUID, int], asyncio.Task[Pair]] = {}

    async def next(self, access: AccessTicket, refresh: RefreshTicket) -> Pair:
        """Return the generation after these tickets.

        Raises:
            RefreshRefused: when the session is over, here or at the provider.
            RefreshStale: when the tickets are two or more generations behind.
            RefreshUnavailable: when the provider or the database cannot be asked.
        """
        key = (refresh.sid, refresh.gen)
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.ensure_future(self._fly(access, refresh))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(flight)

    def _landed(self, key: tuple[UUID, int], flight: asyncio.Task[Pair]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # everyone who waited has it; nobody may have

    async def _fly(self, access: AccessTicket, refresh: RefreshTicket) -> Pair:
        owner = uuid4()
        give_up = self._clock() + self._patience
        wait = FIRST_WAIT
        while True:
            user, sid, gen = access.user_id, refresh.sid, refresh.gen
            try:
                row = await self._store.lease(user, sid, gen, owner, self._lease)
                if row is not None:
                    return await self._ask(access, refresh, row, owner)
                successor = self._judge(await self._store.look(user, sid), gen)
            except DatabaseUnavailable as error:
                raise RefreshUnavailable from error
            if successor is not None:
                return successor
            if self._clock() > give_up:
                raise RefreshUnavailable("another replica holds the lease too long")
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    def _judge(self, row: Row | None, gen: int) -> Pair | None:
        """Return the successor of *gen*, None while someone is still asking for it."""
        if row is None or row.ended:
            raise RefreshRefused
        if row.gen == gen:
            return None
        if row.gen == gen + 1 and row.successor is not None:
            return row.successor
        raise RefreshStale

    async def _ask(
        self, access: AccessTicket, refresh: RefreshTicket, row: Row, owner: UUID
    ) -> Pair:
        try:
            pair = await self._exchange(access, refresh, row)
        except TokenRefused as error:
            if error.refusal is Refusal.SESSION_OVER:
                return await self._refused(access, refresh)
            await self._store.release(access.user_id, refresh.sid, owner)
            raise RefreshUnavailable from error
        except ProviderUnavailable as error:
            await self._store.release(access.user_id, refresh.sid, owner)
            raise RefreshUnavailable from error
        except ForeignToken as error:
            # What came back is not this person's: nothing of it may be used.
            log.warning("a refreshed token is somebody else's")
            await self._store.end(access.user_id, refresh.sid, "foreign_token")
            raise RefreshRefused from error
        except (SignatureRefused, ClaimsRefused) as error:
            # A clock, a key or a mapper is wrong: no fault of the person's session.
            log.warning("a refreshed token was refused: %s", error)
            await self._store.release(access.user_id, refresh.sid, owner)
            raise RefreshUnavailable from error
        if not await _insisted(
            lambda: self._store.publish(access.user_id, owner, pair)
        ):
            row_now = await self._store.look(access.user_id, refresh.sid)
            successor = self._judge(row_now, refresh.gen)
            if successor is None:
                raise RefreshUnavailable("the lease was lost while asking")
            return successor
        return pair

    async def _exchange(
        self, access: AccessTicket, refresh: RefreshTicket, row: Row
    ) -> Pair:
        tokens = await self._provider.refresh(refresh.refresh_token)
        person = await self._provider.verify_access(tokens.access_token)
        if person.user_id != access.user_id:
            raise ForeignToken
        tenant_id, roles = await _insisted(lambda: self._resolve(person, row))
        return new_pair(
            sid=refresh.sid,
            gen=refresh.gen + 1,
            person=person,
            tokens=tokens,
            tenant_id=tenant_id,
            roles=roles,
            session_exp=access.session_exp,
            now=self._clock(),
        )

    async def _refused(self, access: AccessTicket, refresh: RefreshTicket) -> Pair:
        """End the session, unless someone got a successor in the meantime."""
        row = await self._store.look(access.user_id, refresh.sid)
        successor = self._judge(row, refresh.gen)
        if successor is not None:
            return successor
        await self._store.end(access.user_id, refresh.sid, "refresh_refused")
        raise RefreshRefused


async def _insisted(act: Callable[[], Awaitable[T]]) -> T:
    """Return what *act* returns, trying again while the database is away."""
    for pause in INSIST:
        try:
            return await act()
        except DatabaseUnavailable:
            await asyncio.sleep(pause)
    return await act()
