"""Look at a database through its catalogue, and make empty ones."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from bff.dev.postgres import SUPERUSER, Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_numbers = itertools.count(1)

COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.attidentity::text, a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
  AND a.attnum > 0 AND NOT a.attisdropped
"""
RELATIONS = """
SELECT relname, relkind::text, relowner::regrole::text, relacl::text,
       relrowsecurity, relforcerowsecurity
FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
FUNCTIONS = """
SELECT pg_get_functiondef(oid) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
"""
TRIGGERS = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
POLICIES = """
SELECT tablename, policyname, roles::text, cmd, qual, with_check
FROM pg_policies WHERE schemaname = 'public'
"""
ENUMS = "SELECT enumtypid::regtype::text, enumlabel FROM pg_enum ORDER BY enumsortorder"
ALL = (COLUMNS, RELATIONS, CONSTRAINTS, INDEXES, FUNCTIONS, TRIGGERS, POLICIES, ENUMS)


async def schema(connection: asyncpg.Connection) -> list[list[tuple[Any, ...]]]:
    """Return all of the public schema in a form that can be compared."""
    return [
        sorted(map(tuple, await connection.fetch(query)), key=repr) for query in ALL
    ]


@asynccontextmanager
async def empty_database(server: Postgres) -> AsyncGenerator[str]:
    """Make a database without a schema and yield its name."""
    name = f"empty_{next(_numbers)}"
    superuser = await asyncpg.connect(server.url(SUPERUSER, "postgres"))
    try:
        await superuser.execute(f"CREATE DATABASE {name} OWNER bff_owner")
        yield name
        await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await superuser.close()


@asynccontextmanager
async def owner_of(server: Postgres, name: str) -> AsyncGenerator[asyncpg.Connection]:
    """Connect to *name* as the owning role."""
    connection = await asyncpg.connect(server.url("bff_owner", name))
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def superuser_of(
    server: Postgres, name: str
) -> AsyncGenerator[asyncpg.Connection]:
    """Connect to *name* as one who sees every row."""
    connection = await asyncpg.connect(server.url(SUPERUSER, name))
    try:
        yield connection
    finally:
        await connection.close()
