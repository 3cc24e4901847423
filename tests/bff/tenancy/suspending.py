"""What an operator does to tenants, without the command around it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bff.database import connect
from bff.tenancy import operating

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncpg.pool import PoolConnectionProxy

    from tests.world import World


@asynccontextmanager
async def at_work(world: World, tenant_id: int) -> AsyncGenerator[PoolConnectionProxy]:
    """Open a transaction of a tenant as the worker does."""
    async with (
        connect(world.databases.worker, size=1) as database,
        database.tenant_transaction(tenant_id) as connection,
    ):
        yield connection


async def suspend(world: World, tenant_id: int) -> int:
    async with at_work(world, tenant_id) as connection:
        return await operating.suspend(connection, tenant_id)


async def resume(world: World, tenant_id: int) -> bool:
    async with at_work(world, tenant_id) as connection:
        return await operating.resume(connection, tenant_id)
