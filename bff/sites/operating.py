"""What operators ask and change of tenants' Odoo and its templates, in our database.

All of it by the worker's role, on a connection that is in a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bff.sites.tasks import Kind

if TYPE_CHECKING:
    from datetime import datetime

    from asyncpg.pool import PoolConnectionProxy

    from bff.sites.holding import Hold

# Of all who build or drop a template, one at a time.
LOCK = 0x6F_64_6F_6F_74_70_6C
TEMPLATES = """
SELECT name, series, recipe, usable, created_at,
  (SELECT count(*) FROM odoo_connections AS one WHERE one.template = made.name)
    AS tenants,
  (SELECT count(*) FROM odoo_warm AS one WHERE one.template = made.name) AS warm
FROM odoo_templates AS made ORDER BY created_at, name
"""
BEING_MADE = """
SELECT tenant_id FROM odoo_connections AS its LEFT JOIN onboarding USING (tenant_id)
WHERE its.template = $1 AND (NOT its.made OR onboarding.status <> 'ready')
ORDER BY tenant_id
"""
TASKS = """
SELECT kind, run, state, code, problem, asked_at, finished_at FROM odoo_tasks
WHERE tenant_id = $1 ORDER BY asked_at, kind
"""
OPPOSITE = {Kind.SUSPEND: Kind.RESUME, Kind.RESUME: Kind.SUSPEND}
# Also one that has begun: whoever takes up what a killed worker left would undo what is
# asked for now. One that is at work ends first: a tenant is in one hand at a time.
SUPERSEDE = """
UPDATE odoo_tasks SET state = 'failed', code = 'superseded',
  problem = 'The opposite was asked for since.', finished_at = now()
WHERE tenant_id = $1 AND kind = $2 AND state IN ('queued', 'running')
"""
FORGET = """
DELETE FROM odoo_connections WHERE tenant_id = $1 AND fence = $2 RETURNING true
"""
END_TASKS = """
UPDATE odoo_tasks SET state = 'failed', code = 'odoo_missing',
  problem = 'The Odoo of this workspace was removed.', finished_at = now()
WHERE tenant_id = $1 AND state IN ('queued', 'running')
"""


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """A template, with how many tenants came from it and copies are kept ready."""

    name: str
    series: str
    recipe: str
    usable: bool
    created_at: datetime
    tenants: int
    warm: int


async def alone(connection: PoolConnectionProxy) -> bool:
    """Be the only one at the templates until the transaction ends; False if not."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK))


async def templates(connection: PoolConnectionProxy) -> dict[str, TemplateRow]:
    """Return all templates by name, oldest first."""
    rows = await connection.fetch(TEMPLATES)
    return {row["name"]: TemplateRow(**row) for row in rows}


async def tenant_of(connection: PoolConnectionProxy, database: str) -> int | None:
    """Return whose database is called so, None if it is no tenant's."""
    found: int | None = await connection.fetchval(
        "SELECT tenant_id FROM odoo_connections WHERE db_name = $1", database
    )
    return found


async def being_made(connection: PoolConnectionProxy, template: str) -> list[int]:
    """Return the tenants whose Odoo is being made from a template, and is not ready."""
    rows = await connection.fetch(BEING_MADE, template)
    return [row["tenant_id"] for row in rows]


async def retire_template(connection: PoolConnectionProxy, name: str) -> bool:
    """Let no more copies be made of a template; False if there is none."""
    return bool(
        await connection.fetchval(
            "UPDATE odoo_templates SET usable = false WHERE name = $1 RETURNING true",
            name,
        )
    )


async def forget_template(connection: PoolConnectionProxy, name: str) -> None:
    """Delete a template's row, and what opened it."""
    await connection.execute("DELETE FROM odoo_templates WHERE name = $1", name)


async def tasks(
    connection: PoolConnectionProxy, tenant_id: int
) -> list[dict[str, Any]]:
    """Return what was asked of a tenant's Odoo last, of each kind."""
    return [dict(row) for row in await connection.fetch(TASKS, tenant_id)]


async def is_made(connection: PoolConnectionProxy, tenant_id: int) -> bool | None:
    """Tell whether a tenant's database is there, None where none was begun."""
    made: bool | None = await connection.fetchval(
        "SELECT made FROM odoo_connections WHERE tenant_id = $1", tenant_id
    )
    return made


async def supersede(
    connection: PoolConnectionProxy, tenant_id: int, kind: Kind
) -> None:
    """Take back the opposite of suspending or resuming."""
    await connection.execute(SUPERSEDE, tenant_id, str(OPPOSITE[kind]))


async def forget(connection: PoolConnectionProxy, hold: Hold) -> bool:
    """Delete a tenant's row, end what was asked of it; False if another took over."""
    if not await connection.fetchval(FORGET, hold.tenant_id, hold.fence):
        return False
    await connection.execute(END_TASKS, hold.tenant_id)
    return True
