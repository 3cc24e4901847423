"""Workers that die right after a call to Odoo, or a write to our own database."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from bff.background import make_sign_on, make_workshop
from bff.database import Database, connect
from bff.onboarding.odoo_steps import OdooSteps
from bff.onboarding.store import OnboardingStore
from bff.onboarding.worker import Runner, utc_now
from tests.bff.onboarding.estate import HastyServer, hasty
from tests.bff.onboarding.founding import OPEN
from tests.odoo.provisioning import Death, MortalServer, at_once

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import asyncpg

    from odoo.databases import Databases
    from tests.bff.onboarding.estate import Estate


class MortalDatabase(Database):
    """A database whose caller dies right after a transaction was committed."""

    def __init__(self, pool: asyncpg.Pool, death: Death) -> None:
        super().__init__(pool)
        self._death = death

    @asynccontextmanager
    async def tenant_transaction(
        self, tenant_id: int
    ) -> AsyncGenerator[asyncpg.pool.PoolConnectionProxy]:
        if self._death.came:
            raise self._death.error
        async with super().tenant_transaction(tenant_id) as connection:
            before = await connection.fetchval(
                "SELECT pg_current_xact_id_if_assigned()"
            )
            assert before is None
            yield connection
            wrote = await connection.fetchval("SELECT pg_current_xact_id_if_assigned()")
        if wrote is not None:
            await self._death.step(_nothing)


@dataclass(frozen=True, kw_only=True)
class MortalOdooServer(HastyServer):
    """A server whose caller dies right after a call."""

    death: Death

    @property
    def databases(self) -> Databases:
        databases = super().databases
        known = {
            one.name: getattr(databases.server, one.name)
            for one in fields(databases.server)
        }
        return replace(databases, server=MortalServer(**known, death=self.death))


@asynccontextmanager
async def mortal(estate: Estate, death: Death) -> AsyncGenerator[Runner]:
    """Give a worker that dies as told, and leaves what it has begun."""
    settings = estate.config
    async with connect(estate.databases.worker, size=4, name="bff-worker") as pool:
        database = MortalDatabase(pool._pool, death)
        workshop = hasty(make_workshop(settings, database, estate.http))
        known = {
            one.name: getattr(workshop.server, one.name)
            for one in fields(workshop.server)
        }
        workshop = replace(workshop, server=MortalOdooServer(**known, death=death))
        store = OnboardingStore(database, OPEN)
        sign_on = make_sign_on(settings, estate.http)
        steps = OdooSteps(store=store, workshop=workshop, sign_on=sign_on)
        yield Runner(store, steps.steps(), utc_now, sleep=at_once)


async def _nothing() -> None:
    """Let time pass."""
