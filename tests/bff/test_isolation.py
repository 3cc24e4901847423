"""The catalogue of a migrated database lets no tenants meet, and what would is found.

Each thing that is broken is broken in a transaction that is taken back: roles belong to
the whole server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bff.catalogue import Catalogue, read_catalogue
from bff.isolation import (
    EVERYBODYS,
    NOT_BY_TENANT,
    RULES,
    TENANT_MAY_BE_NULL,
    UNIQUE_OVER_ALL,
    problems_of,
)

if TYPE_CHECKING:
    from tests.databases import Databases

BY_TENANT = (
    "tenant_id = "
    "(SELECT nullif(current_setting('request.tenant_id', true), '')::bigint)"
)
BY_USER = "user_id = (SELECT nullif(current_setting('request.user_id', true), ''))"
OF_NONE_TOO = BY_TENANT.replace("=", "IS NOT DISTINCT FROM", 1)
# A table that is right in all things.
GOOD = f"""
CREATE TABLE good (tenant_id bigint NOT NULL REFERENCES tenants, x int,
  PRIMARY KEY (tenant_id, x));
ALTER TABLE good OWNER TO bff_owner;
ALTER TABLE good ENABLE ROW LEVEL SECURITY;
ALTER TABLE good FORCE ROW LEVEL SECURITY;
CREATE POLICY app_by_tenant ON good TO bff_app
  USING ({BY_TENANT}) WITH CHECK ({BY_TENANT});
CREATE POLICY worker_all ON good TO bff_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON good TO bff_app, bff_worker;
"""
OWNED = "ALTER TABLE {0} OWNER TO bff_owner; GRANT SELECT ON {0} TO bff_app;"
AS_IT_IS = "SELECT 1"
# What is done, and what is said of it.
BREAKS = {
    # Tables
    "no row security": (
        GOOD + "ALTER TABLE good DISABLE ROW LEVEL SECURITY",
        "table good: row-level security is not forced",
    ),
    "not forced": (
        "ALTER TABLE lead_scores NO FORCE ROW LEVEL SECURITY",
        "table lead_scores: row-level security is not forced",
    ),
    "tenant may be null": (
        "CREATE TABLE bad (x int PRIMARY KEY, tenant_id bigint);" + OWNED.format("bad"),
        "table bad: tenant_id may be NULL",
    ),
    "a table nobody knows": (
        "CREATE TABLE bad (x int PRIMARY KEY);" + OWNED.format("bad"),
        "table bad has no tenant_id and is not known as shared",
    ),
    "a partition of its own": (
        "CREATE TABLE bad (tenant_id bigint NOT NULL, PRIMARY KEY (tenant_id)) "
        "PARTITION BY LIST (tenant_id); ALTER TABLE bad ENABLE ROW LEVEL SECURITY;"
        "ALTER TABLE bad FORCE ROW LEVEL SECURITY;"
        "CREATE TABLE bad_1 PARTITION OF bad FOR VALUES IN (1);"
        + OWNED.format("bad_1"),
        "table bad_1: row-level security is not forced",
    ),
    "a partitioned table": (
        "CREATE TABLE bad (tenant_id bigint NOT NULL, PRIMARY KEY (tenant_id)) "
        "PARTITION BY LIST (tenant_id);" + OWNED.format("bad"),
        "table bad: row-level security is not forced",
    ),
    "a rewrite rule": (
        "CREATE RULE bad AS ON INSERT TO lead_scores DO ALSO SELECT 1",
        "table lead_scores has a rewrite rule",
    ),
    "a table in another schema": (
        "CREATE SCHEMA other; CREATE TABLE other.bad (tenant_id bigint NOT NULL);"
        + OWNED.format("other.bad"),
        "table bad: row-level security is not forced",
    ),
    # Ways round
    "a view": (
        "CREATE VIEW bad AS TABLE lead_scores;" + OWNED.format("bad"),
        "view bad reads as its owner",
    ),
    "a view for everybody": (
        "CREATE VIEW bad AS SELECT 1 AS one; GRANT SELECT ON bad TO PUBLIC",
        "view bad reads as its owner",
    ),
    "a view with the option off": (
        "CREATE VIEW bad WITH (security_invoker = false) AS SELECT 1 AS one;"
        + OWNED.format("bad"),
        "view bad reads as its owner",
    ),
    "a materialised view": (
        "CREATE MATERIALIZED VIEW bad AS TABLE lead_scores;" + OWNED.format("bad"),
        "materialised view bad: row-level security cannot guard it",
    ),
    "a foreign table": (
        (
            "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
            "CREATE FOREIGN TABLE bad (x int) SERVER s; GRANT SELECT ON bad TO bff_app"
        ),
        "foreign table bad",
    ),
    "a function as its owner": (
        (
            "CREATE FUNCTION bad() RETURNS int LANGUAGE sql SECURITY DEFINER "
            "AS 'SELECT 1'"
        ),
        "function bad acts as its owner",
    ),
    "a procedure as its owner": (
        "CREATE PROCEDURE bad() LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "function bad acts as its owner",
    ),
    "a leakproof function": (
        (
            "CREATE FUNCTION bad(text) RETURNS bool LANGUAGE sql LEAKPROOF "
            "AS 'SELECT true'"
        ),
        "function bad is LEAKPROOF",
    ),
    # Owners and roles
    "an owner who serves": (
        (
            "GRANT CREATE ON SCHEMA public TO bff_app;"
            "ALTER TABLE lead_scores OWNER TO bff_app"
        ),
        "lead_scores is owned by bff_app",
    ),
    "a superuser's table": (
        "ALTER TABLE lead_scores OWNER TO CURRENT_USER",
        "lead_scores is owned by",
    ),
    "a sequence of who serves": (
        (
            "GRANT CREATE ON SCHEMA public TO bff_worker;"
            "CREATE SEQUENCE bad; ALTER SEQUENCE bad OWNER TO bff_worker"
        ),
        "bad is owned by bff_worker",
    ),
    "a function of who serves": (
        (
            "GRANT CREATE ON SCHEMA public TO bff_app; ALTER FUNCTION "
            "announce_ended_session OWNER TO bff_app"
        ),
        "function announce_ended_session is owned by bff_app",
    ),
    "acting as the owner": (
        "GRANT bff_owner TO bff_app",
        "role bff_app may act as bff_owner",
    ),
    "reading all data": (
        "GRANT pg_read_all_data TO bff_worker",
        "role bff_worker may act as pg_read_all_data",
    ),
    "a tenant for everybody of a role": (
        "ALTER ROLE bff_app SET request.tenant_id = '2'",
        "sets request.tenant_id for all connections",
    ),
    "row security off for a role": (
        "ALTER ROLE bff_app SET row_security = off",
        "sets row_security for all connections",
    ),
    # Policies
    "a policy for everybody": (
        f"CREATE POLICY bad ON lead_scores FOR SELECT USING ({BY_TENANT})",
        "policy bad on lead_scores is for PUBLIC",
    ),
    "a policy for a stranger": (
        f"CREATE POLICY bad ON lead_scores TO pg_monitor USING ({BY_TENANT})",
        "policy bad on lead_scores is for pg_monitor",
    ),
    "a restrictive policy": (
        (
            "CREATE POLICY bad ON lead_scores AS RESTRICTIVE FOR SELECT TO bff_worker "
            "USING (true)"
        ),
        "policy bad on lead_scores is restrictive",
    ),
    "using without check": (
        GOOD + "DROP POLICY app_by_tenant ON good;"
        f"CREATE POLICY bad ON good TO bff_app USING ({BY_TENANT})",
        "policy bad on good must have both USING and WITH CHECK",
    ),
    "an update without check": (
        f"CREATE POLICY bad ON lead_scores FOR UPDATE TO bff_app USING ({BY_TENANT})",
        "policy bad on lead_scores must have both USING and WITH CHECK",
    ),
    "true for who serves": (
        "CREATE POLICY bad ON lead_scores FOR SELECT TO bff_app USING (true)",
        "policy bad on lead_scores goes by another expression: true",
    ),
    "an OR around what narrows": (
        (
            "ALTER POLICY app_by_tenant ON lead_scores "
            f"WITH CHECK (({BY_TENANT} AND score > 0) OR score > 1)"
        ),
        "policy app_by_tenant on lead_scores goes by another expression",
    ),
    "another way to say it": (
        (
            "CREATE POLICY bad ON lead_scores FOR SELECT TO bff_app USING "
            "(tenant_id::text = current_setting('request.tenant_id', true))"
        ),
        "policy bad on lead_scores goes by another expression",
    ),
    "a way round": (
        (
            "ALTER POLICY app_own ON tenant_users USING (user_id = "
            "current_setting('request.user_id', true) OR true)"
        ),
        "policy app_own on tenant_users goes by another expression",
    ),
    "a known policy by another setting": (
        (
            "ALTER POLICY app_own ON tenant_users USING (user_id = "
            "current_setting('request.somebody', true))"
        ),
        "policy app_own on tenant_users goes by another expression",
    ),
    "anybody but the one who is named": (
        (
            "ALTER POLICY app_own ON tenant_users USING (user_id <> "
            "(SELECT nullif(current_setting('request.user_id', true), '')))"
        ),
        "policy app_own on tenant_users goes by another expression",
    ),
    "whenever somebody is named": (
        (
            "ALTER POLICY app_own ON auth_session USING "
            "(current_setting('request.user_id', true) IS NOT NULL)"
        ),
        "policy app_own on auth_session goes by another expression",
    ),
    "whenever nobody is named": (
        (
            "ALTER POLICY app_own ON auth_session WITH CHECK (user_id = "
            "(SELECT current_setting('request.user_id', true)))"
        ),
        "policy app_own on auth_session goes by another expression",
    ),
    "all tenants from one on": (
        (
            "ALTER POLICY app_by_admin ON auth_session USING (tenant_id >= (SELECT "
            "nullif(current_setting('request.sessions_of_tenant', true), '')::bigint))"
        ),
        "policy app_by_admin on auth_session goes by another expression",
    ),
    "whoever is like the one who is named": (
        (
            "ALTER POLICY app_own ON tenant_users USING (user_id ~~ "
            "(SELECT nullif(current_setting('request.user_id', true), '')))"
        ),
        "policy app_own on tenant_users goes by another expression",
    ),
    "all invitations but one": (
        (
            "ALTER POLICY app_by_token ON tenant_invites USING (NOT (token_hash = "
            "(SELECT decode(nullif(current_setting('request.invite', true), ''), "
            "'hex'))))"
        ),
        "policy app_by_token on tenant_invites goes by another expression",
    ),
    "another column": (
        (
            "ALTER POLICY app_own ON tenant_users USING (email = "
            "(SELECT nullif(current_setting('request.user_id', true), '')))"
        ),
        "policy app_own on tenant_users goes by another expression",
    ),
    "a known policy for all acts": (
        (
            "DROP POLICY app_own ON tenant_users; CREATE POLICY app_own "
            f"ON tenant_users TO bff_app USING ({BY_USER}) WITH CHECK ({BY_USER})"
        ),
        "policy app_own on tenant_users goes by another expression",
    ),
    "a known policy for another act": (
        (
            "DROP POLICY app_own ON tenant_users; CREATE POLICY app_own "
            f"ON tenant_users FOR DELETE TO bff_app USING ({BY_USER})"
        ),
        "policy app_own on tenant_users goes by another expression",
    ),
    "the audit log's adding for changing": (
        (
            "DROP POLICY app_adds ON audit_log; CREATE POLICY app_adds ON audit_log "
            f"FOR UPDATE TO bff_app USING ({OF_NONE_TOO}) WITH CHECK ({OF_NONE_TOO})"
        ),
        "policy app_adds on audit_log goes by another expression",
    ),
    "tenants but one's own": (
        (
            "ALTER POLICY app_by_tenant ON tenants USING "
            f"({BY_TENANT.replace('=', '<>', 1)}) WITH CHECK ({BY_TENANT})"
        ),
        "table tenants has no policy that goes by request.tenant_id",
    ),
    "the audit log for anybody": (
        "ALTER POLICY app_adds ON audit_log WITH CHECK (tenant_id IS NOT NULL)",
        "policy app_adds on audit_log goes by another expression",
    ),
    "the one expression itself": (
        "ALTER POLICY app_by_tenant ON tenants USING (true) WITH CHECK (true)",
        "table tenants has no policy that goes by request.tenant_id",
    ),
    "no policy on tenants": (
        "DROP POLICY app_by_tenant ON tenants",
        "table tenants has no policy that goes by request.tenant_id",
    ),
    # Grants
    "a table for everybody": (
        "GRANT SELECT ON tenants TO PUBLIC",
        "everybody has SELECT on relation tenants",
    ),
    "a column for everybody": (
        "GRANT SELECT (name) ON tenants TO PUBLIC",
        "everybody has SELECT on column tenants.name",
    ),
    "a sequence for everybody": (
        "GRANT USAGE ON SEQUENCE tenants_tenant_id_seq TO PUBLIC",
        "everybody has USAGE on sequence tenants_tenant_id_seq",
    ),
    "a schema for everybody": (
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "everybody has CREATE on schema public",
    ),
    "emptying a table": (
        "GRANT TRUNCATE ON lead_scores TO bff_app",
        "bff_app has TRUNCATE on relation lead_scores",
    ),
    "referring to a table": (
        "GRANT REFERENCES ON tenants TO bff_worker",
        "bff_worker has REFERENCES on relation tenants",
    ),
    "a trigger": (
        "GRANT TRIGGER ON tenants TO bff_app",
        "bff_app has TRIGGER on relation tenants",
    ),
    "referring to a column": (
        "GRANT REFERENCES (tenant_id) ON tenants TO bff_app",
        "bff_app has REFERENCES on column tenants.tenant_id",
    ),
    "setting a sequence back": (
        "GRANT UPDATE ON SEQUENCE tenants_tenant_id_seq TO bff_app",
        "bff_app has UPDATE on sequence tenants_tenant_id_seq",
    ),
    "reading a sequence": (
        "GRANT SELECT ON SEQUENCE tenants_tenant_id_seq TO bff_app",
        "bff_app has SELECT on sequence tenants_tenant_id_seq",
    ),
    "making tables": (
        "GRANT CREATE ON SCHEMA public TO bff_worker",
        "bff_worker has CREATE on schema public",
    ),
    "another schema": (
        "CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO bff_app",
        "bff_app has USAGE on schema other",
    ),
    "passing on": (
        "GRANT SELECT ON lead_scores TO bff_app WITH GRANT OPTION",
        "bff_app may pass SELECT on relation lead_scores on",
    ),
    "grants to come": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO bff_app",
        "bff_app has SELECT on default r",
    ),
    "grants to come for everybody": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE bff_owner GRANT SELECT ON TABLES TO PUBLIC",
        "everybody has SELECT on default r",
    ),
    # Keys
    "no primary key": (
        GOOD + "ALTER TABLE good DROP CONSTRAINT good_pkey",
        "table good has no primary key",
    ),
    "a key of all tenants": (
        GOOD + "ALTER TABLE good DROP CONSTRAINT good_pkey; "
        "ALTER TABLE good ADD PRIMARY KEY (x)",
        "unique index good_pkey does not begin with tenant_id",
    ),
    "a key that ends with the tenant": (
        "CREATE UNIQUE INDEX bad ON icp_rules (name, tenant_id)",
        "unique index bad does not begin with tenant_id",
    ),
    "unique over all tenants": (
        "CREATE UNIQUE INDEX bad ON tenant_users (email)",
        "unique index bad does not begin with tenant_id",
    ),
    "unique by an expression": (
        "CREATE UNIQUE INDEX bad ON tenants (lower(name))",
        "unique index bad does not begin with tenant_id",
    ),
    "a foreign key across tenants": (
        (
            "ALTER TABLE icp_rules ADD CONSTRAINT one UNIQUE (tenant_id, rule_id);"
            "CREATE UNIQUE INDEX u ON icp_rules (rule_id);"
            "ALTER TABLE lead_features ADD COLUMN rule_id bigint, "
            "ADD CONSTRAINT bad FOREIGN KEY (rule_id) REFERENCES icp_rules (rule_id)"
        ),
        "foreign key bad of lead_features refers to rows of icp_rules",
    ),
    "a shared table's foreign key": (
        (
            "ALTER TABLE companies ADD COLUMN owner bigint "
            "CONSTRAINT bad REFERENCES tenants"
        ),
        "foreign key bad of companies refers to rows of tenants",
    ),
}


async def catalogue_after(databases: Databases, act: str) -> Catalogue:
    """Return what the catalogue says in a transaction that is taken back."""
    async with databases.superuser() as superuser:
        transaction = superuser.transaction()
        await transaction.start()
        try:
            await superuser.execute(act)
            return await read_catalogue(superuser)
        finally:
            await transaction.rollback()


async def test_nothing_in_the_catalogue_lets_tenants_meet(databases: Databases) -> None:
    assert problems_of(await catalogue_after(databases, AS_IT_IS)) == []


async def test_a_table_that_is_right_in_all_things_is_no_problem(
    databases: Databases,
) -> None:
    act = GOOD + (
        "CREATE VIEW seen WITH (security_invoker = true) AS TABLE good;"
        + OWNED.format("seen")
        + "CREATE VIEW not_ours AS TABLE good;"  # nobody who serves reads it
        + "CREATE FUNCTION harmless() RETURNS int LANGUAGE sql AS 'SELECT 1';"
    )
    found = await catalogue_after(databases, act)

    assert {"good", "seen", "not_ours"} <= {one.name for one in found.relations}
    assert problems_of(found) == []


@pytest.mark.parametrize("name", BREAKS)
async def test_what_would_let_tenants_meet_is_found(
    databases: Databases, name: str
) -> None:
    act, said = BREAKS[name]

    found = problems_of(await catalogue_after(databases, act))

    assert any(problem.startswith(said) or said in problem for problem in found), found


def test_every_rule_finds_something_when_it_is_broken() -> None:
    """What this file breaks must stay as wide as what the rules say."""
    kinds = {said.split()[0] for _, said in BREAKS.values()}
    assert len(RULES) == 6
    assert {"table", "view", "function", "role", "policy", "everybody"} <= kinds


async def test_the_serving_role_itself_can_look(databases: Databases) -> None:
    import asyncpg  # noqa: PLC0415 - only here

    connection = await asyncpg.connect(databases.app)
    try:
        seen = await read_catalogue(connection)
    finally:
        await connection.close()
    assert seen == await catalogue_after(databases, AS_IT_IS)


async def test_no_exception_outlives_what_it_was_made_for(databases: Databases) -> None:
    found = await catalogue_after(databases, AS_IT_IS)
    tables = {one.name for one in found.relations if one.kind in {"r", "p"}}
    nullable = {
        one.name
        for one in found.relations
        if one.kind in {"r", "p"} and one.has_tenant and not one.tenant_not_null
    }

    assert EVERYBODYS.keys() <= tables
    assert TENANT_MAY_BE_NULL.keys() == nullable
    assert UNIQUE_OVER_ALL.keys() <= {one.name for one in found.uniques}
    assert NOT_BY_TENANT.keys() <= {(p.relation, p.name) for p in found.policies}
    reasons = [*EVERYBODYS.values(), *TENANT_MAY_BE_NULL.values()]
    assert all(len(reason.split()) >= 3 for reason in reasons)
