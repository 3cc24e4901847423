"""Find the companies that fit a rule, and keep them in step with it.

One statement per rule: what no longer fits goes, what newly fits comes, the rest stays
as it is. The rule's row is locked meanwhile, so that two who compute it take turns.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
from pydantic import ValidationError

from bff.database import LOST, DatabaseConflict
from bff.icp.rules import Profile

if TYPE_CHECKING:
    from bff.database import Database

log = logging.getLogger(__name__)

# Seconds for one rule: hundreds of thousands of companies may come or go at once.
PATIENCE = 60.0
# Seconds that a rule is waited for which somebody else holds; when all others are done,
# as long as computing it may take.
LOCK_PATIENCE = 5.0
# Seconds after its own limit in which the server must have said so: else it is silent.
SILENCE = 10.0

LIMITS = """
SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true)
"""
LOCK = """
SELECT payload FROM icp_rules WHERE tenant_id = $1 AND rule_id = $2 FOR NO KEY UPDATE
"""
COMPUTE = """
WITH fitting AS MATERIALIZED (
  SELECT company_id FROM companies WHERE {conditions}
), gone AS (
  DELETE FROM icp_candidate_companies AS one
  WHERE tenant_id = $1 AND rule_id = $2 AND NOT EXISTS (
    SELECT 1 FROM fitting WHERE fitting.company_id = one.company_id)
), come AS (
  INSERT INTO icp_candidate_companies (tenant_id, rule_id, company_id)
  -- In this order each is locked by its foreign key: who changes companies' UENs locks
  -- them in the same, so that neither waits for the other.
  SELECT $1, $2, company_id FROM fitting ORDER BY company_id ON CONFLICT DO NOTHING
)
UPDATE icp_rules SET candidates = (SELECT count(*) FROM fitting), computed_at = now()
WHERE tenant_id = $1 AND rule_id = $2 RETURNING candidates
"""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """How many rules were computed anew, and how many could not be this time."""

    done: int
    left: int


class _NotNow(Exception):
    """Carry an error of one rule out of its transaction."""


async def limit(
    connection: asyncpg.pool.PoolConnectionProxy, lock: float = 0.0
) -> None:
    """Let the server end each statement of *connection*'s transaction that takes long.

    *lock* is how many seconds a lock is waited for; 0: as long as a statement may take.
    """
    await connection.execute(LIMITS, _milliseconds(PATIENCE), _milliseconds(lock))


async def compute(
    connection: asyncpg.pool.PoolConnectionProxy,
    tenant_id: int,
    rule_id: int,
    profile: Profile,
) -> int:
    """Bring the candidates of a rule up to date; return how many there are.

    The rule's row must be locked by *connection*'s transaction, which has its limits.
    """
    conditions, values = _conditions(profile)
    # The conditions are ours, the values are parameters.
    query = COMPUTE.format(conditions=" AND ".join(conditions))
    return int(
        await connection.fetchval(
            query, tenant_id, rule_id, *values, timeout=PATIENCE + SILENCE
        )
    )


async def recompute(
    connection: asyncpg.pool.PoolConnectionProxy, tenant_id: int, rule_id: int
) -> int | None:
    """Compute a rule anew after companies changed; None when it is gone meanwhile.

    Raises:
        ValidationError: when the rule cannot be read, as one of a newer release.
    """
    payload = await connection.fetchval(
        LOCK, tenant_id, rule_id, timeout=PATIENCE + SILENCE
    )
    if payload is None:
        return None
    profile = Profile.model_validate_json(payload)
    return await compute(connection, tenant_id, rule_id, profile)


async def recompute_all(database: Database, tenant_id: int | None = None) -> Recomputed:
    """Compute all rules of all tenants anew, or of one, as the worker's role.

    Each in a transaction of its own: nobody who saves a rule waits for another's, and
    one that is held, too slow or in another's way stops no other. Such a one is tried
    once more at the end, and then left. A rule that cannot be read keeps the candidates
    it has: trying again would not help. Both are told in the log.

    Raises:
        DatabaseUnavailable: when the database goes away; what is done stays done.
    """
    async with database.shared_transaction() as connection:
        rules = await connection.fetch(
            "SELECT tenant_id, rule_id FROM icp_rules "
            "WHERE $1::bigint IS NULL OR tenant_id = $1 ORDER BY tenant_id, rule_id",
            tenant_id,
        )
    done, todo = 0, [(row["tenant_id"], row["rule_id"]) for row in rules]
    for lock in (LOCK_PATIENCE, PATIENCE):
        left = []
        for rule in todo:
            try:
                done += await _one(database, *rule, lock)
            except (_NotNow, DatabaseConflict) as error:
                log.warning(
                    "rule %d of tenant %d cannot be computed now (%s)",
                    rule[1],
                    rule[0],
                    type(error.__cause__).__name__,
                )
                left.append(rule)
        todo = left
    return Recomputed(done, len(todo))


async def _one(database: Database, tenant_id: int, rule_id: int, lock: float) -> bool:
    """Compute one rule anew; False when it is gone or cannot be read.

    Raises:
        _NotNow: when PostgreSQL refuses, but is there.
    """
    try:
        async with database.tenant_transaction(tenant_id) as connection:
            try:
                await limit(connection, lock)
                return await recompute(connection, tenant_id, rule_id) is not None
            except asyncpg.QueryCanceledError as error:
                raise _NotNow from error
            except LOST:
                raise
            except asyncpg.PostgresError as error:
                raise _NotNow from error
    except ValidationError:
        log.exception("rule %d of tenant %d cannot be read", rule_id, tenant_id)
        return False


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


def _conditions(profile: Profile) -> tuple[list[str], list[object]]:
    """Return what SQL demands of a row of `companies`, and its values from $3 on."""
    conditions: list[str] = []
    values: list[object] = []

    def add(condition: str, value: object) -> None:
        values.append(value)
        conditions.append(condition.format(f"${len(values) + 2}"))

    if profile.industries is not None:
        add(_one_of("industry_norm"), list(profile.industries))
    if profile.industry_codes is not None:
        terms = []
        for length in sorted({len(code) for code in profile.industry_codes}):
            values.append([c for c in profile.industry_codes if len(c) == length])
            terms.append(f"left(industry_code, {length}) = ANY(${len(values) + 2})")
        conditions.append(f"({' OR '.join(terms)})")
    if profile.hq_countries is not None:
        add(_one_of("hq_country"), list(profile.hq_countries))
    if profile.sg_registered is not None:
        add("sg_registered = {}", profile.sg_registered)
    for column, ends in (
        ("employees_est", profile.employee_range),
        ("incorporation_year", profile.incorporation_year),
    ):
        if ends is not None and ends.min is not None:
            add(f"{column} >= {{}}", ends.min)
        if ends is not None and ends.max is not None:
            add(f"{column} <= {{}}", ends.max)
    return conditions, values


def _one_of(column: str) -> str:
    """Compare without case, by the one notion of case that the database has."""
    words = "ARRAY(SELECT lower(word) FROM unnest({}::text[]) AS word)"
    return f"lower({column}) = ANY({words})"
