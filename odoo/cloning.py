"""The four ways to copy a template, and what to make of one that broke off."""

from __future__ import annotations

import asyncio
import errno
import re
import shutil
import uuid
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from odoo import errors, rpc
from odoo.databases import DUPLICATE_SECONDS, LATE_SECONDS, Databases, State
from odoo.names import checked

if TYPE_CHECKING:
    from collections.abc import Callable
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
    """One way to copy a database, and to be rid of a copy."""

    async def clone(self, template: str, name: str) -> None:
        """Copy *template* to *name*; raise an `OdooError` if that failed."""

    async def drop(self, name: str) -> None:
        """Drop a copy and its files, well if there is none; raises as `clone` does."""


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

    async def drop(self, name: str) -> None:
        """Drop; errors are those of `Databases.drop`."""
        await self.databases.drop(name)


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

    async def drop(self, name: str) -> None:
        """Drop; errors are those of `Databases.drop`."""
        await Databases(server=self.server, master=self.master).drop(name)


class Sql(Protocol):
    """A PostgreSQL connection that commits each statement by itself, as asyncpg's."""

    async def execute(self, query: str, *arguments: object) -> object:
        """Run one statement with its arguments."""


def _drop_files(folder: Path) -> None:
    """Delete Odoo's files, if there are any.

    Raises:
        ServerFault: They cannot be deleted.
    """
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise errors.ServerFault(type(error).__name__, str(error)[:200]) from error


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

    async def drop(self, name: str) -> None:
        """Drop the database, whoever is connected, and then its files, as Odoo does.

        Raises:
            ServerFault: The files cannot be deleted.
        """
        gone = f'DROP DATABASE IF EXISTS "{checked(name)}" WITH (FORCE)'
        async with self.connect("postgres") as server:
            await server.execute(gone)
        if self.filestore is not None:
            await asyncio.to_thread(_drop_files, self.filestore / name)
