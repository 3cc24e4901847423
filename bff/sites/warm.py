"""Keep which copies of the template were made in advance, and who has claimed them.

The row comes before the copy and goes after it: no database is ever without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from bff.sites.holding import LEASE
from bff.sites.safe import Replaced

if TYPE_CHECKING:
    from bff.database import Database

# A key counts from the day that it was made: a copy is not kept for longer.
OLDEST = timedelta(days=7)
# One transaction at a time decides what is made.
LOCK = int.from_bytes(b"bffwarm1", "big")
# Whoever is being onboarded needs Odoo more. One that stands still does not count.
BUSY = """
SELECT EXISTS (SELECT FROM onboarding WHERE status NOT IN ('ready', 'error')
  AND updated_at > now() - interval '1 minute')
"""
# One that was begun and left comes first; while one is made, no other is begun.
TAKE_UP = """
UPDATE odoo_warm SET fence = fence + 1, held_until = now() + make_interval(secs => $2)
WHERE name = (SELECT name FROM odoo_warm WHERE template = $1 AND state = 'making'
  AND (held_until IS NULL OR held_until < now()) ORDER BY created_at LIMIT 1)
RETURNING name, fence
"""
BEGIN = """
INSERT INTO odoo_warm (name, template, held_until)
SELECT $3, $1, now() + make_interval(secs => $2)
WHERE EXISTS (SELECT FROM odoo_templates WHERE name = $1 AND usable)
  AND NOT EXISTS (SELECT FROM odoo_warm WHERE state = 'making' AND held_until >= now())
  AND $4 > (SELECT count(*) FROM odoo_warm
    WHERE template = $1 AND state IN ('making', 'ready'))
RETURNING name, fence
"""
CHANGE = """
UPDATE odoo_warm SET state = $3, held_until = now() + make_interval(secs => $4)
WHERE name = $1 AND fence = $2 AND state = 'making' RETURNING true
"""
# A tenant's own first: its worker may have been killed before or after the rename.
KEEP = """
UPDATE odoo_warm SET sealed = $3
WHERE name = $1 AND fence = $2 AND state = 'making' RETURNING true
"""
CLAIM = """
UPDATE odoo_warm SET state = 'claimed', tenant_id = $2 WHERE name = (
  SELECT name FROM odoo_warm WHERE (state = 'claimed' AND tenant_id = $2)
    OR (state = 'ready' AND template = $1)
  ORDER BY state = 'claimed' DESC, created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING name
"""
# Nobody's any more: of a template that is not in use, too old, more than are wanted, or
# claimed by one whose database is there without it, or will never be.
OUTDATED = """
UPDATE odoo_warm AS one SET state = 'dropping' WHERE
  (state = 'ready' AND (template <> $1 OR created_at < now() - $3::interval
    OR name NOT IN (SELECT name FROM odoo_warm
      WHERE template = $1 AND state = 'ready' ORDER BY created_at LIMIT $2)))
  OR (state = 'making' AND (template <> $1 OR $2 = 0)
    AND (held_until IS NULL OR held_until < now()))
  OR (state = 'claimed' AND NOT EXISTS (SELECT FROM odoo_connections AS its
    WHERE its.tenant_id = one.tenant_id AND NOT its.made))
"""
# All copies of a template that nobody has in hand at this moment.
RETIRED = """
UPDATE odoo_warm AS one SET state = 'dropping' WHERE template = $1 AND (state = 'ready'
  OR (state = 'making' AND (held_until IS NULL OR held_until < now()))
  OR (state = 'claimed' AND NOT EXISTS (SELECT FROM odoo_connections AS its
    WHERE its.tenant_id = one.tenant_id AND NOT its.made AND its.held_until >= now())))
"""


@dataclass(frozen=True, slots=True)
class Making:
    """A copy that we are making."""

    database: Database
    name: str
    fence: int
    lease: float

    def __str__(self) -> str:
        return self.name

    async def extend(self) -> None:
        """Hold it for a whole lease from now.

        Raises:
            Replaced: when another worker took it up.
            DatabaseUnavailable: when it cannot be told.
        """
        await self._change("making", self.lease)

    async def finish(self) -> None:
        """Let it be claimed; raises as `extend` does."""
        await self._change("ready", 0.0)

    async def let_go(self) -> None:
        """Let whoever comes next take it up at once; raises as `extend` does."""
        await self._change("making", 0.0)

    async def give_up(self) -> None:
        """Let it be dropped, whatever there is of it; raises as `extend` does."""
        await self._change("dropping", 0.0)

    async def kept(self) -> bytes:
        """Return what was kept of it; raises as `extend` does."""
        async with self.database.shared_transaction() as connection:
            row = await connection.fetchrow(
                "SELECT sealed FROM odoo_warm "
                "WHERE name = $1 AND fence = $2 AND state = 'making'",
                self.name,
                self.fence,
            )
        if row is None:
            raise Replaced
        return bytes(row["sealed"])

    async def keep(self, sealed: bytes) -> None:
        """Keep what opens it; raises as `extend` does."""
        async with self.database.shared_transaction() as connection:
            done = await connection.fetchval(KEEP, self.name, self.fence, sealed)
        if not done:
            raise Replaced

    async def _change(self, state: str, lease: float) -> None:
        async with self.database.shared_transaction() as connection:
            done = await connection.fetchval(
                CHANGE, self.name, self.fence, state, lease
            )
        if not done:
            raise Replaced


class WarmRows:
    """Read and write the rows; for the worker's role. All raise DatabaseUnavailable."""

    def __init__(self, database: Database, lease: float = LEASE) -> None:
        self._database = database
        self._lease = lease

    async def are_there(self) -> bool:
        """Tell whether there is any."""
        async with self._database.shared_transaction() as connection:
            return bool(
                await connection.fetchval("SELECT EXISTS (SELECT FROM odoo_warm)")
            )

    async def begin(self, template: str, most: int, new_name: str) -> Making | None:
        """Return a copy to make, None if there are *most*, or this is no moment for it.

        Its row is committed when this returns.
        """
        async with self._database.shared_transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            if await connection.fetchval(BUSY):
                return None
            lease = self._lease
            row = await connection.fetchrow(TAKE_UP, template, lease)
            if row is None:
                row = await connection.fetchrow(BEGIN, template, lease, new_name, most)
        if row is None:
            return None
        return Making(self._database, row["name"], row["fence"], lease)

    async def claim(self, template: str, tenant_id: int) -> str | None:
        """Return a copy that is this tenant's from now on, None if there is none.

        One that it has claimed before comes first, whichever template it was made of.
        """
        async with self._database.shared_transaction() as connection:
            name: str | None = await connection.fetchval(CLAIM, template, tenant_id)
        return name

    async def opening(self, name: str, tenant_id: int) -> bytes:
        """Return what opens one that this tenant has claimed, sealed.

        Raises:
            Replaced: when it is not this tenant's.
            DatabaseUnavailable: when it cannot be told.
        """
        async with self._database.shared_transaction() as connection:
            row = await connection.fetchrow(
                "SELECT sealed FROM odoo_warm "
                "WHERE name = $1 AND tenant_id = $2 AND state = 'claimed'",
                name,
                tenant_id,
            )
        if row is None:
            raise Replaced
        return bytes(row["sealed"])

    async def put_back(self, name: str, tenant_id: int) -> None:
        """Let others claim it, if it is this tenant's still."""
        async with self._database.shared_transaction() as connection:
            await connection.execute(
                "UPDATE odoo_warm SET state = 'ready', tenant_id = NULL "
                "WHERE name = $1 AND tenant_id = $2 AND state = 'claimed'",
                name,
                tenant_id,
            )

    async def use_up(self, name: str, tenant_id: int) -> None:
        """Delete the row of one that is this tenant's database by now."""
        async with self._database.shared_transaction() as connection:
            await connection.execute(
                "DELETE FROM odoo_warm "
                "WHERE name = $1 AND tenant_id = $2 AND state = 'claimed'",
                name,
                tenant_id,
            )

    async def give_up(self, name: str, tenant_id: int) -> None:
        """Let one that this tenant has claimed be dropped, if it is there."""
        async with self._database.shared_transaction() as connection:
            await connection.execute(
                "UPDATE odoo_warm SET state = 'dropping', tenant_id = NULL "
                "WHERE name = $1 AND tenant_id = $2 AND state = 'claimed'",
                name,
                tenant_id,
            )

    async def forget(self, name: str) -> None:
        """Delete the row of one that was dropped: no database is called so any more."""
        async with self._database.shared_transaction() as connection:
            await connection.execute(
                "DELETE FROM odoo_warm WHERE name = $1 AND state = 'dropping'", name
            )

    async def to_drop(self, template: str, most: int) -> list[str]:
        """Return those that nobody may claim any more, to be dropped."""
        async with self._database.shared_transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            await connection.execute(OUTDATED, template, most, OLDEST)
            rows = await connection.fetch(
                "SELECT name FROM odoo_warm WHERE state = 'dropping' ORDER BY name"
            )
        return [row["name"] for row in rows]

    async def retire(self, template: str) -> tuple[list[str], list[str]]:
        """Return those of a template that are to be dropped now, and those in hand."""
        async with self._database.shared_transaction() as connection:
            await connection.execute(RETIRED, template)
            rows = await connection.fetch(
                "SELECT name, state = 'dropping' AS free FROM odoo_warm "
                "WHERE template = $1 ORDER BY name",
                template,
            )
        free = [row["name"] for row in rows if row["free"]]
        return free, [row["name"] for row in rows if not row["free"]]
