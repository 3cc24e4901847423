"""Make the three database roles: cluster-wide, so not a migration's business."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

OWNER, APP, WORKER = "bff_owner", "bff_app", "bff_worker"
ROLES = (OWNER, APP, WORKER)


async def ensure_roles(
    superuser: asyncpg.Connection, passwords: Mapping[str, str]
) -> None:
    """Create or correct the roles as a role that may do so; repeatable.

    *passwords* maps each of `ROLES` to the password it signs in with.
    """
    for role in ROLES:
        exists = await superuser.fetchval(
            "SELECT 1 FROM pg_roles WHERE rolname = $1", role
        )
        verb = "ALTER" if exists else "CREATE"
        # Role names are ours; the password is quoted by the server itself.
        literal = await superuser.fetchval("SELECT quote_literal($1)", passwords[role])
        await superuser.execute(
            f"{verb} ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB "
            f"NOCREATEROLE PASSWORD {literal}"
        )


async def ensure_database(superuser: asyncpg.Connection, name: str) -> None:
    """Create the database *name*, the owning role's, unless it is there."""
    if await superuser.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
        return
    quoted = await superuser.fetchval("SELECT quote_ident($1)", name)
    # PostgreSQL 16 asks it of whoever is no superuser: a provider's "admin".
    await superuser.execute(f"GRANT {OWNER} TO CURRENT_USER")
    await superuser.execute(f"CREATE DATABASE {quoted} OWNER {OWNER}")


async def problems_of_role(connection: asyncpg.Connection) -> list[str]:
    """Return why *connection*'s role must not serve, a sentence each."""
    row = await connection.fetchrow(
        "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles "
        "WHERE rolname = current_user"
    )
    if row is None:
        return ["the database does not know its own current role"]
    found = []
    if row["rolsuper"]:
        found.append(f"role {row['rolname']} is a superuser: row-level security is off")
    if row["rolbypassrls"]:
        found.append(f"role {row['rolname']} has BYPASSRLS: row-level security is off")
    owned = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relowner = current_user::regrole "
        "AND relkind IN ('r', 'p') ORDER BY relname"
    )
    if owned:
        found.append(
            f"role {row['rolname']} owns {owned[0]['relname']}: serve with "
            f"{APP}, which owns nothing"
        )
    unforced = await connection.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace "
        "AND a.attname = 'tenant_id' AND NOT a.attisdropped "
        "AND NOT (c.relrowsecurity AND c.relforcerowsecurity) ORDER BY 1"
    )
    found += [
        f"table {row['relname']}: row-level security is not forced" for row in unforced
    ]
    return found
