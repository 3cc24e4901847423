"""Values at rest come under the first key, and an old one can be retired."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bff import database
from bff.sessions.reseal import PLACES, Count, by_key, reseal
from bff.sessions.sealing import KeyRing, Unopenable
from bff.sessions.store import PURPOSE, SessionStore
from tests.bff.sessions.tickets import make_pair, ring
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from bff.database import Database
    from bff.sessions.session import Pair
    from tests.databases import Databases

(PLACE,) = PLACES
OLD, BOTH, NEW = ring(1), ring(2, 1), ring(2)


@asynccontextmanager
async def worker(databases: Databases) -> AsyncGenerator[Database]:
    async with database.connect(databases.worker, size=2) as db:
        yield db


async def keep(databases: Databases, pair: Pair, sealed: bytes | None) -> None:
    access = pair.access
    async with databases.superuser() as connection:
        await connection.execute(
            "INSERT INTO auth_session (sid, iss, sub, expires_at, gen, successor) "
            "VALUES ($1, $2, $3, now() + interval '1 day', 2, $4)",
            access.sid,
            access.iss,
            access.sub,
            sealed,
        )


def seal(keys: KeyRing, pair: Pair) -> bytes:
    return keys.seal(PURPOSE, pair.access.sid.hex, pair.dump())


async def kept(databases: Databases, sid: UUID) -> bytes:
    async with databases.superuser() as connection:
        found = await connection.fetchval(
            "SELECT successor FROM auth_session WHERE sid = $1", sid
        )
    assert isinstance(found, bytes)
    return found


async def test_after_it_the_old_key_can_go(databases: Databases) -> None:
    old, new, none = (make_pair(sub=one) for one in ("alice", "bob", "carol"))
    await keep(databases, old, seal(OLD, old))
    fresh = seal(NEW, new)
    await keep(databases, new, fresh)
    await keep(databases, none, None)

    async with worker(databases) as db:
        assert await by_key(db, PLACE) == {1: 1, 2: 1}
        assert await reseal(db, BOTH, PLACE) == Count(resealed=1)
        assert await by_key(db, PLACE) == {2: 2}
        assert await reseal(db, BOTH, PLACE) == Count(), "nothing is left to do"

    opened = NEW.open(
        PURPOSE, old.access.sid.hex, await kept(databases, old.access.sid)
    )
    assert opened == old.dump()
    with pytest.raises(Unopenable):
        OLD.open(PURPOSE, old.access.sid.hex, await kept(databases, old.access.sid))
    assert await kept(databases, new.access.sid) == fresh, "what is new is left alone"


async def test_a_session_outlives_the_key_that_sealed_its_successor(
    databases: Databases,
) -> None:
    pair = make_pair(tenant_id=None)
    await keep(databases, pair, seal(OLD, pair))
    user, sid = pair.access.user_id, pair.access.sid

    async with database.connect(databases.app, size=2) as app, worker(databases) as db:

        async def successor(keys: KeyRing) -> Pair | None:
            row = await SessionStore(app, keys).look(user, sid)
            assert row is not None
            return row.successor

        assert await successor(BOTH) == pair
        assert await successor(NEW) is None, "a retired key opens nothing"
        await reseal(db, BOTH, PLACE)
        assert await successor(NEW) == pair


async def test_what_no_key_opens_is_counted_and_left(databases: Databases) -> None:
    retired, damaged, empty = (make_pair() for _ in range(3))
    await keep(databases, retired, seal(ring(9), retired))
    spoilt = seal(OLD, damaged)[:-1] + b"x"
    await keep(databases, damaged, spoilt)
    await keep(databases, empty, b"")

    async with worker(databases) as db:
        assert await reseal(db, BOTH, PLACE) == Count(unopenable=2)

    assert await kept(databases, damaged.access.sid) == spoilt


async def test_many_are_done_in_batches_and_progress_is_told(
    databases: Databases,
) -> None:
    pairs = [make_pair() for _ in range(25)]
    for pair in pairs:
        await keep(databases, pair, seal(OLD, pair))
    heard: list[int] = []

    async with worker(databases) as db:
        total = await reseal(
            db,
            BOTH,
            PLACE,
            batch=10,
            progress=lambda count: heard.append(count.resealed),
        )

    assert (total, heard) == (Count(resealed=25), [10, 20, 25])
    for pair in pairs:
        sealed = await kept(databases, pair.access.sid)
        assert NEW.open(PURPOSE, pair.access.sid.hex, sealed) == pair.dump()


async def test_a_renewal_that_comes_between_wins(databases: Databases) -> None:
    pair, newest = make_pair(), b"\x01what a renewal has just written"
    await keep(databases, pair, seal(OLD, pair))
    sid = pair.access.sid

    async with (
        worker(databases) as db,
        databases.superuser() as renewal,
        databases.superuser() as onlooker,
    ):

        async def is_waiting() -> bool:
            found = await onlooker.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                "AND usename = 'bff_worker' AND datname = current_database()"
            )
            return bool(found)

        async with renewal.transaction():
            await renewal.execute(
                "UPDATE auth_session SET successor = $2, gen = gen + 1 WHERE sid = $1",
                sid,
                newest,
            )
            resealing = asyncio.ensure_future(reseal(db, BOTH, PLACE))
            await until(is_waiting)
        assert await asyncio.wait_for(resealing, 10) == Count(changed=1)

    assert await kept(databases, sid) == newest


def test_every_place_is_named_for_the_person_who_reads_the_report() -> None:
    assert [str(place) for place in PLACES] == ["auth_session.successor"]


async def test_it_waits_for_others_holding_nothing_they_want(
    databases: Databases,
) -> None:
    pairs = sorted((make_pair() for _ in range(3)), key=lambda one: one.access.sid)
    for pair in pairs:
        await keep(databases, pair, seal(OLD, pair))
    first, *_, last = (pair.access.sid for pair in pairs)
    lock = "SELECT 1 FROM auth_session WHERE sid = $1 FOR UPDATE"

    async with databases.superuser() as ending, worker(databases) as db:

        async def waits() -> bool:
            return bool(
                await ending.fetchval("SELECT 1 FROM pg_locks WHERE NOT granted")
            )

        # Somebody ends all sessions of a person, the last first.
        async with ending.transaction():
            await ending.execute(lock, last)
            running = asyncio.ensure_future(reseal(db, BOTH, PLACE))
            await until(waits)
            await ending.execute(f"{lock} NOWAIT", first)
        assert await running == Count(resealed=3)
