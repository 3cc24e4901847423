"""Rows for every table, as each migration leaves it: what a step must not lose."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

# By the number of the migration after which they can be written; as it has the columns.
ROWS = {
    1: """
INSERT INTO tenants (tenant_id, name) VALUES (1, 'one'), (2, 'two');
INSERT INTO tenant_users (tenant_id, iss, sub, email, roles)
  VALUES (1, 'i', 'ann', 'ann@one.test', '{viewer,admin}'),
         (2, 'i', 'ben', '', DEFAULT);
INSERT INTO onboarding (tenant_id, phases, founder)
  VALUES (1, '[{"name": "x"}]', 'i ann');
INSERT INTO attempts (kind, key) VALUES ('x', '\\x01');
INSERT INTO companies (company_id, uen, name, industry_norm)
  VALUES (1, 'U1', 'Merlion', 'Food'), (2, NULL, 'Orchid', NULL);
INSERT INTO lead_scores (tenant_id, company_id, score) VALUES (1, 1, 0.5), (2, 1, 0.7);
""",
    2: """
INSERT INTO auth_session (sid, iss, sub, tenant_id, expires_at, successor)
  VALUES (gen_random_uuid(), 'i', 'ann', 1, now() + interval '1 day', '\\x0102'),
         (gen_random_uuid(), 'i', 'new', NULL, now() + interval '1 day', NULL);
INSERT INTO ended_session (sid) VALUES (gen_random_uuid());
""",
    3: """
INSERT INTO pgqueuer (priority, status, entrypoint, payload)
  VALUES (0, 'queued', 'onboard', '1');
INSERT INTO pgqueuer_log (job_id, status, priority, entrypoint)
  VALUES (1, 'queued', 0, 'onboard');
INSERT INTO pgqueuer_schedules (expression, entrypoint) VALUES ('* * * * *', 'x');
INSERT INTO pgqueuer_statistics (count, priority, status, entrypoint)
  VALUES (1, 0, 'successful', 'onboard');
""",
    4: """
INSERT INTO sign_in_failure (pair, account, network) VALUES ('\\x01', '\\x02', '\\x03');
INSERT INTO logout_token (jti, expires_at) VALUES ('j', now());
""",
    5: """
INSERT INTO tenant_invites (tenant_id, token_hash, created_by, expires_at)
  VALUES (1, sha256('x'), 'i ann', now()), (2, sha256('y'), 'i ben', now());
""",
    6: "INSERT INTO ended_session (sid, replaced) VALUES (gen_random_uuid(), true)",
    7: """
INSERT INTO audit_log (tenant_id, action, detail) VALUES (1, 'a.b', '{"x": [1]}'),
  (NULL, 'c.d', '{}');
""",
    8: """
INSERT INTO icp_rules (tenant_id, rule_id, name, payload)
  VALUES (1, 1, 'r', '{"industries": ["Food"]}'), (2, 2, 'r', '{"industries": ["x"]}');
INSERT INTO icp_candidate_companies VALUES (1, 1, 1);
INSERT INTO lead_features (tenant_id, company_id, features) VALUES (1, 1, '{"f": 1}');
INSERT INTO enrichment_runs (tenant_id) VALUES (1), (2);
INSERT INTO contacts (company_id, email) VALUES (1, 'someone@merlion.test');
""",
    9: """
INSERT INTO staging_acra_companies (uen, entity_name, source) VALUES ('U1', 'M', 's');
INSERT INTO acra_ingest (dataset, marker) VALUES ('d', '{"page": 3}');
INSERT INTO acra_runs (reason) VALUES ('schedule');
INSERT INTO acra_signature (hash, expires_at) VALUES ('\\x01', now());
""",
    10: "INSERT INTO companies (company_id, name) VALUES (3, 'Durian')",
    11: """
INSERT INTO odoo_templates (name, series, recipe, sealed)
  VALUES ('tpl', '19.0', 'r', '\\x0102');
INSERT INTO odoo_warm (name, template, state, tenant_id)
  VALUES ('warm_a', 'tpl', 'ready', NULL), ('warm_b', 'tpl', 'claimed', 1);
INSERT INTO odoo_connections (tenant_id, server_url, db_name, base_url, sealed)
  VALUES (1, 'https://odoo.test', 'odoo_t1', 'https://one.test', '\\x0102');
INSERT INTO odoo_tasks (tenant_id, kind, request) VALUES (1, 'verify', '{"x": 1}');
""",
    12: "INSERT INTO odoo_warm (name, template, state, sealed) "
    "VALUES ('warm_c', 'tpl', 'ready', '\\x0102')",
}


async def snapshot(superuser: asyncpg.Connection) -> dict[str, list[dict[str, object]]]:
    """Return every row of every table, but for the ledger's, by table."""
    tables = await superuser.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
        "AND tablename <> 'schema_migrations' ORDER BY 1"
    )
    return {
        table: [dict(row) for row in await superuser.fetch(f"SELECT * FROM {table}")]  # noqa: S608 - names from the catalogue
        for (table,) in tables
    }


def lost(
    before: dict[str, list[dict[str, object]]],
    after: dict[str, list[dict[str, object]]],
) -> list[str]:
    """Return what of *before* is not in *after*; columns and rows may have come."""
    return [
        f"{table}: {row}"
        for table, rows in before.items()
        for row in rows
        if not any(row.items() <= other.items() for other in after.get(table, ()))
    ]
