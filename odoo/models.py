"""Call methods of Odoo's models in one database: three ways, one face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from odoo import rpc
from odoo.client import HASH_SECONDS
from odoo.names import checked

if TYPE_CHECKING:
    from odoo.client import Server
    from odoo.rpc import Json

Row = dict[str, Any]
SECRET_FIELDS = frozenset({"password", "client_secret", "code_verifier", "key"})
Domain = Sequence[object]


class Models(Protocol):
    """The models of one database, as one user.

    Every call may raise `Unreachable` (nothing was sent), `OutcomeUnknown` (sent, not
    answered) and what `Refused` has for subclasses: `AccessDenied` for a wrong key,
    `NoDatabase`, `AccessRefused`, `Invalid`, `RecordMissing`, `NotOffered`.
    """

    async def call(
        self,
        model: str,
        method: str,
        ids: Sequence[int] = (),
        context: Mapping[str, Any] | None = None,
        **named: Json,
    ) -> Json:
        """Call a public method with named arguments, on the records of these ids."""


@dataclass(frozen=True, kw_only=True)
class Json2Models:
    """POST /json/2/<model>/<method> with an API key: Odoo 19 on.

    Source: Odoo's documentation, External JSON-2 API; odoo/addons/rpc.
    """

    server: Server
    database: str
    key: str = field(repr=False)
    seconds: float | None = None

    async def call(
        self,
        model: str,
        method: str,
        ids: Sequence[int] = (),
        context: Mapping[str, Any] | None = None,
        **named: Json,
    ) -> Json:
        """Call a public method; see `Models`."""
        chosen: Row = dict(named)
        if ids:
            chosen["ids"] = list(ids)
        if context is not None:
            chosen["context"] = dict(context)
        call = rpc.json2(
            model, method, chosen, key=self.key, database=checked(self.database)
        )
        call = replace(call, secrets=(self.key, *_secrets(chosen)))
        answer = await self.server.send(
            call, database=self.database, seconds=self.seconds
        )
        return rpc.json2_value(answer, call)


@dataclass(frozen=True, kw_only=True)
class ExecuteKwModels:
    """`object.execute_kw` with a password or an API key: Odoo 16 to 21.

    Neither `dbfilter` nor `list_db` limits it (odoo/service/model.py).
    """

    server: Server
    database: str
    uid: int
    password: str = field(repr=False)

    async def call(
        self,
        model: str,
        method: str,
        ids: Sequence[int] = (),
        context: Mapping[str, Any] | None = None,
        **named: Json,
    ) -> Json:
        """Call a public method; see `Models`.

        A missing database or PostgreSQL is `DatabaseUnreachable` here, a wrong key
        `AccessDenied`; models without the method are `Invalid` or `ServerFault`.
        """
        arguments = _arguments(method, ids, context, named)
        credentials = (checked(self.database), self.uid, self.password)
        return await self.server.service(
            *("object", "execute_kw", *credentials, model, method, *arguments),
            secrets=(self.password, *_secrets(arguments)),
        )


@dataclass(frozen=True, kw_only=True)
class SessionModels:
    """POST /web/dataset/call_kw in a web session, as Odoo's own pages do (16 to 20).

    What asks for the identity of its caller works up to 18 only here.
    """

    server: Server
    database: str
    cookie: str = field(repr=False)

    @classmethod
    async def opened(
        cls, server: Server, database: str, login: str, password: str
    ) -> SessionModels:
        """Sign in at /web/session/authenticate (odoo/addons/web/controllers).

        Raises:
            AccessDenied: The login or the password is wrong.
            AccessRefused: The server's `dbfilter` hides the database.
            DatabaseUnreachable: There is no such database.
            OdooError: Odoo is away, or refused.
        """
        params = {"db": checked(database), "login": login, "password": password}
        call = rpc.web("/web/session/authenticate", params, secrets=(password,))
        answer = await server.send(call, database=database, seconds=HASH_SECONDS)
        rpc.jsonrpc_value(answer, call)
        return cls(server=server, database=database, cookie=answer.cookie)

    async def call(
        self,
        model: str,
        method: str,
        ids: Sequence[int] = (),
        context: Mapping[str, Any] | None = None,
        **named: Json,
    ) -> Json:
        """Call a public method; see `Models`.

        Raises:
            SessionExpired: Also after one's own password was changed.
        """
        args, kwargs = _arguments(method, ids, context, named)
        params = {"model": model, "method": method, "args": args, "kwargs": kwargs}
        hidden = (self.cookie, *_secrets((args, kwargs)))
        call = rpc.web("/web/dataset/call_kw", params, secrets=hidden)
        answer = await self.server.send(
            call, database=self.database, cookie=self.cookie, seconds=HASH_SECONDS
        )
        return rpc.jsonrpc_value(answer, call)


def _arguments(
    method: str,
    ids: Sequence[int],
    context: Mapping[str, Any] | None,
    named: Row,
) -> tuple[list[Any], Row]:
    options: Row = dict(named)
    positional: list[Any] = [list(ids)] if ids else []
    if method == "create":
        # odoo/service/model.py takes its argument by position only.
        positional.append(options.pop("vals_list"))
    if context is not None:
        options["context"] = dict(context)
    return positional, options


def _secrets(value: object) -> tuple[str, ...]:
    """Find what must not be repeated by an error, at any depth of the arguments."""
    if isinstance(value, Mapping):
        own = [value[key] for key in SECRET_FIELDS & value.keys()]
        below = [one for part in value.values() for one in _secrets(part)]
        return (*(one for one in own if isinstance(one, str)), *below)
    if isinstance(value, list | tuple):
        return tuple(one for part in value for one in _secrets(part))
    return ()


async def search(
    models: Models,
    model: str,
    domain: Domain,
    fields: Sequence[str],
    *,
    limit: int | None = None,
) -> list[Row]:
    """Read these fields of the records that match (`search_read`), oldest first."""
    rows = await models.call(
        *(model, "search_read"),
        domain=list(domain),
        fields=list(fields),
        limit=limit,
        order="id",
    )
    return [dict(row) for row in rows]


async def create(models: Models, model: str, values: Mapping[str, Any]) -> int:
    """Create one record and return its id (`create` takes lists since Odoo 17)."""
    made = await models.call(model, "create", vals_list=[dict(values)])
    return int(made[0])


async def write(
    models: Models, model: str, ids: Sequence[int], values: Mapping[str, Any]
) -> None:
    """Write the same values to records (`write`)."""
    await models.call(model, "write", ids, vals=dict(values))


async def unlink(models: Models, model: str, ids: Sequence[int]) -> None:
    """Delete records (`unlink`)."""
    await models.call(model, "unlink", ids)
