"""Write to the audit log: what was done, by whom, once and for good.

An entry is written in the transaction of the act that it tells of: both happen or
neither.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

ADD = """
INSERT INTO audit_log
  (tenant_id, action, actor, actor_email, subject, detail, address, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
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


async def record(connection: asyncpg.pool.PoolConnectionProxy, entry: Entry) -> None:
    """Add *entry* in *connection*'s transaction, which must see its tenant."""
    await connection.execute(
        ADD,
        entry.tenant_id,
        entry.action,
        entry.actor,
        entry.actor_email,
        entry.subject,
        json.dumps(entry.detail),
        entry.address,
        entry.request_id,
    )
