"""Find the companies that fit a rule, and keep them in step with it.

One statement per rule: what no longer fits goes, what newly fits comes, the rest stays
as it is. The rule's row is locked meanwhile, so that two who compute it take turns.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bff.icp.rules import Profile

if TYPE_CHECKING:
    import asyncpg

    from bff.database import Database

log = logging.getLogger(__name__)

# Seconds for one rule: hundreds of thousands of companies may come or go at once.
PATIENCE = 60.0

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
  SELECT $1, $2, company_id FROM fitting ON CONFLICT DO NOTHING
)
UPDATE icp_rules SET candidates = (SELECT count(*) FROM fitting), computed_at = now()
WHERE tenant_id = $1 AND rule_id = $2 RETURNING candidates
"""


async def compute(
    connection: asyncpg.pool.PoolConnectionProxy,
    tenant_id: int,
    rule_id: int,
    profile: Profile,
) -> int:
    """Bring the candidates of a rule up to date; return how many there are.

    The rule's row must be locked by *connection*'s transaction.
    """
    conditions, values = _conditions(profile)
    # The conditions are ours, the values are parameters.
    query = COMPUTE.format(conditions=" AND ".join(conditions))
    return int(
        await connection.fetchval(query, tenant_id, rule_id, *values, timeout=PATIENCE)
    )


async def recompute(
    connection: asyncpg.pool.PoolConnectionProxy, tenant_id: int, rule_id: int
) -> int | None:
    """Compute a rule anew after companies changed; None when it is gone meanwhile.

    Raises:
        ValidationError: when the rule cannot be read, as one of a newer release.
    """
    payload = await connection.fetchval(LOCK, tenant_id, rule_id, timeout=PATIENCE)
    if payload is None:
        return None
    profile = Profile.model_validate_json(payload)
    return await compute(connection, tenant_id, rule_id, profile)


async def recompute_all(database: Database) -> int:
    """Compute all rules of all tenants anew, as the worker's role; return how many.

    Each in a transaction of its own: nobody who saves a rule waits for another's. A
    rule that cannot be read keeps the candidates it has, and is told in the log.

    Raises:
        DatabaseUnavailable: when the database goes away; what is done stays done.
    """
    async with database.shared_transaction() as connection:
        rules = await connection.fetch(
            "SELECT tenant_id, rule_id FROM icp_rules ORDER BY tenant_id, rule_id"
        )
    done = 0
    for tenant_id, rule_id in rules:
        async with database.tenant_transaction(tenant_id) as connection:
            try:
                done += await recompute(connection, tenant_id, rule_id) is not None
            except ValidationError:
                log.exception("rule %d of tenant %d cannot be read", rule_id, tenant_id)
    return done


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
