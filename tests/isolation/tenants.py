"""Two tenants with something of theirs in every table, and a way to find it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bff.members.test_routes import account_id

if TYPE_CHECKING:
    import asyncpg

    from tests.world import Browser, World

# Both are admins by the gateway's own table.
EMAILS = {1001: "alice@acme.test", 1002: "bob@globex.test"}
MARKS = {1001: "AcmeCanary", 1002: "GlobexCanary"}
# No worker meanwhile: what a tenant's rows are is written down before and after.
QUIET: dict[str, dict[str, Any]] = {"worker": {"embedded": False}}

# By table with a tenant: its row; $1 the tenant, $2 what nobody else may ever read.
SEEDS = {
    "tenants": "UPDATE tenants SET name = $2 WHERE tenant_id = $1",
    "tenant_users": (
        "INSERT INTO tenant_users (tenant_id, iss, sub, email, roles) "
        "SELECT $1, iss, $2 || '-member', $2 || '@member.test', '{viewer,ops}' "
        "FROM tenant_users LIMIT 1"
    ),
    "onboarding": (
        "INSERT INTO onboarding (tenant_id, status, phases, founder, error) VALUES "
        "($1, 'error', jsonb_build_array(jsonb_build_object('name', 'starting', "
        "'state', 'failed', 'detail', $2::text)), $2, $2)"
    ),
    "lead_scores": (
        "WITH one AS (INSERT INTO companies (name, website_domain, industry_norm) "
        "VALUES ($2 || ' Ltd', $2 || '.test', 'Food') RETURNING company_id) "
        "INSERT INTO lead_scores (tenant_id, company_id, score, bucket, rationale, "
        "cache_key) SELECT $1, company_id, 0.99, $2, $2, $2 FROM one"
    ),
    "auth_session": (
        "INSERT INTO auth_session (sid, iss, sub, email, tenant_id, device, "
        "provider_sid, expires_at) VALUES (gen_random_uuid(), 'i', $2 || '-member', "
        "$2, $1, $2, $2, now() + interval '1 day')"
    ),
    "tenant_invites": (
        "INSERT INTO tenant_invites (tenant_id, token_hash, email, created_by, "
        "expires_at) VALUES ($1, sha256($2::bytea), lower($2) || '@guest.test', "
        "'i ' || $2, now() + interval '1 day')"
    ),
    "audit_log": (
        "INSERT INTO audit_log (tenant_id, action, actor, actor_email, subject, "
        "detail, address, request_id) VALUES ($1, 'test.seeded', 'i ' || $2, $2, $2, "
        "jsonb_build_object('note', $2::text), $2, $2)"
    ),
    "icp_rules": (
        "INSERT INTO icp_rules (tenant_id, name, payload) VALUES ($1, $2, "
        "jsonb_build_object('industries', jsonb_build_array($2::text)))"
    ),
    "icp_candidate_companies": (
        "INSERT INTO icp_candidate_companies SELECT $1, rule_id, company_id FROM "
        "icp_rules, companies WHERE icp_rules.name = $2 LIMIT 3"
    ),
    "lead_features": (
        "INSERT INTO lead_features SELECT $1, company_id, "
        "jsonb_build_object('note', $2::text) FROM companies LIMIT 3"
    ),
    "enrichment_runs": (
        "INSERT INTO enrichment_runs (tenant_id, langsmith_trace_url) VALUES ($1, $2)"
    ),
    "odoo_connections": (
        "INSERT INTO odoo_connections (tenant_id, server_url, db_name, base_url, "
        "sealed, made) VALUES ($1, 'https://odoo.test', lower($2), "
        "'https://' || lower($2) || '.odoo.test', $2::bytea, true)"
    ),
    "odoo_tasks": (
        "INSERT INTO odoo_tasks (tenant_id, kind, state, request, result, problem, "
        "asked_by, finished_at) VALUES ($1, 'verify', 'failed', '{}', "
        "jsonb_build_object('note', $2::text), $2, 'i ' || $2, now())"
    ),
    "odoo_warm": (
        "WITH one AS (INSERT INTO odoo_templates (name, series) VALUES ('tpl', '19.0') "
        "ON CONFLICT (name) DO UPDATE SET series = '19.0' RETURNING name) "
        "INSERT INTO odoo_warm (name, template, state, tenant_id) "
        "SELECT 'warm_' || lower($2), name, 'claimed', $1 FROM one"
    ),
}
# Rows of nobody that no tenant may change either.
SHARED = (
    *("companies", "contacts", "staging_acra_companies", "acra_ingest", "acra_runs"),
    "odoo_templates",
)


@dataclass(frozen=True)
class Tenant:
    """One of the two, and the numbers of its things."""

    tenant_id: int
    email: str
    mark: str
    sub: str
    places: dict[str, str]

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return what must never reach the other one, in small letters."""
        return self.mark.lower(), self.email, self.sub


async def settle(world: World) -> dict[int, Tenant]:
    """Give both tenants an admin and a row in every table."""
    for email in EMAILS.values():
        async with world.signed_in(email):
            pass  # a first sign-in makes them members
    async with world.databases.superuser() as superuser:
        await superuser.execute(
            "UPDATE tenant_users SET roles = '{viewer,ops,admin}' "
            "WHERE email = ANY ($1)",
            list(EMAILS.values()),
        )
        for tenant_id, mark in MARKS.items():
            for seed in SEEDS.values():
                await superuser.execute(
                    seed.replace("$2", _quoted(mark)).replace("$1", str(tenant_id))
                )
        return {
            tenant_id: Tenant(
                tenant_id,
                EMAILS[tenant_id],
                mark,
                account_id(world, EMAILS[tenant_id]),
                await _places(superuser, tenant_id, mark),
            )
            for tenant_id, mark in MARKS.items()
        }


def _quoted(mark: str) -> str:
    assert mark.isalpha()
    return f"'{mark}'"


async def _places(
    superuser: asyncpg.Connection, tenant_id: int, mark: str
) -> dict[str, str]:
    """Return what stands in the paths of a tenant's things."""
    row = await superuser.fetchrow(
        "SELECT (SELECT sid FROM auth_session WHERE tenant_id = $1 LIMIT 1) AS session,"
        " (SELECT invite_id FROM tenant_invites WHERE tenant_id = $1) AS invite,"
        " (SELECT rule_id FROM icp_rules WHERE tenant_id = $1) AS rule",
        tenant_id,
    )
    assert row is not None
    return {
        "{tenant_id}": str(tenant_id),
        "{session_id}": str(row["session"]),
        "{invite_id}": str(row["invite"]),
        "{rule_id}": str(row["rule"]),
        "{user}": f"{mark}-member",
        "{path}": "threads/search",
    }


async def fingerprint(superuser: asyncpg.Connection, tenant_id: int) -> dict[str, str]:
    """Return a digest of a tenant's rows by table, and of what is nobody's."""
    digest = "SELECT md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), ''))"
    found = {}
    for table in await tenant_tables(superuser):
        found[table] = await superuser.fetchval(
            f"{digest} FROM {table} AS t WHERE tenant_id = $1",
            tenant_id,
        )
    for table in SHARED:
        found[table] = await superuser.fetchval(f"{digest} FROM {table} AS t")
    return found


async def tenant_tables(superuser: asyncpg.Connection) -> list[str]:
    """Return the names of all tables that have a tenant."""
    rows = await superuser.fetch(
        "SELECT table_name FROM information_schema.columns JOIN "
        "information_schema.tables USING (table_schema, table_name) "
        "WHERE column_name = 'tenant_id' AND table_type = 'BASE TABLE' "
        "AND table_schema = 'public' ORDER BY 1"
    )
    return [row["table_name"] for row in rows]


def leaked(answer: bytes, other: Tenant) -> list[str]:
    """Return what of *other* is in an answer, headers and all."""
    text = answer.decode("utf-8", "replace").lower()
    return [secret for secret in other.secrets if secret in text]


def named_tenants(body: bytes) -> set[object]:
    """Return every tenant that a JSON answer names."""
    try:
        document = json.loads(body)
    except ValueError:
        return set()
    found: set[object] = set()

    def look(value: object) -> None:
        if isinstance(value, dict):
            if "tenant_id" in value:
                found.add(value["tenant_id"])
            for one in value.values():
                look(one)
        elif isinstance(value, list):
            for one in value:
                look(one)

    look(document)
    return found - {None}


async def login(browser: Browser, tenant: Tenant) -> None:
    """Sign in anew as a tenant's admin."""
    answer = await browser.login(tenant.email)
    assert answer.status == 200, await answer.text()
    assert (await answer.json())["tenant_id"] == tenant.tenant_id
    assert "admin" in (await answer.json())["roles"]
