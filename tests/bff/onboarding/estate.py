"""A tenant to be onboarded, a fake Odoo to do it on, and what must hold at the end."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from bff import config
from bff.background import make_sign_on, make_workshop
from bff.database import connect
from bff.onboarding.jobs import work
from bff.onboarding.odoo_steps import OdooSteps
from bff.onboarding.store import OnboardingStore
from bff.onboarding.worker import Runner, utc_now
from bff.sessions.sealing import KeyRing, parse_keys
from bff.sites.safe import name_of_template, name_of_tenant, seal, unseal
from bff.sites.server import OdooServer
from odoo.breaker import Breaker
from odoo.safe import Credentials
from tests.bff.onboarding.bench import FAST
from tests.bff.onboarding.founding import ANN, OPEN
from tests.bff.waiting import until
from tests.fakes.odoo_data import ADMIN
from tests.fakes.odoo_services import (
    ADMIN_PASSWORD,
    MASTER,
    SERVICE_LOGIN,
    SERVICE_PASSWORD,
    TEMPLATE,
    TEMPLATE_KEY,
)
from tests.odoo.provisioning import at_once, fake_template
from tests.world import KEY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    import aiohttp
    from asyncpg import Record

    from bff.config import Config
    from bff.onboarding.phases import Progress
    from bff.onboarding.store import Founder
    from bff.sites.workshop import Workshop
    from odoo.databases import Databases
    from tests.databases import Databases as Urls
    from tests.fakes.odoo import FakeOdoo
    from tests.fakes.odoo_data import FakeDatabase

RING = KeyRing(parse_keys(KEY))
CLIENT, CLIENT_SECRET = "nexius-odoo", "Test-Odoo-Client-Secret-1"
# What nobody may read anywhere, beside what is made for each tenant.
SECRETS = (MASTER, CLIENT_SECRET, TEMPLATE_KEY, SERVICE_PASSWORD, ADMIN_PASSWORD)


def odoo_section(fake: FakeOdoo, **changes: Any) -> dict[str, Any]:
    """Return the settings of a gateway whose tenants get their Odoo from the fake."""
    return {
        "server_url": fake.url,
        "master_password": MASTER,
        "template": TEMPLATE,
        "sso_client_id": CLIENT,
        "sso_client_secret": CLIENT_SECRET,
        **changes,
    }


async def keep_template(databases: Urls, fake: FakeOdoo, name: str = TEMPLATE) -> None:
    """Write down what opens the copies of the fake's template, as its builder does."""
    credentials = fake_template(fake).credentials
    async with databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO odoo_templates (name, series, sealed, usable) "
            "VALUES ($1, $2, $3, true)",
            name,
            fake.series,
            seal(RING, name_of_template(name), credentials),
        )


class HastyServer(OdooServer):
    """Look again for what comes late at once, and not every half second."""

    @property
    def databases(self) -> Databases:
        return replace(super().databases, sleep=soon)


async def soon(_: float) -> None:
    await asyncio.sleep(0.01)


def hasty(workshop: Workshop) -> Workshop:
    """Return a workshop that gives late copies half a second, not half a minute."""
    server = workshop.server
    known = {one.name: getattr(server, one.name) for one in fields(server)}
    # Whose rest of ten seconds is over in a tenth of one.
    known["breaker"] = Breaker(lambda: time.monotonic() * 100)
    return replace(workshop, server=HastyServer(**known))


@dataclass
class Estate:
    """One tenant at a time (`tenant_id`), and workers for it."""

    databases: Urls
    store: OnboardingStore
    fake: FakeOdoo
    issuer: str
    http: aiohttp.ClientSession
    section: dict[str, Any] = field(default_factory=dict)
    naming: str = "odoo_t{tenant_id}"
    tenant_id: int = 0
    founder: Founder = ANN

    @property
    def config(self) -> Config:
        values: dict[str, Any] = {
            "environment": "dev",
            "database": {
                "url": self.databases.app,
                "worker_url": self.databases.worker,
            },
            "auth": {"issuer": self.issuer, "client_secret": "x", "timeout": 3},
            "session": {"keys": KEY},
            "odoo": odoo_section(
                self.fake, **{"db_name_template": self.naming, **self.section}
            ),
        }
        return config.build(values)

    async def begin(self) -> bool:
        """Call first_login; True when it set something going."""
        started = await self.store.start(self.founder, self.tenant_id or None)
        self.tenant_id = started.tenant_id
        return started.fresh

    @asynccontextmanager
    async def runner(
        self, change: Callable[[Workshop], Workshop] = lambda one: one
    ) -> AsyncGenerator[Runner]:
        """Give what runs the phases, as a process of its own would; it never waits."""
        settings = self.config
        async with connect(self.databases.worker, size=4, name="bff-worker") as pool:
            store = OnboardingStore(pool, OPEN)
            steps = OdooSteps(
                store=store,
                workshop=change(hasty(make_workshop(settings, pool, self.http))),
                sign_on=make_sign_on(settings, self.http),
            )
            yield Runner(store, steps.steps(), utc_now, sleep=at_once)

    async def run(self) -> Progress:
        """Let one worker do what there is to do."""
        async with self.runner() as runner:
            await runner.run(self.tenant_id)
        return await self.progress()

    @asynccontextmanager
    async def worker(self) -> AsyncGenerator[asyncio.Task[None]]:
        """Take jobs from the queue."""
        async with self.runner() as runner:
            task = asyncio.ensure_future(work(self.databases.worker, runner, FAST))
            try:
                yield task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def progress(self) -> Progress:
        found = await self.store.get(self.tenant_id)
        assert found is not None
        return found[0]

    async def reached(self, *statuses: str, seconds: float = 20.0) -> Progress:
        async def look() -> Progress | None:
            progress = await self.progress()
            return progress if progress.status in statuses else None

        return await until(look, seconds=seconds)

    async def row(self) -> Record:
        """Return the tenant's row, sealed column and all."""
        async with self.databases.superuser() as superuser:
            (row,) = await superuser.fetch(
                "SELECT * FROM odoo_connections WHERE tenant_id = $1", self.tenant_id
            )
        return row

    async def known(self) -> Credentials:
        """Return what the row keeps sealed."""
        row = await self.row()
        found = unseal(RING, name_of_tenant(self.tenant_id), row["sealed"])
        return found or Credentials()

    @property
    def name(self) -> str:
        return self.naming.format(tenant_id=self.tenant_id)

    @property
    def database(self) -> FakeDatabase:
        return self.fake.databases[self.name]

    async def secrets(self) -> Sequence[str]:
        """Return all that nobody may read."""
        known = await self.known()
        own = (known.key, known.service_password, known.admin_password)
        return tuple(filter(None, (*SECRETS, *own, known.code_verifier)))

    async def assert_ready(self) -> None:
        """See that all is there, nothing twice, and nobody else gets in."""
        progress = await self.progress()
        assert (progress.status, progress.error) == ("ready", None)
        await self.assert_owned()
        known, records = await self.known(), self.database.records
        rows = records["auth.oauth.provider"].items()
        ((provider, ours),) = [(at, row) for at, row in rows if row.get("enabled")]
        assert [row["name"] for _, row in rows].count(ours["name"]) == 1
        assert ours["client_id"] == CLIENT
        assert ours["code_verifier"] == known.code_verifier
        founder = records["res.users"][ADMIN]
        linked = founder["oauth_uid"], founder["oauth_provider_id"], founder["login"]
        assert linked == (self.founder.sub, provider, self.founder.email)
        names = [row["name"] for row in records["res.partner"].values()]
        assert names.count(self.founder.email) == 1
        keys = [row["key"] for row in records["ir.config_parameter"].values()]
        assert len(keys) == len(set(keys))
        assert "bff.probe" not in keys

    async def assert_owned(self) -> None:
        """See that the database is the tenant's, and opens to what the row keeps."""
        assert set(self.fake.databases) - {TEMPLATE} == {self.name}
        row, known, database = await self.row(), await self.known(), self.database
        assert (row["db_name"], row["made"]) == (self.name, True)
        assert set(database.keys) == {known.key}
        assert known.previous == ""
        users = database.records["res.users"]
        assert users[known.user]["login"] == SERVICE_LOGIN
        assert users[known.user]["password"] == known.service_password
        assert users[ADMIN]["password"] == known.admin_password
        assert (
            len([one for one in users.values() if one["login"] == SERVICE_LOGIN]) == 1
        )
        for login in ("admin", self.founder.email):
            for password in ("admin", ADMIN_PASSWORD):
                assert database.signs_in(login, password) is None
        assert database.signs_in(SERVICE_LOGIN, SERVICE_PASSWORD) is None
        assert known.user not in {one.user for one in self._template_keys(database)}

    @staticmethod
    def _template_keys(database: FakeDatabase) -> list[Any]:
        return [key for value, key in database.keys.items() if value == TEMPLATE_KEY]


async def dump(databases: Urls) -> str:
    """Return every row of every table, as text."""
    async with databases.superuser() as superuser:
        names = await superuser.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        found = []
        for row in names:
            query = f"SELECT t::text FROM {row['name']} AS t"  # noqa: S608 - of the catalogue
            found += [str(one[0]) for one in await superuser.fetch(query)]
    return "\n".join(found)


def assert_says_nothing(text: str, secrets: Sequence[str]) -> None:
    """See that no secret stands there, as it is or as PostgreSQL shows bytes."""
    for secret in secrets:
        assert len(secret) > 8, "that would be found anywhere"
        assert secret not in text
        assert secret.encode().hex() not in text


def parameter(database: FakeDatabase, key: str) -> str | None:
    """Return a system parameter."""
    rows = database.records["ir.config_parameter"].values()
    return next((row["value"] for row in rows if row["key"] == key), None)
