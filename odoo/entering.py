"""One database of ours, and the ways into it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from odoo import errors
from odoo.models import ExecuteKwModels, Json2Models, SessionModels
from odoo.records import me
from odoo.safe import SERVICE_LOGIN, Credentials

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from odoo.client import Server
    from odoo.databases import Databases
    from odoo.models import Models
    from odoo.rpc import Json
    from odoo.safe import Safe, Template

T = TypeVar("T")
_JSON2_SINCE = 19
_READS = frozenset({"context_get", "fields_get", "search_read"})


@dataclass(frozen=True, kw_only=True)
class OursOnly:
    """Models that ask before each change whether the database is still in our hands."""

    models: Models
    safe: Safe

    async def call(
        self,
        model: str,
        method: str,
        ids: Sequence[int] = (),
        context: Mapping[str, Any] | None = None,
        **named: Json,
    ) -> Json:
        """Call a public method; see `Models`. What the safe raises comes through."""
        if method not in _READS:
            await self.safe.still_ours()
        return await self.models.call(model, method, ids, context, **named)


@dataclass(frozen=True, kw_only=True)
class Site:
    """A database, by its name on a server of this series, and who keeps its secrets.

    `token` returns a new secret of at least 43 letters, digits, `-` and `_` (RFC 7636
    4.1 asks that of a code verifier), such as `secrets.token_urlsafe()` does.
    """

    databases: Databases
    name: str
    series: str
    safe: Safe
    now: Callable[[], datetime]
    token: Callable[[], str]

    @property
    def server(self) -> Server:
        """Return the server that the database is on."""
        return self.databases.server

    @property
    def major(self) -> int:
        """Return the series as a number: 18 of "18.0" and of "saas~18.3"."""
        return int(self.series.removeprefix("saas~").partition(".")[0])

    def by_key(self, user: int, key: str) -> Models:
        """Return the models as this user, by the transport that this server has."""
        if self.major < _JSON2_SINCE:
            return self.by_password(user, key)
        models = Json2Models(server=self.server, database=self.name, key=key)
        return OursOnly(models=models, safe=self.safe)

    def by_password(self, user: int, password: str) -> Models:
        """Return the models as this user, by `execute_kw`."""
        models = ExecuteKwModels(
            server=self.server, database=self.name, uid=user, password=password
        )
        return OursOnly(models=models, safe=self.safe)

    async def in_session(self, login: str, password: str) -> Models:
        """Sign in as a person does, and return the models of that web session.

        Raises:
            AccessDenied: The login or the password is wrong.
            OdooError: Odoo is away, or refused.
        """
        models = await SessionModels.opened(self.server, self.name, login, password)
        return OursOnly(models=models, safe=self.safe)

    def patient(self, seconds: float) -> Site:
        """Return the same with calls that may take so long."""
        server = replace(self.server, seconds=seconds)
        return replace(self, databases=replace(self.databases, server=server))

    async def kept(self) -> Credentials:
        """Return what is kept; passwords are made, and kept, before they are used."""
        known = await self.safe.kept() or Credentials()
        whole = replace(
            known,
            service_password=known.service_password or self.token(),
            admin_password=known.admin_password or self.token(),
            code_verifier=known.code_verifier or self.token(),
        )
        if whole != known:
            await self.safe.keep(whole)
        return whole


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A way in as the service user; `key` is "" where it was a password."""

    models: Models
    key: str = field(repr=False)
    own: bool  # by a key that was minted for this database

    async def asking(self, site: Site, password: str) -> Models:
        """Return the models through which Odoo asks for this password and goes on.

        Up to 18 that is a web session only; from 19 on a key will do as well.
        """
        if self.key and site.major >= _JSON2_SINCE:
            return self.models
        return await site.in_session(SERVICE_LOGIN, password)


async def entered(site: Site, kept: Credentials, template: Template | None) -> Entry:
    """Find what opens the database: our own first, then what its template had.

    Raises:
        NotOurs: Nothing does.
        OdooError: Odoo is away, or the database cannot be loaded.
    """
    theirs = template.credentials if template else Credentials()
    user = kept.user or theirs.user
    for key in filter(None, (kept.key, kept.previous, theirs.key)):
        models = site.by_key(user, key)
        if await opens(models, user):
            return Entry(models=models, key=key, own=key == kept.key)
    for password in filter(None, (kept.service_password, theirs.service_password)):
        models = site.by_password(user, password)
        if user and await opens(models, user):
            return Entry(models=models, key="", own=False)
    raise errors.NotOurs(f"nothing of ours opens {site.name}")


async def together(*acts: Awaitable[T]) -> list[T]:
    """Do all at once; an error comes through when none of them is at work any more."""
    done = await asyncio.gather(*acts, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return [one for one in done if not isinstance(one, BaseException)]


async def opens(models: Models, user: int) -> bool:
    """Tell whether these credentials are this user's."""
    try:
        return await me(models) == user
    except errors.AccessDenied:
        return False
