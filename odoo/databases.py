"""The databases of one server: which there are, and making, copying, dropping them.

All of it is odoo/service/db.py behind /jsonrpc, Odoo 16 to 19; Odoo 20 has no such
service, and answers `NotOffered`. Odoo logs a deprecation warning for each call on 19.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from odoo import errors
from odoo.client import HASH_SECONDS
from odoo.names import checked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from odoo.client import Server

# Measured: 15 s and 1 s on two idle cores.
CREATE_SECONDS = 180.0
DUPLICATE_SECONDS = 60.0
DROP_SECONDS = 30.0
# PostgreSQL goes on with a copy after Odoo has died.
LATE_SECONDS = 30.0
_STEP_SECONDS = 0.5
_NOBODY = "nobody@bff.invalid"


class State(Enum):
    """What a database is good for, as far as can be told without signing in."""

    MISSING = "missing"  # or closed to connections: Odoo cannot tell
    BROKEN = "broken"  # it exists without Odoo's tables
    USABLE = "usable"  # Odoo loads it and asks for a password


@dataclass(frozen=True, kw_only=True)
class Databases:
    """The database manager of one server; `sleep` waits between two looks."""

    server: Server
    master: str = field(repr=False)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def preflight(self) -> str:
        """Return the server's series if databases can be managed here.

        A wrong master password and a disabled manager look alike to Odoo's callers;
        only the list asks for no password. The password is tried on
        `db.migrate_databases` with none to migrate, which does nothing.

        Raises:
            ManagerDisabled: `list_db = False`.
            AccessDenied: The master password is wrong.
            NotOffered: Odoo 20 has no such service.
            DatabaseUnreachable: Odoo runs, its PostgreSQL does not.
            OdooError: Odoo is away, or it is not Odoo.
        """
        series = await self.server.version()
        await self.listed()
        await self._manage("migrate_databases", [], seconds=HASH_SECONDS)
        return series

    async def listed(self) -> frozenset[str]:
        """List the databases that Odoo's role owns and may connect to.

        Whoever made them: also those that are no Odoo's. Templates that take no
        connections are left out, as are all but those of `-d` where that is set.

        Raises:
            ManagerDisabled: `list_db = False`.
            DatabaseUnreachable: PostgreSQL is away.
            OdooError: Odoo is away, or refused.
        """
        try:
            names = await self.server.service("db", "list")
        except errors.AccessDenied as error:
            raise errors.ManagerDisabled(error.name, error.detail) from error
        return frozenset(map(str, names))

    async def authenticate(self, name: str, login: str, password: str) -> int | None:
        """Return the user's id if the password is right (`common.authenticate`).

        Raises:
            BadName: No database of ours is called so.
            DatabaseUnreachable: There is no such database, or PostgreSQL is away.
            DatabaseBroken: The database has no Odoo in it.
            OdooError: Odoo is away, or refused.
        """
        # Also for names: Odoo leaves tables in any database that it can connect to.
        uid = await self.server.service(
            *("common", "authenticate", checked(name), login, password, {}),
            secrets=(password,),
            seconds=HASH_SECONDS,
        )
        return int(uid) if uid else None

    async def state(self, name: str) -> State:
        """Look whether Odoo can load a database, by a sign-in that must fail.

        `db.db_exist` would only say that PostgreSQL lets Odoo in. A connection that is
        refused proves nothing: there may be too many, or PostgreSQL has just started.
        What proves it is PostgreSQL's own word, or a list without the name.

        Raises:
            BadName: No database of ours is called so.
            DatabaseUnreachable: PostgreSQL is away, or refuses; or nobody can tell.
            OdooError: Odoo is away, or refused.
        """
        try:
            await self.authenticate(name, _NOBODY, _NOBODY)
        except errors.DatabaseBroken:
            return State.BROKEN
        except errors.NoSuchDatabase:
            return State.MISSING
        except errors.DatabaseUnreachable:
            if not await self._has_postgres() or await self._may_be_there(name):
                raise
            return State.MISSING
        return State.USABLE

    async def settled(self, name: str, *, seconds: float = LATE_SECONDS) -> State:
        """Wait until a database is usable, and return what it is at the end.

        For what came of a call whose outcome is unknown. A database that is MISSING
        after *seconds* may still come: look again before making it once more.

        Raises:
            BadName: No database of ours is called so.
            OdooError: Odoo stayed away, or refused.
        """
        waited = 0.0
        while True:
            try:
                state = await self.state(name)
            except errors.OdooError as error:
                if not error.passes or waited >= seconds:
                    raise
            else:
                if state is State.USABLE or waited >= seconds:
                    return state
            await self.sleep(_STEP_SECONDS)
            waited += _STEP_SECONDS

    async def create(
        self, name: str, *, login: str, password: str, lang: str = "en_US"
    ) -> int:
        """Create a database with `base` in it; return its administrator's id.

        Odoo 16 to 19 says True although its initialisation failed and leaves
        admin/admin behind, so the new password is tried before this returns.

        Raises:
            BadName: Nothing was sent.
            DatabaseExists: The name is taken.
            DatabaseBroken: It exists, and is not what was asked for: drop it.
            OutcomeUnknown: See `settled`, then try the password.
            OdooError: Odoo is away, or refused.
        """
        await self._manage(
            *("create_database", checked(name), False, lang, password, login),
            secrets=(password,),
            seconds=CREATE_SECONDS,
        )
        try:
            uid = await self.authenticate(name, login, password)
        except errors.Refused as error:
            raise errors.DatabaseBroken(error.name, error.detail) from error
        if uid is None:
            raise errors.DatabaseBroken("", "the new database knows no such password")
        return uid

    async def duplicate(self, template: str, name: str) -> None:
        """Copy a database and its files, giving the copy a uuid of its own.

        Raises:
            BadName: Nothing was sent.
            DatabaseExists: The name is taken.
            TemplateMissing: There is nothing to copy.
            DatabaseBusy: Another role's session is connected to the template.
            OutcomeUnknown: See `settled`; it may come into being later, or be half.
            OdooError: Odoo is away, or refused.
        """
        names = checked(template), checked(name)
        await self._manage("duplicate_database", *names, seconds=DUPLICATE_SECONDS)

    async def rename(self, old: str, new: str) -> None:
        """Rename a database and its files.

        Odoo wraps PostgreSQL's error in a plain Exception: `ServerFault` is all that
        tells of a name that is taken.

        Raises:
            BadName: Nothing was sent.
            OutcomeUnknown: Look for both names.
            OdooError: Odoo is away, or refused.
        """
        names = checked(old), checked(new)
        await self._manage("rename", *names, seconds=DROP_SECONDS)

    async def drop(self, name: str) -> None:
        """Drop a database and its files; well if there is none.

        Raises:
            BadName: Nothing was sent.
            NotDropped: Odoo neither lists it nor drops it, and can load it.
            OutcomeUnknown: Do it again.
            OdooError: Odoo is away, or refused.
        """
        if await self._manage("drop", checked(name), seconds=DROP_SECONDS):
            return
        if await self.state(name) is not State.MISSING:
            raise errors.NotDropped(f"{name} is there, and Odoo does not drop it")

    async def _may_be_there(self, name: str) -> bool:
        """Tell whether a database is listed, or there is no list to look at."""
        try:
            return name in await self.listed()
        except errors.ManagerDisabled:
            return True

    async def _has_postgres(self) -> bool:
        told = (await self.server.health()).postgres
        if told is None:
            told = bool(await self.server.service("db", "db_exist", "postgres"))
        return told

    async def _manage(
        self,
        method: str,
        *arguments: object,
        seconds: float,
        secrets: tuple[str, ...] = (),
    ) -> object:
        hidden = (self.master, *secrets)
        every = (self.master, *arguments)
        return await self.server.service(
            "db", method, *every, secrets=hidden, seconds=seconds
        )
