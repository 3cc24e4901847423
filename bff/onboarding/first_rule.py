"""Give a new workspace its first customer rule, so that its list is not empty.

Its people change it or delete it as any other (docs/icp.md).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg

NAME = "Small and medium companies in Singapore"
PAYLOAD: dict[str, Any] = {
    "sg_registered": True,
    "employee_range": {"min": 5, "max": 200},
}


async def add(connection: asyncpg.pool.PoolConnectionProxy, tenant_id: int) -> None:
    """Add it, unless there is one already; its candidates are found later."""
    await connection.execute(
        "INSERT INTO icp_rules (tenant_id, name, payload) SELECT $1, $2, $3 "
        "WHERE NOT EXISTS (SELECT FROM icp_rules WHERE tenant_id = $1) "
        "ON CONFLICT (tenant_id, name) DO NOTHING",
        tenant_id,
        NAME,
        json.dumps(PAYLOAD),
    )
