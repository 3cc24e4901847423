"""Know which sessions have ended, at once and on every replica.

A listener hears `session_ended` and keeps the recent ones in memory, so that a
request costs no query. While it is deaf the table is asked, at most once a second for
each session; when the table is away too, access tokens live to their own end.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from aiohttp import web

from bff.database import DatabaseUnavailable
from bff.sessions.session import LONGEST_ACCESS

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    from bff.database import Database
    from bff.listener import Listener

CHANNEL = "session_ended"
# Announced before it in the same transaction, where another session took the place.
REPLACED = "session_replaced"
# Longer than any access token lives, so that what is forgotten has expired anyway.
REMEMBER = LONGEST_ACCESS + 300.0
ASK_AGAIN = 1.0
PATIENCE = 2.0
# So many are forgotten with each that is noted: never many at once.
AT_ONCE = 10


class Cuttable(Protocol):
    """Anything live that ends with its session."""

    def cut(self) -> None:
        """Break it now; harmless when it is over already."""


class CutTask:
    """End a handler's task when its session ends: the connection breaks."""

    def __init__(self) -> None:
        self.was_cut = False
        self._task = asyncio.current_task()

    def cut(self) -> None:
        """Cancel the handler."""
        self.was_cut = True
        if self._task is not None:
            self._task.cancel()

    def survive(self) -> None:
        """Take the cancelling back: the handler answers after all."""
        if self._task is not None:
            self._task.uncancel()


class EndedSessions:
    """Remember ended sessions, and cut what still lives of them."""

    def __init__(
        self, database: Database, listener: Listener, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._listener = listener
        self._clock = clock
        listener.on(REPLACED, lambda payload: self._heard(payload, replaced=True))
        listener.on(CHANNEL, self._heard)
        listener.on_connect(self._catch_up)
        # By `sid.int`: a UUID's own hash is computed in Python, each time. The oldest
        # first; an ordered one gives them up without looking through the others.
        self._ended: OrderedDict[int, float] = OrderedDict()
        self._replaced: set[int] = set()
        self._asked: OrderedDict[UUID, tuple[float, asyncio.Future[bool]]]
        self._asked = OrderedDict()
        self._live: dict[int, set[Cuttable]] = {}
        # When the table could last not be asked; nobody waits for it again at once.
        self._away = float("-inf")

    async def is_ended(self, sid: UUID) -> bool:
        """Tell whether *sid* has ended."""
        if sid.int in self._ended:
            return True
        if self._listener.hears:
            return False
        now, asked = self._clock(), self._asked.get(sid)
        if now - self._away < ASK_AGAIN:
            return False
        if asked is None or (asked[1].done() and now - asked[0] >= ASK_AGAIN):
            # One question for all who come meanwhile, a slow answer's time included.
            asked = (now, asyncio.ensure_future(self._ask(sid)))
            self._asked[sid] = asked
            self._asked.move_to_end(sid)
            self.forget_old()
        # Nor for one that hangs already. A browser's leaving does not cancel it.
        left = asked[0] + PATIENCE - now
        await asyncio.wait({asked[1]}, timeout=max(0.0, left))
        return asked[1].done() and asked[1].result()

    def surely_lives(self, sid: UUID) -> bool:
        """Tell, without asking anybody, that *sid* has not ended; False: ask."""
        return self._listener.hears and sid.int not in self._ended

    def was_replaced(self, sid: UUID) -> bool:
        """Tell of an ended session whether another took its place in its browser.

        The cookies there may be the other's by now: an answer must not clear them.
        """
        return sid.int in self._replaced

    async def _ask(self, sid: UUID) -> bool:
        try:
            async with (
                asyncio.timeout(PATIENCE),
                self._database.shared_transaction() as connection,
            ):
                found = await connection.fetchval(
                    "SELECT replaced FROM ended_session WHERE sid = $1", sid
                )
        except (DatabaseUnavailable, TimeoutError):
            self._away = self._clock()
            return False
        if found is not None:
            self.end(sid, replaced=found)
        return found is not None

    def add(self, sid: UUID, live: Cuttable) -> None:
        """Cut *live* when *sid* ends; at once if it has."""
        if sid.int in self._ended:
            live.cut()
            return
        self._live.setdefault(sid.int, set()).add(live)

    def discard(self, sid: UUID, live: Cuttable) -> None:
        """Forget *live*: it ended by itself."""
        remaining = self._live.get(sid.int)
        if remaining is not None:
            remaining.discard(live)
            if not remaining:
                del self._live[sid.int]

    def count(self, sid: UUID) -> int:
        """Return how much is live of *sid*."""
        return len(self._live.get(sid.int, ()))

    def end(self, sid: UUID, *, replaced: bool = False) -> None:
        """Take note of an ended session and cut what lives of it."""
        now = self._clock()
        if replaced:
            self._replaced.add(sid.int)
        self._ended[sid.int] = now
        self._ended.move_to_end(sid.int)
        for live in list(self._live.pop(sid.int, ())):
            live.cut()

    def forget_old(self) -> None:
        """Drop some of what has been ended for longer than any token lives."""
        now = self._clock()
        for key, at in list(islice(self._ended.items(), AT_ONCE)):
            if at > now - REMEMBER:
                break
            del self._ended[key]
            self._replaced.discard(key)
        for sid, (at, answer) in list(islice(self._asked.items(), AT_ONCE)):
            if at > now - ASK_AGAIN or not answer.done():
                break
            del self._asked[sid]

    def _heard(self, payload: str, *, replaced: bool = False) -> None:
        with suppress(ValueError):
            self.end(UUID(payload), replaced=replaced)
        self.forget_old()

    async def _catch_up(self, connection: asyncpg.Connection) -> None:
        for row in await connection.fetch(
            "SELECT sid, replaced FROM ended_session "
            "WHERE ended_at > now() - make_interval(secs => $1)",
            REMEMBER,
        ):
            self.end(row["sid"], replaced=row["replaced"])


ENDED = web.AppKey("ended", EndedSessions)
