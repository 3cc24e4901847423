"""Ended sessions are remembered, and forgotten a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import UUID

from bff.sessions.revocation import AT_ONCE, REMEMBER, EndedSessions
from tests.bff.lanes import Deaf

if TYPE_CHECKING:
    from bff.database import Database
    from bff.listener import Listener

MANY = 30_000


def sid(number: int) -> UUID:
    return UUID(int=number + 1)


async def test_hearing_of_one_more_never_walks_through_all() -> None:
    now = 0.0
    ended = EndedSessions(cast("Database", None), cast("Listener", Deaf()), lambda: now)
    for number in range(MANY):
        ended._heard(str(sid(number)), replaced=number % 2 == 0)
    kept = ended._ended
    assert len(kept) == MANY
    now = REMEMBER + 1
    ended._heard(str(sid(MANY)))
    assert ended._ended is kept, "it is not built anew"
    assert len(kept) == MANY + 1 - AT_ONCE, "a few are forgotten, never all at once"
    for number in range(MANY // AT_ONCE + 1):
        ended._heard(str(sid(MANY + 1 + number)))
    assert not ended.was_replaced(sid(0))
    assert await ended.is_ended(sid(0)) is False
    assert await ended.is_ended(sid(MANY)) is True


async def test_what_is_heard_of_again_is_remembered_from_then_on() -> None:
    now = 0.0
    ended = EndedSessions(cast("Database", None), cast("Listener", Deaf()), lambda: now)
    ended.end(sid(1))
    ended.end(sid(2))
    now = REMEMBER
    ended.end(sid(1))
    now = REMEMBER + 1
    ended.forget_old()
    assert await ended.is_ended(sid(1)) is True
    assert await ended.is_ended(sid(2)) is False
