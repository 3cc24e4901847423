"""Seal anew with the first key what older keys of the ring sealed at rest.

Only what lies in PostgreSQL is within reach: cookies are in browsers, and are sealed
anew at their next renewal. Running it again does what is left, and harms nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bff.sessions.sealing import Unopenable
from bff.sessions.store import PURPOSE

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncpg import Record

    from bff.database import Database
    from bff.sessions.sealing import KeyRing

BATCH = 500
# What a primary key is, as asyncpg gives it: a UUID, a number or a text.
Key = Any


@dataclass(frozen=True, slots=True)
class Place:
    """One column of sealed values: *purpose* and *name* are as `seal` was given.

    *key* is the primary key, one column. The worker's role may read and change both.
    """

    table: str
    key: str
    column: str
    purpose: str
    name: Callable[[Key], str]

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


# What sessions have sealed; `bff.cli.keys` knows the places of others, too.
PLACES = (Place("auth_session", "sid", "successor", PURPOSE, lambda sid: sid.hex),)


@dataclass(frozen=True, slots=True)
class Count:
    """What became of the values of one place, or of a batch of them."""

    resealed: int = 0
    # Written by somebody else meanwhile: whatever it is now, it is not ours to replace.
    changed: int = 0
    # Damaged, or of a key that is no longer in the ring: nobody can open these.
    unopenable: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.resealed + other.resealed,
            self.changed + other.changed,
            self.unopenable + other.unopenable,
        )


async def reseal(
    database: Database,
    ring: KeyRing,
    place: Place,
    *,
    progress: Callable[[Count], None] = lambda _: None,
    batch: int = BATCH,
) -> Count:
    """Bring all values of *place* under the first key and count them.

    *progress* hears the sum after each batch. Each value is a transaction of its own:
    who holds no second row can stand in nobody's way for good.

    Raises:
        DatabaseUnavailable: when the database goes away; what is done stays done.
    """
    total, last = Count(), None
    while True:
        rows = await _following(database, ring, place, last, batch)
        if not rows:
            return total
        total, last = total + await _batch(database, ring, place, rows), rows[-1]["key"]
        progress(total)


async def by_key(database: Database, place: Place) -> dict[int, int]:
    """Return how many values of *place* each key has sealed, by key id.

    Raises:
        DatabaseUnavailable: when the database cannot be asked.
    """
    async with database.shared_transaction() as connection:
        rows = await connection.fetch(
            f"SELECT get_byte({place.column}, 0) AS id, count(*) AS n "  # noqa: S608 - names of places
            f"FROM {place.table} WHERE length({place.column}) > 0 GROUP BY 1 ORDER BY 1"
        )
    return {row["id"]: row["n"] for row in rows}


async def _following(
    database: Database, ring: KeyRing, place: Place, last: Key | None, size: int
) -> list[Record]:
    """Return the next values of old keys after *last*, the first ones if it is None."""
    later = "" if last is None else f"AND {place.key} > $3 "
    async with database.shared_transaction() as connection:
        return await connection.fetch(
            f"SELECT {place.key} AS key, {place.column} AS sealed "  # noqa: S608 - names of places
            f"FROM {place.table} WHERE length({place.column}) > 0 "
            f"AND get_byte({place.column}, 0) <> $1 {later}"
            f"ORDER BY {place.key} LIMIT $2",
            ring.ids[0],
            size,
            *([] if last is None else [last]),
        )


async def _batch(
    database: Database, ring: KeyRing, place: Place, rows: list[Record]
) -> Count:
    """Reseal these values."""
    resealed = changed = unopenable = 0
    for row in rows:
        name, old = place.name(row["key"]), row["sealed"]
        try:
            plain = ring.open(place.purpose, name, old)
        except Unopenable:
            unopenable += 1
            continue
        new = ring.seal(place.purpose, name, plain)
        async with database.shared_transaction() as connection:
            # Only what it still is: a renewal that comes between must win.
            done = await connection.fetchval(
                f"UPDATE {place.table} SET {place.column} = $3 "  # noqa: S608 - names of places
                f"WHERE {place.key} = $1 AND {place.column} = $2 RETURNING true",
                row["key"],
                old,
                new,
            )
        resealed, changed = resealed + bool(done), changed + (not done)
    return Count(resealed, changed, unopenable)
