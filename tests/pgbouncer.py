"""A real PgBouncer in transaction mode before the tests' PostgreSQL.

Few connections to the server for many to us: transactions of several tenants take turns
on each, and what one left in its session another would find.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from bff.dev.ports import free_port
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases

SERVERS = 2
SETTINGS = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {servers}
max_client_conn = 200
"""


@dataclass(frozen=True)
class PgBouncer:
    """Where it listens."""

    port: int

    def through(self, url: str) -> str:
        """Return *url*, of PostgreSQL itself, by way of it."""
        parts = urlsplit(url)
        place = f"{parts.username}:{parts.password}@127.0.0.1:{self.port}"
        return parts._replace(netloc=place).geturl()


@asynccontextmanager
async def pgbouncer(program: str, databases: Databases) -> AsyncGenerator[PgBouncer]:
    """Run *program* before the server of *databases*, for the serving role."""
    parts = urlsplit(databases.app)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bff-pgbouncer-") as name:
        folder = Path(name)
        users, settings, log = (
            folder / one for one in ("users", "pgbouncer.ini", "log")
        )
        users.write_text(f'"{parts.username}" "{parts.password}"\n', encoding="utf-8")
        settings.write_text(
            SETTINGS.format(server=parts.port, port=port, users=users, servers=SERVERS),
            encoding="utf-8",
        )
        for one in (folder, users, settings):  # it refuses to be root
            one.chmod(0o755)
        with log.open("wb") as out:
            running = await asyncio.create_subprocess_exec(
                program,
                str(settings),
                user="nobody" if os.geteuid() == 0 else None,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
            )
        made = PgBouncer(port)

        async def lets_in() -> bool:
            assert running.returncode is None, log.read_text(encoding="utf-8")
            try:
                connection = await asyncpg.connect(made.through(databases.app))
            except (OSError, asyncpg.PostgresError):
                return False
            connection.terminate()
            return True

        try:
            await until(lets_in, seconds=20)
            yield made
        finally:
            running.terminate()
            await asyncio.wait_for(running.wait(), 20)
