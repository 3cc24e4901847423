"""A gateway and its workers as processes, a realm of Keycloak, and an Odoo."""

from __future__ import annotations

import json
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import asyncpg

from bff.dev.ports import free_port
from bff.sites.safe import name_of_tenant, unseal
from tests.bff.waiting import until
from tests.real.keycloak_realms import BFF, PROVISIONER, secret
from tests.real.odoo_kept import RING, keep_template, template_in
from tests.real.odoo_person import READY_SECONDS, Person
from tests.replicas import Replica, settings
from tests.replicas import _start as start_process
from tests.replicas import _stop as stop_process
from tests.world import Browser

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from odoo.safe import Credentials
    from tests.databases import Databases
    from tests.real.odoo import Odoo
    from tests.real.own_realm import OwnRealm
    from tests.world import World

# Longer than anybody waits for a copy: where somebody else is waited for, too.
SLOWLY = 200.0


@dataclass
class Worker:
    """One `bff worker`."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()


@dataclass
class Estate:
    """Everything that an onboarding touches; the settings are of every process."""

    realm: OwnRealm
    odoo: Odoo
    databases: Databases
    folder: Path
    prefix: str
    values: dict[str, dict[str, Any]]
    gateway: Replica = field(init=False)
    workers: list[Worker] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.gateway.url

    def name(self, tenant_id: int) -> str:
        """Return what a tenant's database is called."""
        return f"{self.prefix}{tenant_id}"

    async def start_gateway(self) -> None:
        """Start `bff serve` and let Keycloak send people back to it."""
        host, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        url = f"http://{host}"
        server = {
            "listen": host,
            "admin_listen": admin,
            "public_origins": [url],
            "drain": 0.5,
        }
        log = self._log("gateway")
        process = start_process(self.folder, log, {**self.values, "server": server})
        self.gateway = Replica(url, f"http://{admin}", process, log)
        await self.gateway.hears()
        query = f"/clients?clientId={BFF}"
        (client,) = (await self.realm.administrate("GET", query)).json
        uris = [*client["redirectUris"], f"{url}/auth/callback"]
        await self.realm.administrate(
            "PUT", f"/clients/{client['id']}", json={**client, "redirectUris": uris}
        )

    def start_worker(self) -> Worker:
        """Start `bff worker`."""
        log = self._log("worker")
        process = start_process(self.folder, log, self.values, "worker")
        self.workers.append(Worker(process, log))
        return self.workers[-1]

    def stop(self) -> None:
        """End all processes."""
        for worker in self.workers:
            stop_process(worker.process)
        stop_process(self.gateway.process)

    def output(self) -> str:
        """Return all that our processes have logged."""
        return "\n".join(
            log.read_text(encoding="utf-8", errors="replace") for log in self.logs
        )

    def complaints(self) -> str:
        """Return what of it is more than one line for each request."""
        lines = self.output().splitlines()
        return "\n".join(line for line in lines if '"aiohttp.access"' not in line)

    @asynccontextmanager
    async def somebody(self, **changes: Any) -> AsyncGenerator[Person]:
        """Give a new person of the realm, signed in at the gateway."""
        self.realm.side.token_of_provisioner = ""  # it lasts a minute
        user = await self.realm.side.somebody(**changes)
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True)
        ) as session:
            # Of its world a browser asks nothing but this name.
            world = cast("World", self)
            browser = Browser(world, session, self.url)
            person = Person(user["email"], user["id"], browser)
            await person.sign_in()
            yield person

    async def credentials(self, tenant_id: int) -> Credentials:
        """Open what is kept sealed of a tenant's database."""
        async with self.databases.superuser() as superuser:
            sealed = await superuser.fetchval(
                "SELECT sealed FROM odoo_connections WHERE tenant_id = $1", tenant_id
            )
        found = unseal(RING, name_of_tenant(tenant_id), sealed)
        assert found is not None
        return found

    async def copies(self) -> dict[str, str]:
        """Return the uuid of each database of ours in Odoo's PostgreSQL, by name."""
        found = {}
        for name in await self._names():
            connection = await asyncpg.connect(self.odoo.place.superuser(name))
            try:
                found[name] = await connection.fetchval(
                    "SELECT value FROM ir_config_parameter WHERE key = 'database.uuid'"
                )
            finally:
                await connection.close()
        return found

    async def _names(self) -> list[str]:
        connection = await asyncpg.connect(self.odoo.place.superuser())
        try:
            rows = await connection.fetch(
                "SELECT datname FROM pg_database WHERE starts_with(datname, $1)",
                self.prefix,
            )
        finally:
            await connection.close()
        return sorted(row["datname"] for row in rows)

    async def onboarding(self, tenant_id: int) -> dict[str, Any]:
        """Return the row, which is the truth, whoever else is away."""
        async with self.databases.superuser() as superuser:
            row = await superuser.fetchrow(
                "SELECT status, attempt, error, phases FROM onboarding "
                "WHERE tenant_id = $1",
                tenant_id,
            )
        return {**dict(row or {}), "phases": json.loads(row["phases"]) if row else []}

    async def is_at(
        self, tenant_id: int, *statuses: str, seconds: float = READY_SECONDS
    ) -> dict[str, Any]:
        """Wait until the row says one of these, and return it."""

        async def look() -> dict[str, Any] | None:
            found = await self.onboarding(tenant_id)
            return found if found["status"] in statuses else None

        try:
            return await until(look, seconds=seconds)
        except TimeoutError:
            found = await self.onboarding(tenant_id)
            raise AssertionError(f"{found}\n{self.complaints()}") from None

    async def drop_all(self) -> None:
        """Drop what was made in Odoo, also what nobody has claimed."""
        async with self.databases.superuser() as superuser:
            rows = await superuser.fetch("SELECT name FROM odoo_warm")
        warm = [row["name"] for row in rows]
        await self.odoo.place.drop([*await self._names(), *warm])

    def _log(self, what: str) -> Path:
        self.logs.append(self.folder / f"{what}-{len(self.logs)}.log")
        return self.logs[-1]


@asynccontextmanager
async def estate(
    realm: OwnRealm,
    databases: Databases,
    odoo: Odoo,
    folder: Path,
    *,
    workers: int = 1,
    by_host: bool = False,
    provider_timeout: float = 20.0,
    proxy: dict[str, Any] | None = None,
    **odoo_settings: Any,
) -> AsyncGenerator[Estate]:
    """Run the gateway and *workers* beside it, over the Odoo's prepared template.

    With *by_host* each tenant's Odoo has a host of its own, as `dbfilter = ^%d$` asks.
    Without *proxy* there is no graph server.
    """
    prefix = f"e{uuid.uuid4().hex[:8]}t"
    more = dict(odoo_settings)
    if by_host:
        more["base_url_template"] = odoo.url.replace("127.0.0.1", "{db_name}.localhost")
    auth = {
        "provisioner_client_id": PROVISIONER,
        "provisioner_client_secret": secret(PROVISIONER),
        "timeout": provider_timeout,
    }
    values = settings(
        databases,
        realm.issuer,
        secret(BFF),
        "http://127.0.0.1:9",
        auth=auth,
        onboarding={
            "open_to": "anyone",
            "per_person_daily": 1000,
            "per_address_daily": 1000,
        },
        odoo={
            "server_url": odoo.url,
            "master_password": odoo.master,
            "db_name_template": f"{prefix}{{tenant_id}}",
            "template": odoo.template.name,
            "timeout": 20.0,  # a busy machine is no failure
            **more,
        },
    )
    if proxy is not None:
        values["proxy"] = proxy
    await keep_template(databases, template_in(odoo))
    here = Estate(realm, odoo, databases, folder, prefix, values)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(here.drop_all)
        await here.start_gateway()
        stack.callback(here.stop)
        for _ in range(workers):
            here.start_worker()
        yield here
