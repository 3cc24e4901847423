"""Know which sessions have ended, at once and on every replica.

A listener hears `session_ended` and keeps the recent ones in memory, so that a
request costs no query. While it is deaf the table is asked, at most once a second for
each session; when the table is away too, access tokens live to their own end.
"""

from __future__ import annotations

from contextlib import suppress
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
# Longer than any access token lives, so that what is forgotten has expired anyway.
REMEMBER = LONGEST_ACCESS + 300.0
ASK_AGAIN = 1.0
CLEAN_AT = 10_000


class Cuttable(Protocol):
    """Anything live that ends with its session."""

    def cut(self) -> None:
        """Break it now; harmless when it is over already."""


class EndedSessions:
    """Remember ended sessions, and cut what still lives of them."""

    def __init__(
        self, database: Database, listener: Listener, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._listener = listener
        self._clock = clock
        listener.on(CHANNEL, self._heard)
        listener.on_connect(self._catch_up)
        self._ended: dict[UUID, float] = {}
        self._asked: dict[UUID, float] = {}
        self._live: dict[UUID, set[Cuttable]] = {}

    async def is_ended(self, sid: UUID) -> bool:
        """Tell whether *sid* has ended."""
        if sid in self._ended:
            return True
        if self._listener.hears:
            return False
        now = self._clock()
        if now - self._asked.get(sid, float("-inf")) < ASK_AGAIN:
            return False
        # Noted before: a database that hangs is not asked by every request either.
        self._asked[sid] = now
        self._tidy()
        try:
            async with self._database.shared_transaction() as connection:
                found = await connection.fetchval(
                    "SELECT 1 FROM ended_session WHERE sid = $1", sid
                )
        except DatabaseUnavailable:
            return False
        if found:
            self.end(sid)
        return bool(found)

    def add(self, sid: UUID, live: Cuttable) -> None:
        """Cut *live* when *sid* ends; at once if it has."""
        if sid in self._ended:
            live.cut()
            return
        self._live.setdefault(sid, set()).add(live)

    def discard(self, sid: UUID, live: Cuttable) -> None:
        """Forget *live*: it ended by itself."""
        remaining = self._live.get(sid)
        if remaining is not None:
            remaining.discard(live)
            if not remaining:
                del self._live[sid]

    def count(self, sid: UUID) -> int:
        """Return how much is live of *sid*."""
        return len(self._live.get(sid, ()))

    def end(self, sid: UUID) -> None:
        """Take note of an ended session and cut what lives of it."""
        now = self._clock()
        self._ended[sid] = now
        for live in list(self._live.pop(sid, ())):
            live.cut()

    def forget_old(self) -> None:
        """Drop what has been ended for longer than any token lives."""
        oldest = self._clock() - REMEMBER
        self._ended = {sid: at for sid, at in self._ended.items() if at > oldest}
        self._asked = {
            sid: at for sid, at in self._asked.items() if at > self._clock() - ASK_AGAIN
        }

    def _heard(self, payload: str) -> None:
        with suppress(ValueError):
            self.end(UUID(payload))
        self._tidy()

    def _tidy(self) -> None:
        if len(self._ended) + len(self._asked) > CLEAN_AT:
            self.forget_old()

    async def _catch_up(self, connection: asyncpg.Connection) -> None:
        for row in await connection.fetch(
            "SELECT sid FROM ended_session "
            "WHERE ended_at > now() - make_interval(secs => $1)",
            REMEMBER,
        ):
            self.end(row["sid"])


ENDED = web.AppKey("ended", EndedSessions)
