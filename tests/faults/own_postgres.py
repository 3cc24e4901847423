"""A PostgreSQL of a test's own, to be killed, frozen and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from bff import migrate
from bff.dev import postgres
from bff.dev.postgres import SUPERUSER, Postgres, ensure_database
from bff.roles import ROLES, ensure_roles
from tests.databases import Databases

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

NAME = "bff"
PATIENCE = 30


@dataclass
class OwnPostgres:
    """A server over a folder."""

    folder: Path
    server: Postgres
    frozen: list[int] = field(default_factory=list)

    @property
    def databases(self) -> Databases:
        """The URLs of its one database, by role."""
        return Databases(
            {role: self.server.url(role, NAME) for role in (SUPERUSER, *ROLES)}
        )

    def _family(self) -> list[int]:
        """Return the postmaster's process id and those of its children."""
        said = (self.folder / "data" / "postmaster.pid").read_text(encoding="utf-8")
        postmaster = int(said.split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children")
        return [postmaster, *map(int, children.read_text(encoding="utf-8").split())]

    async def kill(self) -> None:
        """End it as a crash would, and wait until nothing of it is left."""
        family = self._family()
        os.kill(family[0], signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while any(map(_runs, family)):  # the children notice
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        # Where nobody has buried the dead yet, PostgreSQL takes them for alive.
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    async def start_again(self) -> None:
        """Start it where it was, over what it had."""
        options = f"-p {self.server.port} -h 127.0.0.1 -k '' -c max_connections=200"
        data = self.folder / "data"
        done = await asyncio.to_thread(
            postgres._run,
            postgres._programs() / "pg_ctl",
            *("-D", str(data), "-l", str(data / "server.log"), "-o", options),
            *("-t", str(PATIENCE), "-w", "start"),
            user=postgres._system_user(),
        )
        assert done.returncode == 0, (data / "server.log").read_text()

    async def freeze(self) -> None:
        """Let it take connections and never answer, as a host out of memory does."""
        self.frozen = self._family()
        for pid in self.frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    async def thaw(self) -> None:
        """Let it go on."""
        for pid in self.frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.frozen = []


@asynccontextmanager
async def own_postgres() -> AsyncGenerator[OwnPostgres]:
    """Run a server with a migrated database."""
    # Not in pytest's own folder: another run of pytest closes that to everybody else.
    with tempfile.TemporaryDirectory(prefix="bff-own-") as place:
        await asyncio.to_thread(Path(place).chmod, 0o711)  # a system user's, under root
        async with _running(Path(place) / "postgres") as own:
            yield own


@asynccontextmanager
async def _running(folder: Path) -> AsyncGenerator[OwnPostgres]:
    # Durable: what was committed must outlive the crash.
    server = await asyncio.to_thread(postgres.start, folder)
    own = OwnPostgres(folder, server)
    try:
        superuser = await asyncpg.connect(server.url(SUPERUSER, "postgres"))
        try:
            await ensure_roles(superuser, server.passwords)
        finally:
            await superuser.close()
        await ensure_database(server, NAME)
        owner = await asyncpg.connect(own.databases.owner)
        try:
            await migrate.migrate(owner)
        finally:
            await owner.close()
        yield own
    finally:
        await own.thaw()
        await asyncio.to_thread(postgres.stop, folder)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
