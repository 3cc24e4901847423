"""The four ways to copy a template, and what to make of one that broke off."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import shutil
import signal
import uuid
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from odoo import errors, rpc
from odoo.databases import DUPLICATE_SECONDS, LATE_SECONDS, Databases, State
from odoo.names import checked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from pathlib import Path

    from odoo.client import Server

_ROLE = re.compile(r"[a-z_][a-z0-9_-]{0,62}", re.ASCII)


class Made(Enum):
    """How sure a new copy is."""

    WHOLE = "whole"  # the copy ended, and Odoo loads it
    # It appeared after its outcome was unknown: its files may be missing, and its uuid
    # still the template's. Look at the uuid; drop and begin again if it is the same.
    MAYBE_HALF = "maybe half"


class Way(Protocol):
    """One way to copy a database."""

    async def clone(self, template: str, name: str) -> None:
        """Copy *template* to *name*; raise an `OdooError` if that failed."""


async def clone(
    way: Way,
    databases: Databases,
    template: str,
    name: str,
    *,
    patience: float = LATE_SECONDS,
) -> Made:
    """Copy *template* to *name*, and return once Odoo can load the copy.

    Never begins where a database is already: who made it is for the caller to tell.
    After an unknown outcome it waits *patience* seconds for the copy and never
    makes a second one.

    Raises:
        BadName: Nothing was sent.
        DatabaseExists: Something is there by this name, or came first.
        DatabaseBroken: The copy is there and Odoo cannot load it.
        OutcomeUnknown: No copy has appeared; it may still come.
        OdooError: The copy failed, and nothing was made.
    """
    if await databases.state(checked(name)) is not State.MISSING:
        raise errors.DatabaseExists("", f"{name} is there already")
    made = Made.WHOLE
    try:
        await way.clone(checked(template), name)
    except (errors.OutcomeUnknown, errors.CommandFailed) as error:
        if await databases.settled(name, seconds=patience) is State.MISSING:
            raise
        made = Made.MAYBE_HALF
        cause: Exception | None = error
    else:
        cause = None
    if await databases.settled(name, seconds=patience) is not State.USABLE:
        raise errors.DatabaseBroken("", f"Odoo cannot load {name}") from cause
    return made


@dataclass(frozen=True)
class ByRpc:
    """`db.duplicate_database` (odoo/service/db.py, 16 to 19)."""

    databases: Databases

    async def clone(self, template: str, name: str) -> None:
        """Copy; errors are those of `Databases.duplicate`."""
        await self.databases.duplicate(template, name)


@dataclass(frozen=True, kw_only=True)
class ByForm:
    """POST /web/database/duplicate, Odoo 20's only HTTP way; it works since 16.

    Up to 19 each error page connects to every database, and an unset master password
    becomes whatever is sent first: prefer `ByRpc` there.
    """

    server: Server
    master: str = field(repr=False)

    async def clone(self, template: str, name: str) -> None:
        """Copy; a name that is taken is `ServerFault` or, on 20, `Invalid`.

        Raises:
            AccessDenied: The master password is wrong.
            ManagerDisabled: `list_db = False`.
            OutcomeUnknown: It may come into being later, or be half.
            OdooError: Odoo is away, or refused.
        """
        fields = {"master_pwd": self.master, "name": template, "new_name": name}
        path = "/web/database/duplicate"
        call = rpc.form(path, fields, secrets=(self.master,))
        call = await self.server.apart(call)
        rpc.form_done(await self.server.send(call, seconds=DUPLICATE_SECONDS), call)


@dataclass(frozen=True, kw_only=True)
class ByCommand:
    """`odoo-bin db -c FILE duplicate` (odoo/cli/db.py, 16 to 19).

    Needs neither master password nor manager. `environment` is all that the command
    sees: Odoo 19 obeys PG* and ODOO_* variables, so ours must not reach it.
    """

    program: Sequence[str]
    configuration: str
    environment: Mapping[str, str]
    seconds: float = DUPLICATE_SECONDS

    async def clone(self, template: str, name: str) -> None:
        """Copy.

        Raises:
            CommandFailed: The command ended with an error.
            OutcomeUnknown: It took too long and was killed; PostgreSQL may go on.
            Unreachable: The program cannot be started.
        """
        arguments = ("db", "-c", self.configuration, "duplicate", template, name)
        try:
            process = await asyncio.create_subprocess_exec(
                *self.program,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=dict(self.environment),
                start_new_session=True,
            )
        except OSError as error:
            raise errors.Unreachable(f"{self.program[0]} does not start") from error
        try:
            async with asyncio.timeout(self.seconds):
                _, said = await process.communicate()
        except TimeoutError as error:
            raise errors.OutcomeUnknown(f"no end within {self.seconds:g} s") from error
        finally:
            if process.returncode is None:
                # The whole group: the command may have started others.
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            lines = said.decode("utf-8", "replace").strip().splitlines() or [""]
            raise errors.CommandFailed("odoo-bin", lines[-1][:200])


class Sql(Protocol):
    """A PostgreSQL connection that commits each statement by itself, as asyncpg's."""

    async def execute(self, query: str, *arguments: object) -> object:
        """Run one statement with its arguments."""


def _copy_files(source: Path, target: Path) -> None:
    """Copy Odoo's files, whose names are hashes: what is left of before may stay.

    Raises:
        NoRoom: The disk is full.
        ServerFault: They cannot be copied.
    """
    try:
        shutil.copytree(source, target, dirs_exist_ok=True)
    except OSError as error:
        said = str(error)[:200]
        full = error.errno == errno.ENOSPC or f"[Errno {errno.ENOSPC}]" in said
        kind = errors.NoRoom if full else errors.ServerFault
        raise kind(type(error).__name__, said) from error


@dataclass(frozen=True, kw_only=True)
class BySql:
    """CREATE DATABASE … TEMPLATE, with a role that may, and the files beside it.

    The fastest way by far. `connect` opens a connection to the database of that name;
    what it raises comes through. `owner` is Odoo's role. `filestore` is the folder
    `filestore` in Odoo's data folder, None where attachments live in the database.
    """

    connect: Callable[[str], AbstractAsyncContextManager[Sql]]
    owner: str
    filestore: Path | None
    now: Callable[[], datetime]
    new_uuid: Callable[[], uuid.UUID] = uuid.uuid4

    async def clone(self, template: str, name: str) -> None:
        """Copy, and give the copy the identity that Odoo itself would have renewed.

        Raises:
            BadName: The owner is no plain role name.
            NoRoom: The disk is full.
            ServerFault: The files cannot be copied.
        """
        if _ROLE.fullmatch(self.owner) is None:
            raise errors.BadName(f"{self.owner[:63]!r} is no name for a role")
        names = (checked(name), checked(template), self.owner)
        async with self.connect("postgres") as server:
            await server.execute(
                'CREATE DATABASE "{}" TEMPLATE "{}" OWNER "{}"'.format(*names)
            )
        if self.filestore is not None:
            source, target = self.filestore / template, self.filestore / name
            if await asyncio.to_thread(source.is_dir):
                await asyncio.to_thread(_copy_files, source, target)
        # Last: a copy with the template's uuid is a copy that broke off.
        renewed = {  # ir_config_parameter.py, _default_parameters
            "database.secret": str(self.new_uuid()),
            "database.create_date": f"{self.now():%Y-%m-%d %H:%M:%S}",
            "database.uuid": str(self.new_uuid()),
        }
        async with self.connect(name) as database:
            for key, value in renewed.items():
                await database.execute(
                    "UPDATE ir_config_parameter SET value = $1 WHERE key = $2",
                    value,
                    key,
                )
