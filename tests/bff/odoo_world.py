"""A world with a fake Odoo, workers run by hand, and a tenant to look after."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bff import background, database
from bff.sessions.keyring import load_ring
from bff.sites.safe import TemplateSafe, name_of_tenant, unseal
from bff.sites.store import Templates
from bff.sites.tasks import ask
from tests.bff.waiting import until
from tests.fakes.odoo import FakeOdoo, odoo_server
from tests.fakes.odoo_services import MASTER, TEMPLATE
from tests.odoo.provisioning import fake_template
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from asyncpg import Record

    from bff.sites.tasks import Kind
    from odoo.safe import Credentials
    from tests.databases import Databases
    from tests.fakes.odoo_data import FakeDatabase
    from tests.world import Browser

TENANT, NAME = 1001, "odoo_t1001"
ALICE = "alice@acme.test"
# Onboarding on a busy machine.
READY = 30.0


def settings(fake: FakeOdoo, **odoo: Any) -> dict[str, dict[str, Any]]:
    """Return what a gateway beside *fake* is told; its workers are run by hand."""
    return {
        "worker": {"embedded": False, "heartbeat": 1, "dequeue": 0.2},
        "odoo": {
            "server_url": fake.url,
            "master_password": MASTER,
            "template": TEMPLATE,
            "sso_client_id": "odoo",
            "sso_client_secret": "test-odoo-client-secret",
            **odoo,
        },
    }


@dataclass
class OdooWorld:
    """The world, its Odoo, and what is known of the first tenant's there."""

    world: World
    fake: FakeOdoo
    # Ends the fake: from then on nobody answers at its address.
    stop_odoo: Callable[[], Awaitable[None]]

    @property
    def odoo(self) -> FakeDatabase:
        """Return the tenant's database."""
        return self.fake.databases[NAME]

    @asynccontextmanager
    async def worker(self) -> AsyncGenerator[None]:
        """Run a worker; several may be run at once."""
        async with background.worker(self.world.config):
            yield

    @asynccontextmanager
    async def admin(self) -> AsyncGenerator[Browser]:
        """Give a browser of the tenant's admin, by the gateway's own table."""
        async with self.world.signed_in(ALICE):
            pass  # a first sign-in makes a member
        async with self.world.databases.superuser() as superuser:
            await superuser.execute(
                "UPDATE tenant_users SET roles = '{viewer,ops,admin}' "
                "WHERE email = $1 AND tenant_id = $2",
                ALICE,
                TENANT,
            )
        async with self.world.signed_in(ALICE) as browser:
            yield browser

    async def ready(self, browser: Browser) -> None:
        """Onboard the tenant; a worker is running."""
        answer = await browser.post("/onboarding/first_login")
        assert answer.status == 202, await answer.text()

        async def look() -> bool:
            found = await (await browser.get("/onboarding/status")).json()
            assert found["status"] != "error", found
            return bool(found["status"] == "ready")

        await until(look, seconds=READY)

    async def row(self) -> Record:
        """Return the row of the tenant's database."""
        async with self.world.databases.superuser() as superuser:
            (found,) = await superuser.fetch(
                "SELECT * FROM odoo_connections WHERE tenant_id = $1", TENANT
            )
        return found

    async def task(self, kind: str) -> Record | None:
        """Return the row of the last task of a kind."""
        async with self.world.databases.superuser() as superuser:
            return await superuser.fetchrow(
                "SELECT * FROM odoo_tasks WHERE tenant_id = $1 AND kind = $2",
                TENANT,
                kind,
            )

    async def ask(self, kind: Kind, *, seconds: float = 20.0, **request: Any) -> Record:
        """Ask for a task, and return its row once it is over; a worker is running."""
        worker = self.world.databases.worker
        # Who may let people in and out: operators, by the worker's role.
        async with (
            database.connect(worker, size=1, name="test-asking") as db,
            db.tenant_transaction(TENANT) as connection,
        ):
            asked = await ask(connection, TENANT, kind, request=request)
        found = await self.over(str(kind), seconds)
        assert found["run"] == asked.task.run
        return found

    async def over(self, kind: str, seconds: float = 20.0) -> Record:
        """Return the row of a task once it is over."""

        async def look() -> Record | None:
            found = await self.task(kind)
            return found if found and found["finished_at"] else None

        return await until(look, seconds=seconds)

    async def execute(self, statement: str, *values: object) -> None:
        """Do something behind the gateway's back."""
        async with self.world.databases.superuser() as superuser:
            await superuser.execute(statement, *values)

    async def kept(self) -> Credentials:
        """Return what the gateway keeps to open the tenant's database."""
        sealed = (await self.row())["sealed"]
        ring = load_ring(self.world.config)
        found = unseal(ring, name_of_tenant(TENANT), sealed)
        assert found is not None
        return found

    async def actions(self) -> list[str]:
        """Return the tenant's audit entries about its Odoo, the oldest first."""
        async with self.world.databases.superuser() as superuser:
            rows = await superuser.fetch(
                "SELECT action FROM audit_log WHERE tenant_id = $1 "
                "AND action LIKE 'odoo.%' ORDER BY audit_id",
                TENANT,
            )
        return [row["action"] for row in rows]


@asynccontextmanager
async def odoo_world(
    databases: Databases, *, programmatic: bool = False, **odoo: Any
) -> AsyncGenerator[OdooWorld]:
    """Run a gateway without a worker beside a fake Odoo that has our template."""
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(odoo_server(programmatic=programmatic))
        told = settings(fake, **odoo)
        async with World(databases, settings=told).running() as world:
            await keep_template(world, fake)
            yield OdooWorld(world, fake, stack.aclose)


async def keep_template(world: World, fake: FakeOdoo) -> None:
    """Let the gateway know the fake's template, as if it had built it."""
    ring, template = load_ring(world.config), fake_template(fake)
    async with database.connect(world.databases.worker, size=1) as db:
        safe = TemplateSafe(db, ring, template.name, fake.series)
        await safe.keep(template.credentials)
        await Templates(db, ring).finish(template.name)
