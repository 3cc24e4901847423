"""Who may do what in the database, read from its catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from bff.catalogue import read_catalogue
from bff.dev.postgres import SUPERUSER, Postgres
from bff.roles import ROLES, ensure_roles, problems_of_role

if TYPE_CHECKING:
    from tests.databases import Databases

BY_TENANT = (
    "(tenant_id = ( SELECT (NULLIF(current_setting('request.tenant_id'::text, true), "
    "''::text))::bigint AS \"nullif\"))"
)
BY_USER = (
    "(user_id = ( SELECT NULLIF(current_setting('request.user_id'::text, true), "
    "''::text) AS \"nullif\"))"
)
BY_PROVIDER = (
    "(provider_sid = ( SELECT NULLIF(current_setting('request.provider_sid'::text, "
    "true), ''::text) AS \"nullif\"))"
)
BY_ADMIN = BY_TENANT.replace("request.tenant_id", "request.sessions_of_tenant")
BY_TOKEN = (
    "(token_hash = ( SELECT decode(NULLIF(current_setting('request.invite'::text, "
    "true), ''::text), 'hex'::text) AS decode))"
)
BY_TENANT_OR_NONE = BY_TENANT.replace(
    "(tenant_id = ( SELECT", "(NOT (tenant_id IS DISTINCT FROM ( SELECT"
)
BY_TENANT_OR_NONE += ")"
AS_ASKED = (
    f"({BY_TENANT} AND (state = 'queued'::text) AND (result = '{{}}'::jsonb) "
    "AND (code = ''::text) AND (problem = ''::text) "
    "AND (kind <> ALL (ARRAY['suspend'::text, 'resume'::text])))"
)
# Policies of the serving role: command, USING, WITH CHECK.
EXPECTED_POLICIES = {
    ("tenants", "ALL", BY_TENANT, BY_TENANT),
    ("tenant_users", "ALL", BY_TENANT, BY_TENANT),
    ("tenant_users", "SELECT", BY_USER, None),
    ("onboarding", "ALL", BY_TENANT, BY_TENANT),
    ("lead_scores", "ALL", BY_TENANT, BY_TENANT),
    ("auth_session", "ALL", BY_USER, BY_USER),
    ("auth_session", "SELECT", BY_PROVIDER, None),
    ("auth_session", "SELECT", BY_ADMIN, None),
    ("auth_session", "UPDATE", BY_ADMIN, BY_ADMIN),
    ("tenant_invites", "ALL", BY_TENANT, BY_TENANT),
    ("tenant_invites", "SELECT", BY_TOKEN, None),
    ("audit_log", "SELECT", BY_TENANT, None),
    ("audit_log", "INSERT", None, BY_TENANT_OR_NONE),
    ("icp_rules", "ALL", BY_TENANT, BY_TENANT),
    ("icp_candidate_companies", "ALL", BY_TENANT, BY_TENANT),
    ("lead_features", "ALL", BY_TENANT, BY_TENANT),
    ("enrichment_runs", "ALL", BY_TENANT, BY_TENANT),
    ("odoo_connections", "ALL", BY_TENANT, BY_TENANT),
    ("odoo_tasks", "ALL", BY_TENANT, AS_ASKED),
}
EXPECTED_GRANTS = {
    "bff_app": {
        "acra_runs": "INSERT SELECT",
        "acra_signature": "DELETE INSERT SELECT",
        "attempts": "DELETE INSERT SELECT",
        "audit_log": "INSERT SELECT",
        "auth_session": "INSERT SELECT UPDATE",
        "companies": "SELECT",
        "contacts": "SELECT",
        "ended_session": "INSERT SELECT",
        "enrichment_runs": "INSERT SELECT UPDATE",
        "icp_candidate_companies": "DELETE INSERT SELECT",
        "icp_rules": "DELETE INSERT SELECT UPDATE",
        "lead_features": "DELETE INSERT SELECT UPDATE",
        "lead_scores": "DELETE INSERT SELECT UPDATE",
        "logout_token": "DELETE INSERT SELECT",
        "odoo_tasks": "INSERT SELECT UPDATE",
        "onboarding": "INSERT SELECT UPDATE",
        "pgqueuer": "INSERT SELECT",
        "pgqueuer_log": "INSERT SELECT",
        "schema_migrations": "SELECT",
        "sign_in_failure": "DELETE INSERT SELECT",
        "tenant_invites": "INSERT SELECT UPDATE",
        "tenant_users": "INSERT SELECT UPDATE",
        "tenants": "INSERT SELECT UPDATE",
    },
    "bff_worker": {
        "acra_ingest": "DELETE INSERT SELECT UPDATE",
        "acra_runs": "INSERT SELECT UPDATE",
        "acra_signature": "DELETE SELECT",
        "attempts": "DELETE SELECT",
        "audit_log": "DELETE INSERT SELECT",
        "auth_session": "DELETE SELECT",
        "companies": "INSERT SELECT UPDATE",
        "contacts": "SELECT",
        "ended_session": "DELETE INSERT SELECT",
        "icp_candidate_companies": "DELETE INSERT SELECT",
        "icp_rules": "SELECT",
        "lead_scores": "SELECT",
        "logout_token": "DELETE SELECT",
        "odoo_connections": "DELETE INSERT SELECT UPDATE",
        "odoo_tasks": "INSERT SELECT UPDATE",
        "odoo_templates": "DELETE INSERT SELECT UPDATE",
        "odoo_warm": "DELETE INSERT SELECT UPDATE",
        "onboarding": "INSERT SELECT UPDATE",
        "pgqueuer": "DELETE INSERT SELECT UPDATE",
        "pgqueuer_log": "DELETE INSERT SELECT UPDATE",
        "pgqueuer_schedules": "DELETE INSERT SELECT UPDATE",
        "pgqueuer_statistics": "DELETE INSERT SELECT UPDATE",
        "schema_migrations": "SELECT",
        "sign_in_failure": "DELETE SELECT",
        "staging_acra_companies": "DELETE INSERT SELECT UPDATE",
        "tenant_invites": "DELETE INSERT SELECT",
        "tenant_users": "INSERT SELECT UPDATE",
        "tenants": "DELETE INSERT SELECT UPDATE",
    },
}


async def test_every_table_with_a_tenant_has_row_security_enabled_and_forced(
    databases: Databases,
) -> None:
    async with databases.superuser() as superuser:
        rows = await superuser.fetch(
            "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c "
            "JOIN pg_attribute a ON a.attrelid = c.oid WHERE a.attname = 'tenant_id' "
            "AND c.relkind IN ('r', 'p', 'm') "
            "AND c.relnamespace = 'public'::regnamespace"
        )

    assert {row["relname"] for row in rows} >= {
        "tenants",
        "tenant_users",
        "onboarding",
        "lead_scores",
        "auth_session",
    }
    assert all(row["relrowsecurity"] and row["relforcerowsecurity"] for row in rows)


async def test_the_serving_role_s_policies_are_exactly_these(
    databases: Databases,
) -> None:
    async with databases.superuser() as superuser:
        rows = await superuser.fetch(
            "SELECT tablename, cmd, qual, with_check, permissive FROM pg_policies "
            "WHERE 'bff_app' = ANY (roles) OR 'public' = ANY (roles)"
        )

    found = {
        (row["tablename"], row["cmd"], row["qual"], row["with_check"]) for row in rows
    }
    assert found == EXPECTED_POLICIES
    # Whatever may write must be checked: USING alone would let a row be given away.
    assert all(check for _, command, _, check in found if command != "SELECT")


@pytest.mark.parametrize("role", ["bff_app", "bff_worker"])
async def test_grants_are_exactly_the_expected_ones(
    databases: Databases, role: str
) -> None:
    async with databases.superuser() as superuser:
        rows = await superuser.fetch(
            "SELECT table_name, string_agg(privilege_type, ' ' ORDER BY privilege_type)"
            " AS may FROM information_schema.role_table_grants "
            "WHERE grantee IN ($1, 'PUBLIC') AND table_schema = 'public' GROUP BY 1",
            role,
        )

    assert {row["table_name"]: row["may"] for row in rows} == EXPECTED_GRANTS[role]


# By kind and role: what is granted beside whole tables; nobody has more.
EXPECTED_BESIDE = {
    # All but what is sealed, and who works on the database.
    ("column", "bff_app"): {
        (f"odoo_connections.{name}", "SELECT")
        for name in (
            *("tenant_id", "server_url", "series", "db_name", "base_url", "template"),
            *("sso_client_id", "key_expires_at", "made", "active", "checked_at"),
            *("problem", "created_at"),
        )
    },
    ("column", "bff_worker"): {
        ("auth_session.end_reason", "UPDATE"),
        ("auth_session.ended_at", "UPDATE"),
        ("auth_session.successor", "UPDATE"),
        ("icp_rules.candidates", "UPDATE"),
        ("icp_rules.computed_at", "UPDATE"),
    },
    ("schema", "PUBLIC"): {("public", "USAGE")},
    ("schema", "bff_app"): {("public", "USAGE")},
    ("schema", "bff_worker"): {("public", "USAGE")},
    ("sequence", "bff_app"): {
        ("enrichment_runs_run_id_seq", "USAGE"),
        ("icp_rules_rule_id_seq", "USAGE"),
        ("pgqueuer_id_seq", "USAGE"),
        ("tenants_tenant_id_seq", "USAGE"),
    },
    ("sequence", "bff_worker"): {
        ("companies_company_id_seq", "USAGE"),
        ("pgqueuer_id_seq", "USAGE"),
        ("pgqueuer_log_id_seq", "USAGE"),
        ("pgqueuer_schedules_id_seq", "USAGE"),
        ("pgqueuer_statistics_id_seq", "USAGE"),
        ("tenants_tenant_id_seq", "USAGE"),
    },
}
# Everybody may call these, as PostgreSQL has it: they act with the caller's rights.
EXPECTED_FUNCTIONS = {
    "announce_ended_session",
    "company_name_key",
    "fn_pgqueuer_changed",
}


async def test_nothing_else_is_granted_to_anybody(databases: Databases) -> None:
    async with databases.superuser() as superuser:
        found = await read_catalogue(superuser)

    beside: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for grant in found.grants:
        assert not grant.grantable
        if grant.kind not in {"relation", "function"}:
            granted = beside.setdefault((grant.kind, grant.grantee), set())
            granted.add((grant.object, grant.privilege))
    assert beside == EXPECTED_BESIDE
    assert {grant.grantee for grant in found.grants if grant.kind == "relation"} == {
        "bff_app",
        "bff_worker",
    }
    called = {(g.object, g.grantee) for g in found.grants if g.kind == "function"}
    assert called == {(name, "PUBLIC") for name in EXPECTED_FUNCTIONS}


@pytest.mark.parametrize("role", ["bff_app", "bff_worker"])
async def test_serving_roles_own_nothing_and_pass_no_policy_by(
    databases: Databases, role: str
) -> None:
    async with databases.superuser() as superuser:
        row = await superuser.fetchrow(
            "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, oid "
            "FROM pg_roles WHERE rolname = $1",
            role,
        )
        assert row is not None
        assert not any(list(row.values())[:4])
        for query in (
            "SELECT count(*) FROM pg_class WHERE relowner = $1",
            "SELECT count(*) FROM pg_proc WHERE proowner = $1",
            "SELECT count(*) FROM pg_namespace WHERE nspowner = $1",
            "SELECT count(*) FROM pg_database WHERE datdba = $1",
            "SELECT count(*) FROM pg_auth_members WHERE member = $1",
        ):
            assert await superuser.fetchval(query, row["oid"]) == 0, query


FORBIDDEN = (
    "TRUNCATE tenants CASCADE",
    "TRUNCATE lead_scores",
    "CREATE TABLE public.mine (x int)",
    "ALTER TABLE tenants DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY",
    "DROP POLICY app_by_tenant ON tenants",
    "TRUNCATE auth_session",
    "DELETE FROM tenant_users",
    "UPDATE contacts SET full_name = 'x'",
    "DELETE FROM companies",
    "UPDATE audit_log SET action = 'a.b'",
    "TRUNCATE audit_log",
    "SET ROLE bff_owner",
    "SELECT setval('tenants_tenant_id_seq', 1)",
    "UPDATE schema_migrations SET checksum = ''",
)
# Of the serving role alone: what opens tenants' Odoo is the worker's, who deletes, too.
FORBIDDEN_WHILE_SERVING = (
    "DELETE FROM tenants",
    "SELECT * FROM odoo_connections",
    "SELECT sealed FROM odoo_connections",
    "SELECT count(sealed) FROM odoo_connections",
    "SELECT tenant_id FROM odoo_connections WHERE sealed <> ''",
    "SELECT row_to_json(one) FROM odoo_connections AS one",
    "SELECT fence FROM odoo_connections",
    "COPY odoo_connections TO STDOUT",
    "SELECT 1 FROM odoo_connections FOR UPDATE",
    "UPDATE odoo_connections SET made = true",
    "UPDATE odoo_connections SET base_url = 'https://x.test'",
    "INSERT INTO odoo_connections (tenant_id, db_name) VALUES (1, 'x')",
    "DELETE FROM odoo_connections",
    "SELECT name FROM odoo_templates",
    "SELECT sealed FROM odoo_templates",
    "SELECT name FROM odoo_warm",
    "UPDATE odoo_warm SET tenant_id = 1",
    "DELETE FROM odoo_tasks",
)


@pytest.mark.parametrize("role", ["bff_app", "bff_worker"])
async def test_serving_roles_can_do_nothing_of_an_owner_s(
    databases: Databases, role: str
) -> None:
    connection = await asyncpg.connect(databases.urls[role])
    try:
        for act in FORBIDDEN:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(act)
    finally:
        await connection.close()


async def test_the_serving_role_reads_nothing_that_opens_an_odoo(
    databases: Databases,
) -> None:
    async with databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO tenants (tenant_id, name) VALUES (1, 'one');"
            "INSERT INTO odoo_connections "
            "(tenant_id, server_url, db_name, base_url, sealed) "
            "VALUES (1, 'https://odoo.test', 'odoo_t1', 'https://one.test', 'opens it')"
        )
    connection = await asyncpg.connect(databases.app)
    try:
        await connection.execute("SET request.tenant_id = '1'")
        said = await connection.fetchval("SELECT base_url FROM odoo_connections")
        assert said == "https://one.test"
        for act in FORBIDDEN_WHILE_SERVING:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(act)
    finally:
        await connection.close()


async def test_only_the_worker_changes_companies(databases: Databases) -> None:
    change = "UPDATE companies SET name = 'x'"
    connection = await asyncpg.connect(databases.app)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(change)
    finally:
        await connection.close()
    connection = await asyncpg.connect(databases.worker)
    try:
        assert await connection.execute(change) == "UPDATE 0"
    finally:
        await connection.close()


async def test_the_serving_role_only_adds_jobs(databases: Databases) -> None:
    connection = await asyncpg.connect(databases.app)
    try:
        for act in ("UPDATE pgqueuer SET payload = ''", "DELETE FROM pgqueuer"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(act)
    finally:
        await connection.close()


async def test_making_the_roles_again_changes_nothing_and_corrects_what_is_wrong(
    postgres_server: Postgres,
) -> None:
    superuser = await asyncpg.connect(postgres_server.url(SUPERUSER, "postgres"))
    try:
        await superuser.execute("ALTER ROLE bff_app BYPASSRLS CREATEDB")
        await ensure_roles(superuser, postgres_server.passwords)
        rows = await superuser.fetch(
            "SELECT rolbypassrls, rolcreatedb, rolcanlogin FROM pg_roles "
            "WHERE rolname = ANY ($1)",
            ROLES,
        )
    finally:
        await superuser.close()

    assert {tuple(row) for row in rows} == {(False, False, True)}


async def test_a_password_of_any_signs_signs_in(postgres_server: Postgres) -> None:
    strange = 'it\'s \\ "%s" $$ ; DROP ROLE bff_owner'
    superuser = await asyncpg.connect(postgres_server.url(SUPERUSER, "postgres"))
    try:
        await ensure_roles(superuser, dict.fromkeys(ROLES, strange))
        try:
            worker = await asyncpg.connect(
                host="127.0.0.1",
                port=postgres_server.port,
                user="bff_worker",
                password=strange,
                database="postgres",
            )
            await worker.close()
        finally:
            await ensure_roles(superuser, postgres_server.passwords)
    finally:
        await superuser.close()


async def test_the_roles_of_a_good_database_have_no_problems(
    databases: Databases,
) -> None:
    for url in (databases.app, databases.worker):
        connection = await asyncpg.connect(url)
        try:
            assert await problems_of_role(connection) == []
        finally:
            await connection.close()


async def test_a_role_that_could_see_everything_is_told_why_it_must_not_serve(
    databases: Databases,
) -> None:
    async with databases.superuser() as superuser:
        found = await problems_of_role(superuser)
    owner = await asyncpg.connect(databases.owner)
    try:
        owned = await problems_of_role(owner)
        await owner.execute("CREATE TABLE leaky (tenant_id bigint)")
        await owner.execute("ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY")
        unforced = await problems_of_role(owner)
    finally:
        await owner.close()

    assert any("superuser" in problem for problem in found)
    assert any("BYPASSRLS" in problem for problem in found)
    assert any("owns" in problem for problem in owned)
    assert {problem for problem in unforced if "not forced" in problem} == {
        "table leaky: row-level security is not forced",
        "table tenants: row-level security is not forced",
    }
