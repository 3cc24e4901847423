"""Write to the audit log, and read it: what was done, by whom, once and for good.

An entry is written in the transaction of the act that it tells of: both happen or
neither.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bff.client_address import address_of
from bff.database import set_tenant
from bff.telemetry import REQUEST_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import asyncpg
    from aiohttp import web

NEWEST = 2**63 - 1
ADD = """
INSERT INTO audit_log
  (tenant_id, action, actor, actor_email, subject, detail, address, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
PAGE = """
SELECT audit_id, at, action, actor, actor_email, subject, detail, address, request_id
FROM audit_log WHERE tenant_id = $1 AND audit_id < $2 AND starts_with(action, $3)
ORDER BY audit_id DESC LIMIT $4
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One act: *action* is ``area.what_was_done``, *actor* ``iss + " " + sub``.

    *actor* is empty for the system itself. *detail* never holds a secret.
    """

    action: str
    tenant_id: int | None
    actor: str = ""
    actor_email: str = ""
    subject: str = ""
    detail: Mapping[str, object] = field(default_factory=dict)
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and by which request; all empty for the system itself."""

    user_id: str = ""
    email: str = ""
    address: str = ""
    request_id: str = ""

    def did(
        self, action: str, tenant_id: int | None, subject: str = "", **detail: object
    ) -> Entry:
        """Return the entry of what they have done."""
        return Entry(
            action,
            tenant_id,
            actor=self.user_id,
            actor_email=self.email,
            subject=subject,
            detail=detail,
            address=self.address,
            request_id=self.request_id,
        )


SYSTEM = Actor()


def actor_of(request: web.Request, user_id: str = "", email: str = "") -> Actor:
    """Return whoever acts by *request*; nobody we know, unless named."""
    return Actor(user_id, email, address_of(request), request.get(REQUEST_ID, ""))


async def record(connection: asyncpg.pool.PoolConnectionProxy, entry: Entry) -> None:
    """Add *entry* in *connection*'s transaction, which must see its tenant."""
    await connection.execute(
        ADD,
        entry.tenant_id,
        entry.action,
        storable(entry.actor),
        storable(entry.actor_email),
        storable(entry.subject),
        json.dumps(_storable(entry.detail)),
        entry.address,
        entry.request_id,
    )


async def record_each(
    connection: asyncpg.pool.PoolConnectionProxy, entries: Iterable[Entry]
) -> None:
    """Add entries of several tenants, last of all in *connection*'s transaction.

    It sees the last one's tenant from then on, and no longer that of before.
    """
    for entry in entries:
        await set_tenant(connection, entry.tenant_id)
        await record(connection, entry)


async def page(
    connection: asyncpg.pool.PoolConnectionProxy,
    tenant_id: int,
    *,
    before: int = NEWEST,
    action: str = "",
    limit: int,
) -> list[dict[str, Any]]:
    """Return up to *limit* entries of a tenant older than *before*, the newest first.

    *action* is how their action begins.
    """
    rows = await connection.fetch(PAGE, tenant_id, before, action, limit)
    return [{**row, "detail": json.loads(row["detail"])} for row in rows]


def storable(text: str) -> str:
    """Return *text* as PostgreSQL takes it: browsers send what they like."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL takes *text* as it is; what it does not is nowhere."""
    return storable(text) == text


def _storable(value: object) -> object:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(key)): _storable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(one) for one in value]
    return value
