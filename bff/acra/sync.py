"""Bring what changed in the register into `companies`, batch by batch.

A company is found by its UEN. One without a UEN is found by its name, where no mistake
can be made: see `CLAIM`. What the register does not know is never touched, and what it
has lost is not taken away: docs/acra.md says it column by column.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bff.acra import due
from bff.acra.records import COLUMNS, is_live

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    from bff.acra.runs import Run
    from bff.database import Database

BATCH = 5000
# Of `acra_ingest`: how far the register is in `companies`. No dataset is called so.
ROW = "@companies"
# Seconds for one statement; finding names reads the whole register once.
PATIENCE = 1800.0
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)

CHANGED = """
SELECT uen, ingested_at, entity_status_description AS status
FROM staging_acra_companies WHERE (ingested_at, uen) > ($1, $2)
ORDER BY ingested_at, uen LIMIT $3
"""

# A company without a UEN gets one when it and an entity of the register that no company
# has yet carry the same name (but for spelling), and
#  - nobody else in the register does; without "Pte. Ltd.", not with another legal form
#    either: many a shop is called like somebody's company;
#  - something says that it is of Singapore (the legal form, the country, the domain),
#    and nothing that it is not;
#  - no other company is called so; or it alone has that name for its domain, too.
# Whatever is left in doubt becomes a company of its own: two rows are a nuisance, two
# companies in one row are wrong. They are locked in the order in which foreign keys of
# candidates lock them (bff.icp.candidates), so that neither waits for the other.
CLAIM = r"""
WITH nameless AS MATERIALIZED (
  SELECT company_id, company_name_key(name) AS key,
         split_part(company_name_key(name), ' ', 1) AS word,
         lower(coalesce(hq_country, '')) AS country,
         regexp_replace(lower(coalesce(website_domain, '')),
                        '^(https?://)?(www\.)?([^/:]*).*$', '\3') AS domain,
         sg_registered
  FROM companies WHERE uen IS NULL
), keys AS MATERIALIZED (
  -- Once for each entity: three regular expressions, two million entities.
  SELECT uen, company_name_key(entity_name) AS key FROM staging_acra_companies
), entities AS (
  SELECT uen, key, count(*) OVER (PARTITION BY key) AS same_key,
         count(*) OVER (PARTITION BY split_part(key, ' ', 1)) AS same_word
  FROM keys
  WHERE split_part(key, ' ', 1) IN (SELECT word FROM nameless WHERE word <> '')
), fitting AS (
  SELECT nameless.company_id, entities.uen, entities.key,
         replace(split_part(domain, '.', 1), '-', '') = word AS own_domain
  FROM nameless JOIN entities USING (key)
  WHERE same_key = 1
    AND (key LIKE '% pteltd' OR same_word = 1)
    AND country IN ('', 'sg', 'sgp', 'singapore')
    AND sg_registered IS NOT FALSE
    AND (key LIKE '% pteltd' OR country <> '' OR domain LIKE '%.sg' OR sg_registered)
    AND NOT EXISTS (SELECT 1 FROM companies AS other WHERE other.uen = entities.uen)
), judged AS (
  SELECT company_id, uen, own_domain,
         (SELECT count(*) FROM companies AS other
          WHERE company_name_key(other.name) = fitting.key) AS namesakes,
         count(*) FILTER (WHERE own_domain) OVER (PARTITION BY uen) AS own_domains
  FROM fitting
), claimed AS MATERIALIZED (
  SELECT companies.company_id, judged.uen
  FROM companies JOIN judged ON companies.company_id = judged.company_id
  WHERE companies.uen IS NULL
    AND (namesakes = 1 OR (own_domain AND own_domains = 1))
  ORDER BY companies.company_id FOR UPDATE OF companies
)
UPDATE companies SET uen = claimed.uen FROM claimed
WHERE companies.company_id = claimed.company_id
RETURNING companies.uen,
  (SELECT entity_status_description FROM staging_acra_companies AS theirs
   WHERE theirs.uen = companies.uen) AS status
"""

_FORMER = ", ".join(name for name in COLUMNS if name.startswith("former_entity_name"))
# Entities that are not in business come in only where a company already is. A name is
# replaced only when the register says that it was the entity's before: else it is one
# that people know the company by.
UPSERT = f"""
INSERT INTO companies AS ours
  (uen, name, industry_norm, industry_code, incorporation_year, sg_registered,
   last_seen)
SELECT uen, entity_name, lower(primary_ssic_description),
       lpad(primary_ssic_code::text, 5, '0'),
       substring(registration_incorporation_date
                 from '^((?:1[89]|20)[0-9]{{2}})-')::int,
       -- Nothing is in an empty list, not even the unknown: it stays unknown.
       CASE WHEN entity_status_description IS NOT NULL
            THEN entity_status_description = ANY($2::text[]) END,
       ingested_at
FROM staging_acra_companies AS theirs
WHERE uen = ANY($1::text[])
  AND (entity_status_description = ANY($2::text[])
       OR EXISTS (SELECT 1 FROM companies WHERE companies.uen = theirs.uen))
ON CONFLICT (uen) DO UPDATE SET
  name = CASE
    WHEN ours.name = EXCLUDED.name
      OR company_name_key(ours.name) = company_name_key(EXCLUDED.name) THEN ours.name
    WHEN btrim(ours.name) = '' OR EXISTS (
      SELECT 1 FROM staging_acra_companies AS known, unnest(ARRAY[{_FORMER}]) AS former
      WHERE known.uen = EXCLUDED.uen
        AND company_name_key(former) = company_name_key(ours.name)
        AND company_name_key(former) <> '') THEN EXCLUDED.name
    ELSE ours.name END,
  industry_norm = coalesce(EXCLUDED.industry_norm, ours.industry_norm),
  industry_code = coalesce(EXCLUDED.industry_code, ours.industry_code),
  incorporation_year = coalesce(EXCLUDED.incorporation_year, ours.incorporation_year),
  sg_registered = coalesce(EXCLUDED.sg_registered, ours.sg_registered),
  last_seen = greatest(EXCLUDED.last_seen, ours.last_seen)
RETURNING xmax = 0 AS new
"""  # noqa: S608 - names of COLUMNS


@dataclass(frozen=True, slots=True)
class Synced:
    """What became of the register's changes; *read* is the sum but for `by_name`."""

    read: int = 0
    new: int = 0
    updated: int = 0
    # Not in business, and no company of ours.
    left_out: int = 0
    # Companies that got their UEN by their name, whether or not it changed just now.
    by_name: int = 0

    def __str__(self) -> str:
        return (
            f"{self.read:,} changes: {self.new:,} companies new, {self.updated:,} "
            f"updated ({self.by_name:,} found by name), {self.left_out:,} not in "
            "business and left out"
        )

    def as_json(self) -> dict[str, int]:
        """Return them by name, as `acra_runs.counts` has them."""
        return {f"companies_{name}": count for name, count in asdict(self).items()}


async def sync(
    database: Database,
    run: Run,
    counts: dict[str, Any],
    *,
    batch: int = BATCH,
    on_progress: Callable[[Synced], None] = lambda _: None,
) -> Synced:
    """Bring all changes since the last time into `companies`; return what came of it.

    *run* is the run under way: nobody else changes the register meanwhile. *counts* are
    what it has counted so far. Each batch is one transaction; killed anywhere, the next
    sync goes on where this one was. With each, what depends on companies becomes due.

    Raises:
        RunLost: when another run has taken over.
        DatabaseUnavailable: when the database goes away.
    """
    done = Synced(by_name=await _claim(database, run, counts))
    while True:
        async with database.shared_transaction() as connection:
            at, uen = await _marker(connection)
            rows = await connection.fetch(CHANGED, at, uen, batch, timeout=PATIENCE)
            if not rows:
                return done
            found = await _upsert(connection, rows)
            new = sum(row["new"] for row in found)
            done = Synced(
                read=done.read + len(rows),
                new=done.new + new,
                updated=done.updated + len(found) - new,
                left_out=done.left_out + len(rows) - len(found),
                by_name=done.by_name,
            )
            await due.mark(connection)
            await _note(connection, rows[-1]["ingested_at"], rows[-1]["uen"])
            await run.note(connection, {**counts, **done.as_json()})
        on_progress(done)


async def _claim(database: Database, run: Run, counts: dict[str, Any]) -> int:
    """Give companies the UEN that is theirs by name; return how many got one.

    Only when something has changed, and in a transaction of its own: whoever makes a
    candidate of such a company waits for it.
    """
    async with database.shared_transaction() as connection:
        if not await connection.fetch(
            CHANGED, *await _marker(connection), 1, timeout=PATIENCE
        ) or not await connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM companies WHERE uen IS NULL)",
            timeout=PATIENCE,
        ):
            return 0
        rows = await connection.fetch(CLAIM, timeout=PATIENCE)
        if rows:
            # What the register says of them may have changed long ago.
            await _upsert(connection, rows)
            await due.mark(connection)
        await run.note(connection, counts)
        return len(rows)


async def _upsert(
    connection: PoolConnectionProxy, rows: list[asyncpg.Record]
) -> list[asyncpg.Record]:
    """Bring entities into `companies`: *rows* have their `uen` and `status`."""
    live = {row["status"] for row in rows if is_live(row["status"])}
    uens = [row["uen"] for row in rows]
    return await connection.fetch(UPSERT, uens, sorted(live), timeout=PATIENCE)


async def _marker(connection: PoolConnectionProxy) -> tuple[datetime, str]:
    text = await connection.fetchval(
        "SELECT marker FROM acra_ingest WHERE dataset = $1 FOR UPDATE", ROW
    )
    found = json.loads(text) if text else {}
    if not found:
        return BEGINNING, ""
    return datetime.fromisoformat(found["at"]), found["uen"]


async def _note(connection: PoolConnectionProxy, at: datetime, uen: str) -> None:
    await connection.execute(
        "INSERT INTO acra_ingest (dataset, marker) VALUES ($1, $2) "
        "ON CONFLICT (dataset) DO UPDATE SET marker = $2, updated_at = now()",
        ROW,
        json.dumps({"at": at.isoformat(), "uen": uen}),
    )
