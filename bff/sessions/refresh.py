"""Bring a session to its next generation of tokens exactly once.

In a process, requests with the same tickets share one flight, which no browser's
leaving can cancel. Across replicas a lease on the row decides who asks the provider;
nobody holds a database connection meanwhile. The others take the successor.

A lease is short and renewed by its holder while it asks: a killed process stands in
the way for seconds, a slow provider may take its time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import asynccontextmanager
from functools import partial
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
from bff.sessions.flights import Flights, StillFlying
from bff.sessions.session import AccessTicket, Pair, RefreshTicket, Seat, new_pair
from bff.sessions.standing import TRIES, MembershipChanged

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable

    from bff.identity.messages import Tokens
    from bff.identity.provider import Provider
    from bff.sessions.store import Row, SessionStore

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.05, 0.5
# Seconds that a lease lasts without its holder, and between two of its renewals.
LEASE, PULSE = 10.0, 2.5
# Who can go on with the old token waits no longer for the new one.
WHILE_ALIVE = 1.0
# Once the provider has answered, its tokens are the only ones that count: a database
# or a key server that is away is asked again for a minute.
INSIST = (0.1, 0.5, *(1.0,) * 59)
Resolve = Callable[[Person, "Row"], "Awaitable[Seat]"]


T = TypeVar("T")


class RefreshRefused(Exception):
    """Tell that the session has no next generation: it is over."""


class RefreshReplaced(Exception):
    """Tell that the session is over because another took its place."""


class RefreshStale(Exception):
    """Tell that the tickets are too old to be helped; the session itself lives."""


class RefreshUnavailable(Exception):
    """Tell that nobody can say now; the cookies stay as they are."""


class RefreshLate(RefreshUnavailable):
    """Tell that the caller's patience ended first; the result may come."""


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
        # Enough for a dead holder's lease to end, or the provider's limit, and more.
        self._patience = max(provider.auth.timeout, LEASE) + 5
        self.flights: Flights[Pair] = Flights()

    async def next(
        self,
        access: AccessTicket,
        refresh: RefreshTicket,
        *,
        patience: float | None = None,
    ) -> Pair:
        """Return the generation after these tickets, within *patience* seconds.

        Raises:
            RefreshRefused: when the session is over, here or at the provider.
            RefreshReplaced: when it is, because its browser has another one.
            RefreshStale: when the tickets are two or more generations behind.
            RefreshLate: when it takes longer than *patience*.
            RefreshUnavailable: when the provider or the database cannot be asked, or
                takes too long; what it answers later is kept as the successor.
        """
        try:
            return await self.flights.join(
                (refresh.sid, refresh.gen),
                lambda: self._fly(access, refresh),
                patience=self._patience if patience is None else patience,
                longest=self._patience,
            )
        except StillFlying as error:
            raise RefreshLate("the renewal takes too long") from error

    async def _fly(self, access: AccessTicket, refresh: RefreshTicket) -> Pair:
        owner = uuid4()
        give_up = self._clock() + self._patience
        wait = FIRST_WAIT
        while True:
            user, sid, gen = access.user_id, refresh.sid, refresh.gen
            try:
                row = await self._store.lease(user, sid, gen, owner, LEASE)
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
        if row is None:
            raise RefreshRefused
        # Of one that has ended: a renewal has just moved it to another tenant.
        if row.gen == gen + 1 and row.successor is not None:
            return row.successor
        if row.ended:
            raise RefreshReplaced if row.replaced else RefreshRefused
        if row.gen == gen:
            return None
        raise RefreshStale

    async def _ask(
        self, access: AccessTicket, refresh: RefreshTicket, row: Row, owner: UUID
    ) -> Pair:
        user = access.user_id
        try:
            async with self._kept(user, refresh.sid, owner):
                tokens, person = await self._exchange(access, refresh)
                seat_of = partial(self._resolve, person, row)
                make = partial(self._next, access, refresh, tokens, person)
                publish = partial(self._store.publish, user, refresh.sid, owner)
                pair = await self._publish(seat_of, make, publish)
        except TokenRefused as error:
            if error.refusal is Refusal.SESSION_OVER:
                return await self._refused(access, refresh)
            await self._store.release(user, refresh.sid, owner)
            raise RefreshUnavailable from error
        except ProviderUnavailable as error:
            await self._store.release(user, refresh.sid, owner)
            raise RefreshUnavailable from error
        except ForeignToken as error:
            # What came back is not this person's: nothing of it may be used.
            log.warning("a refreshed token is somebody else's")
            await self._store.end(access.user_id, refresh.sid, "foreign_token")
            raise RefreshRefused from error
        except (SignatureRefused, ClaimsRefused) as error:
            # A clock, a key or a mapper is wrong: no fault of the person's session.
            log.warning("a refreshed token was refused: %s", error)
            await self._store.release(user, refresh.sid, owner)
            raise RefreshUnavailable from error
        if pair is None:
            row_now = await self._store.look(user, refresh.sid)
            successor = self._judge(row_now, refresh.gen)
            if successor is None:
                raise RefreshUnavailable("the lease was lost while asking")
            return successor
        return pair

    @asynccontextmanager
    async def _kept(self, user_id: str, sid: UUID, owner: UUID) -> AsyncGenerator[None]:
        """Keep the lease for as long as the context is open."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(PULSE)
                try:
                    await self._store.extend(user_id, sid, owner, LEASE)
                except DatabaseUnavailable:
                    continue
                except Exception:
                    # Whatever it was: without a pulse another asks the provider too.
                    log.exception("a lease could not be kept, and is tried again")

        renewing = asyncio.ensure_future(renew())
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})

    async def _exchange(
        self, access: AccessTicket, refresh: RefreshTicket
    ) -> tuple[Tokens, Person]:
        tokens = await self._provider.refresh(refresh.refresh_token)
        person = await _insisted(
            lambda: self._provider.verify_access(tokens.access_token)
        )
        if person.user_id != access.user_id:
            raise ForeignToken
        return tokens, person

    async def _publish(
        self,
        seat_of: Callable[[], Awaitable[Seat]],
        make: Callable[[Seat], Pair],
        publish: Callable[[Pair, Seat], Awaitable[Pair | None]],
    ) -> Pair | None:
        """Store the next generation and return it; None when it does not count."""
        for _ in range(TRIES):
            seat = await _insisted(seat_of)
            published = partial(publish, make(seat), seat)
            try:
                return await _insisted(published)
            except MembershipChanged:
                continue  # between reading and writing: what it is now decides
        raise RefreshUnavailable("the membership changes all the time")

    def _next(
        self,
        access: AccessTicket,
        refresh: RefreshTicket,
        tokens: Tokens,
        person: Person,
        seat: Seat,
    ) -> Pair:
        return new_pair(
            sid=refresh.sid,
            gen=refresh.gen + 1,
            person=person,
            tokens=tokens,
            tenant_id=seat.tenant_id,
            roles=seat.roles,
            session_exp=access.session_exp,
            now=self._clock(),
            sso=access.sso,
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
    """Return what *act* returns, trying again while what it needs is away."""
    for pause in INSIST:
        try:
            return await act()
        except (DatabaseUnavailable, ProviderUnavailable):
            await asyncio.sleep(pause)
    return await act()
