"""An Odoo, and a gateway with a worker for each way to come by a database of it."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from bench.odoo_watch import NOTES, Contender, Failed
from bff import migrate
from bff.dev.ports import free_port
from bff.dev.postgres import SUPERUSER, ensure_database, postgres
from bff.roles import ROLES
from tests.databases import Databases
from tests.fakes.odoo import odoo_server
from tests.fakes.odoo_services import MASTER
from tests.odoo.provisioning import fake_template
from tests.real import (
    conformance,
    keycloak_distribution,
    odoo_distribution,
    odoo_warm,
)
from tests.real import keycloak as keycloaks
from tests.real import odoo as odoos
from tests.real.keycloak_realms import BFF, ODOO, PROVISIONER, secret
from tests.real.odoo_kept import keep_template, template_in
from tests.replicas import Replica, settings
from tests.replicas import _start as start_process
from tests.replicas import _stop as stop_process

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping, Sequence

    from bff.dev.postgres import Postgres
    from odoo.safe import Template
    from tests.real.conformance import Side

CONNECTIONS = 160  # of all of Odoo, of 200 that its PostgreSQL allows
NOBODY = "http://127.0.0.1:9"  # no agent is asked anything


@dataclass(frozen=True, kw_only=True)
class Place:
    """An Odoo to make databases in, and how the identity provider's client is made."""

    template: Template
    values: Mapping[str, Any]
    # What SQL alone needs.
    sql: Mapping[str, Any]
    auth: Mapping[str, Any]
    side: Side
    title: str

    def told(self, way: str, warm: int) -> dict[str, Any]:
        """Return what a gateway of this way is told of it."""
        ways: dict[str, dict[str, Any]] = {
            "rpc": {"clone": "rpc"},
            "warm": {"clone": "rpc", "warm": warm},
            "sql": {"clone": "sql", **self.sql},
            # Nobody has built the one by its usual name: all is made from nothing.
            "nothing": {},
        }
        told = {**self.values, "db_name_template": f"{way}{{tenant_id}}", **ways[way]}
        if way != "nothing":
            told["template"] = self.template.name
        return told


@asynccontextmanager
async def stage(
    ways: Sequence[str], *, quick: bool, warm: int, processes: int = 0
) -> AsyncGenerator[dict[str, Contender]]:
    """Yield a gateway for each way, over one Odoo: a fake one if *quick*.

    Odoo has so many *processes*, or threads of one.

    Raises:
        Failed: when Odoo or Keycloak cannot be had here.
        PostgresUnavailable: when there is none to run.
    """
    with _folder() as folder:
        async with AsyncExitStack() as stack:
            odoo = _fake() if quick else _real(folder, processes)
            place = await stack.enter_async_context(odoo)
            server = await stack.enter_async_context(
                postgres(folder / "postgres", durable=not quick)
            )
            print(f"{place.title}; starting gateways …", flush=True)
            made = {}
            for way in ways:
                gateway = _gateway(folder, server, place, way, warm)
                made[way] = await stack.enter_async_context(gateway)
            yield made


@contextmanager
def _folder() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="bff-bench-odoo-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # another user runs PostgreSQL when we are root
        yield folder


@asynccontextmanager
async def _fake() -> AsyncGenerator[Place]:
    async with odoo_server() as fake, conformance.running("ours-plain", None) as side:
        yield Place(
            template=fake_template(fake),
            values={
                "server_url": fake.url,
                "master_password": MASTER,
                # The development provider makes no clients.
                "sso_client_id": ODOO,
                "sso_client_secret": secret(ODOO),
            },
            sql={},
            auth={},
            side=side,
            title="a fake Odoo and the development provider",
        )


@asynccontextmanager
async def _real(folder: Path, processes: int) -> AsyncGenerator[Place]:
    try:
        home = keycloak_distribution.ready()
        fetched = odoo_distribution.ready()
        # Builds its template database where that is not there yet, a minute.
        await asyncio.to_thread(odoo_warm.ready, fetched)
    except (keycloak_distribution.Unavailable, odoo_distribution.Unavailable) as error:
        raise Failed(str(error)) from error
    keycloak = await asyncio.to_thread(keycloaks.start, home, folder / "keycloak")
    try:
        (folder / "odoo").mkdir(mode=0o711)
        each = str(CONNECTIONS // (processes + 1))
        workers = {"workers": str(processes), "db_maxconn": each}
        with odoos.running(fetched, folder / "odoo", workers) as odoo:
            async with conformance.running("keycloak-plain", keycloak) as side:
                yield Place(
                    template=_as_built(template_in(odoo)),
                    values={
                        "server_url": odoo.url,
                        "master_password": odoo.master,
                    },
                    sql={
                        "postgres_url": odoo.place.superuser(),
                        "postgres_owner": odoo_warm.ROLE,
                        "filestore": str(odoo.place.folder / "data" / "filestore"),
                    },
                    auth={
                        "provisioner_client_id": PROVISIONER,
                        "provisioner_client_secret": secret(PROVISIONER),
                    },
                    side=side,
                    title=f"Odoo {fetched.version}, {processes} workers, and Keycloak",
                )
    finally:
        await asyncio.to_thread(keycloak.stop)


def _as_built(template: Template) -> Template:
    """Return it as `bff odoo template build` leaves it: nobody knows its admin's."""
    held = replace(template.credentials, admin_password="")
    return replace(template, credentials=held)


@asynccontextmanager
async def _gateway(
    folder: Path, server: Postgres, place: Place, way: str, warm: int
) -> AsyncGenerator[Contender]:
    """Run `bff serve` and `bff worker` over a database of their own."""
    databases = await _database(server, f"bff_{way}")
    if way != "nothing":
        await keep_template(databases, place.template)
    host, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    url = f"http://{host}"
    values = settings(
        databases,
        place.side.issuer,
        secret(BFF),
        NOBODY,
        auth=dict(place.auth),
        onboarding={"open_to": "anyone", "per_address_daily": 1000},
        odoo=place.told(way, warm),
    )
    served = {"listen": host, "admin_listen": admin, "public_origins": [url]}
    log = folder / f"{way}.log"
    async with AsyncExitStack() as stack:
        serving = start_process(folder, log, {**values, "server": served})
        stack.callback(stop_process, serving)
        working = start_process(folder, folder / f"{way}-worker.log", values, "worker")
        stack.callback(stop_process, working)
        await Replica(url, f"http://{admin}", serving, log).hears()
        one = Contender(
            name=way,
            url=url,
            side=place.side,
            databases=databases,
            warm=warm if way == "warm" else 0,
        )
        await one.filled()
        yield one


async def _database(server: Postgres, name: str) -> Databases:
    await ensure_database(server, name)
    databases = Databases({one: server.url(one, name) for one in (SUPERUSER, *ROLES)})
    owner = await asyncpg.connect(databases.owner)
    try:
        await migrate.migrate(owner)
    finally:
        await owner.close()
    async with databases.superuser() as superuser:
        await superuser.execute(NOTES)
    return databases
