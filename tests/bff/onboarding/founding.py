"""Somebody who founds a workspace, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff.config_tenancy import Onboarding
from bff.onboarding.store import Founder

if TYPE_CHECKING:
    from tests.databases import Databases

ANN = Founder("https://sso.test", "ann", "ann@x.test", False, "192.0.2.1")  # noqa: FBT003 - a row
AT = "2026-01-02T03:04:05+00:00"
OPEN = Onboarding(open_to="anyone")


async def counted(databases: Databases) -> dict[str, int]:
    async with databases.superuser() as superuser:
        return {
            table: await superuser.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - our own names
            for table in ("tenants", "tenant_users", "onboarding", "pgqueuer")
        }
