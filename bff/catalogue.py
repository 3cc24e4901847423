"""Read from PostgreSQL's catalogue what decides who sees which rows.

Everybody may read it, the serving role too. What belongs to an extension is left out,
and so is what PostgreSQL brings itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

# `{oid}` and `{schema}` are the columns of what is looked at, `{kind}` its catalogue.
OURS = """
{schema} NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_'
  OR nspname = 'information_schema')
AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE deptype = 'e'
  AND classid = '{kind}'::regclass AND objid = {oid})
"""
OURS_CLASS = OURS.format(schema="c.relnamespace", kind="pg_class", oid="c.oid")
OURS_PROC = OURS.format(schema="p.pronamespace", kind="pg_proc", oid="p.oid")

RELATIONS = """
SELECT c.relname AS name, c.relkind::text AS kind, c.relowner::regrole::text AS owner,
  a.attnum IS NOT NULL AS has_tenant, coalesce(a.attnotnull, false) AS tenant_not_null,
  c.relrowsecurity AND c.relforcerowsecurity AS forced,
  coalesce('security_invoker=true' = ANY(c.reloptions)
    OR 'security_invoker=on' = ANY(c.reloptions), false) AS invoker,
  c.relkind IN ('r', 'p') AND c.relhasrules AS has_rules
FROM pg_class AS c LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid
  AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {ours_class}
ORDER BY c.relname
"""
POLICIES = """
SELECT c.relname AS relation, o.polname AS name, o.polpermissive AS permissive,
  ARRAY(SELECT CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END
        FROM unnest(o.polroles) AS r ORDER BY 1) AS roles,
  CASE o.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
    WHEN 'd' THEN 'DELETE' ELSE 'ALL' END AS command,
  pg_get_expr(o.polqual, o.polrelid) AS qual,
  pg_get_expr(o.polwithcheck, o.polrelid) AS checked
FROM pg_policy AS o JOIN pg_class AS c ON c.oid = o.polrelid
WHERE {ours_class} ORDER BY 1, 2
"""
# A missing ACL is the default: for relations nobody but the owner.
GRANTS = """
SELECT kind, object, privilege_type AS privilege, is_grantable AS grantable,
  CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS grantee
FROM (
  SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'relation' END AS kind,
    c.relname::text AS object, c.relowner AS owner, acl.*
  FROM pg_class AS c, aclexplode(c.relacl) AS acl WHERE {ours_class}
  UNION ALL
  SELECT 'column', c.relname || '.' || a.attname, c.relowner, acl.*
  FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid,
    aclexplode(a.attacl) AS acl WHERE {ours_class}
  UNION ALL
  SELECT 'schema', n.nspname::text, n.nspowner, acl.*
  FROM pg_namespace AS n, aclexplode(n.nspacl) AS acl
  WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  UNION ALL
  SELECT 'function', p.proname::text, p.proowner, acl.*
  FROM pg_proc AS p,
    aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS acl
  WHERE {ours_proc}
  UNION ALL
  SELECT 'default', d.defaclobjtype::text, d.defaclrole, acl.*
  FROM pg_default_acl AS d, aclexplode(d.defaclacl) AS acl
) AS found WHERE grantee <> owner ORDER BY 1, 2, 5, 3
"""
FUNCTIONS = """
SELECT p.proname AS name, p.proowner::regrole::text AS owner,
  p.prosecdef AS definer, p.proleakproof AS leakproof
FROM pg_proc AS p WHERE {ours_proc} ORDER BY 1
"""
UNIQUES = """
SELECT c.relname AS relation, i.relname AS name, x.indisprimary AS is_primary,
  coalesce(a.attname, '') AS leading
FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indrelid
JOIN pg_class AS i ON i.oid = x.indexrelid
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]
WHERE x.indisunique AND {ours_class} ORDER BY 1, 2
"""
FOREIGN_KEYS = """
SELECT c.relname AS relation, k.conname AS name,
  k.confrelid::regclass::text AS target,
  EXISTS (SELECT 1 FROM pg_attribute AS a WHERE a.attrelid = k.confrelid
    AND a.attname = 'tenant_id' AND NOT a.attisdropped) AS to_tenants_rows,
  EXISTS (SELECT 1 FROM unnest(k.conkey, k.confkey) AS pair (here, there)
    JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = here
    JOIN pg_attribute AS b ON b.attrelid = k.confrelid AND b.attnum = there
    WHERE a.attname = 'tenant_id' AND b.attname = 'tenant_id') AS by_tenant
FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
WHERE k.contype = 'f' AND {ours_class} ORDER BY 1, 2
"""
MEMBERSHIPS = """
SELECT member::regrole::text AS role, roleid::regrole::text AS of
FROM pg_auth_members ORDER BY 1, 2
"""
# What a connection starts with: a tenant here would be everybody's.
SETTINGS = """
SELECT setting FROM pg_db_role_setting, unnest(setconfig) AS setting
WHERE setting ~* '^(request\\.|row_security=)'
  AND setdatabase IN (0, (SELECT oid FROM pg_database
    WHERE datname = current_database())) ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view, materialised view, foreign table or sequence."""

    name: str
    kind: str
    owner: str
    has_tenant: bool
    tenant_not_null: bool
    forced: bool
    invoker: bool
    has_rules: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of row-level security."""

    relation: str
    name: str
    permissive: bool
    roles: list[str]
    command: str
    qual: str | None
    checked: str | None


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege that somebody has who is not the owner."""

    kind: str
    object: str
    privilege: str
    grantable: bool
    grantee: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function or procedure."""

    name: str
    owner: str
    definer: bool
    leakproof: bool


@dataclass(frozen=True, slots=True)
class Unique:
    """A unique index and the column it begins with; empty for an expression."""

    relation: str
    name: str
    is_primary: bool
    leading: str


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key; *by_tenant* when it pairs the two tenants."""

    relation: str
    name: str
    target: str
    to_tenants_rows: bool
    by_tenant: bool


@dataclass(frozen=True, slots=True)
class Membership:
    """A role that may act as another."""

    role: str
    of: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of it, at one moment."""

    relations: list[Relation]
    policies: list[Policy]
    grants: list[Grant]
    functions: list[Function]
    uniques: list[Unique]
    foreign_keys: list[ForeignKey]
    memberships: list[Membership]
    settings: list[str]


async def read_catalogue(connection: asyncpg.Connection) -> Catalogue:
    """Return what *connection*'s database says of itself."""

    async def rows(query: str) -> list[asyncpg.Record]:
        filled = query.format(ours_class=OURS_CLASS, ours_proc=OURS_PROC)
        return await connection.fetch(filled)

    return Catalogue(
        [Relation(**row) for row in await rows(RELATIONS)],
        [Policy(**row) for row in await rows(POLICIES)],
        [Grant(**row) for row in await rows(GRANTS)],
        [Function(**row) for row in await rows(FUNCTIONS)],
        [Unique(**row) for row in await rows(UNIQUES)],
        [ForeignKey(**row) for row in await rows(FOREIGN_KEYS)],
        [Membership(**row) for row in await rows(MEMBERSHIPS)],
        [row["setting"] for row in await rows(SETTINGS)],
    )
