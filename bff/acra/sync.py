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

from bff.acra.records import is_live

if TYPE_CHECKING:
    from collections.abc import Callable

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
# companies in one row are wrong.
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
)
UPDATE companies SET uen = judged.uen FROM judged
WHERE companies.company_id = judged.company_id
  AND (namesakes = 1 OR (own_domain AND own_domains = 1))
"""

# Entities that are not in business come in only where a company already is.
UPSERT = """
INSERT INTO companies AS ours
  (uen, name, industry_norm, industry_code, incorporation_year, sg_registered,
   last_seen)
SELECT uen, entity_name, lower(primary_ssic_description),
       lpad(primary_ssic_code::text, 5, '0'),
       substring(registration_incorporation_date from '^((?:1[89]|20)[0-9]{2})-')::int,
       -- Nothing is in an empty list, not even the unknown: it stays unknown.
       CASE WHEN entity_status_description IS NOT NULL
            THEN entity_status_description = ANY($2::text[]) END,
       ingested_at
FROM staging_acra_companies AS theirs
WHERE uen = ANY($1::text[])
  AND (entity_status_description = ANY($2::text[])
       OR EXISTS (SELECT 1 FROM companies WHERE companies.uen = theirs.uen))
ON CONFLICT (uen) DO UPDATE SET
  name = CASE WHEN company_name_key(ours.name) = company_name_key(EXCLUDED.name)
              THEN ours.name ELSE EXCLUDED.name END,
  industry_norm = coalesce(EXCLUDED.industry_norm, ours.industry_norm),
  industry_code = coalesce(EXCLUDED.industry_code, ours.industry_code),
  incorporation_year = coalesce(EXCLUDED.incorporation_year, ours.incorporation_year),
  sg_registered = coalesce(EXCLUDED.sg_registered, ours.sg_registered),
  last_seen = greatest(EXCLUDED.last_seen, ours.last_seen)
RETURNING xmax = 0 AS new
"""


@dataclass(frozen=True, slots=True)
class Synced:
    """What became of the register's changes; *read* is the sum but for `by_name`."""

    read: int = 0
    new: int = 0
    updated: int = 0
    # Not in business, and no company of ours.
    left_out: int = 0
    # Companies that got their UEN by their name, counted among the updated, too.
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
    sync goes on where this one was.

    Raises:
        RunLost: when another run has taken over.
        DatabaseUnavailable: when the database goes away.
    """
    done = Synced()
    while True:
        async with database.shared_transaction() as connection:
            at, uen = await _marker(connection)
            rows = await connection.fetch(CHANGED, at, uen, batch, timeout=PATIENCE)
            if not rows:
                return done
            by_name = done.by_name
            if not done.read:
                by_name = await _claim(connection)
            live = {row["status"] for row in rows if is_live(row["status"])}
            found = await connection.fetch(
                UPSERT, [row["uen"] for row in rows], sorted(live), timeout=PATIENCE
            )
            new = sum(row["new"] for row in found)
            done = Synced(
                read=done.read + len(rows),
                new=done.new + new,
                updated=done.updated + len(found) - new,
                left_out=done.left_out + len(rows) - len(found),
                by_name=by_name,
            )
            await _note(connection, rows[-1]["ingested_at"], rows[-1]["uen"])
            await run.note(connection, {**counts, **done.as_json()})
        on_progress(done)


async def _claim(connection: PoolConnectionProxy) -> int:
    """Give companies the UEN that is theirs by name; return how many got one."""
    if not await connection.fetchval(
        "SELECT EXISTS (SELECT 1 FROM companies WHERE uen IS NULL)", timeout=PATIENCE
    ):
        return 0
    done: str = await connection.execute(CLAIM, timeout=PATIENCE)
    return int(done.rpartition(" ")[2])


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
