"""Calls to one Odoo server over aiohttp.

Nothing here is repeated by itself: who calls knows what a call may have done.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp

from odoo import rpc
from odoo.errors import BadAnswer, OutcomeUnknown, Unreachable
from odoo.exchange import HEALTH, Request, opened, read
from odoo.failures import page_failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from odoo.breaker import Breaker
    from odoo.recent import Recent
    from odoo.rpc import Json

# A name that no database of ours has: Odoo is to answer without any.
APART = {"X-Odoo-Database": "no-database"}
CONNECT_SECONDS = 3.0
CALL_SECONDS = 5.0
# PBKDF2 over a password: half a second when nothing else runs.
HASH_SECONDS = 15.0
FILE = "application/octet-stream"


def no_host(database: str) -> str | None:  # noqa: ARG001 - the shape of Host
    """Leave the Host header alone: Odoo knows databases by name only."""
    return None


@dataclass(frozen=True, kw_only=True)
class Health:
    """Odoo is alive; so is its PostgreSQL, is not, or (None, up to 17) is not told."""

    postgres: bool | None


@dataclass(frozen=True, kw_only=True)
class Server:
    """One Odoo server.

    `host` returns the Host that a database answers to, where the server's `dbfilter`
    chooses by it (`^%d$`: the first label). `http` must keep no cookies
    (`aiohttp.DummyCookieJar`): a session belongs to one call of ours, never to all.
    A `breaker` is shared by all who call this server; without one each call is tried.
    So is `sane`: that no broken database stood in the way a moment ago (see `apart`).
    """

    http: aiohttp.ClientSession = field(repr=False)
    url: str
    host: Callable[[str], str | None] = no_host
    seconds: float = CALL_SECONDS
    breaker: Breaker | None = field(default=None, repr=False, compare=False)
    sane: Recent | None = field(default=None, repr=False, compare=False)

    async def service(
        self,
        name: str,
        method: str,
        *arguments: Json,
        secrets: tuple[str, ...] = (),
        seconds: float | None = None,
    ) -> Json:
        """Call a service at /jsonrpc and return its result (odoo/http.py, 16 to 19).

        Raises:
            Unreachable: Nothing was sent.
            OutcomeUnknown: It was sent, and not answered as Odoo does.
            Refused: Odoo answered with an error; the subclass says which.
        """
        call = rpc.service(name, method, *arguments, secrets=secrets)
        if name != "object":
            call = await self.apart(call)
        return rpc.jsonrpc_value(await self.send(call, seconds=seconds), call)

    async def version(self) -> str:
        """Return the server's series, such as "19.0" (`common.version`, 16 to 20).

        Raises:
            Unreachable: Nothing was sent.
            OutcomeUnknown: Something else than Odoo listens there.
        """
        said = await self.service("common", "version")
        if not isinstance(said, dict) or not isinstance(said.get("server_serie"), str):
            raise BadAnswer(200)
        return str(said["server_serie"])

    async def health(self) -> Health:
        """Ask GET /web/health, which needs no database (16 to 20).

        Raises:
            Unreachable: Nothing was sent.
            OutcomeUnknown: No answer came in time, or not Odoo's.
        """
        answer = await self._health({})
        if _is_broken(answer):
            answer = await self._health(dict(APART))
        said = rpc.parsed(answer)
        if not isinstance(said, dict) or "status" not in said:
            raise BadAnswer(answer.status)
        return Health(postgres=said.get("db_server_status"))

    async def apart(self, call: rpc.Call) -> rpc.Call:
        """Return the call with what keeps Odoo away from a broken only database.

        With a single visible database Odoo 19 loads it for every request. If its
        creation broke off, each one is HTTP 500, `db.list` and `db.drop` included,
        unless the request names another database (odoo/http.py, monodb). Naming one
        always would leave a traceback in Odoo's log each time.

        Raises:
            Unreachable: The server does not answer; the call has not been sent.
        """
        if self.sane is not None and self.sane.holds():
            return call
        try:
            answer = await self._health({})
        except OutcomeUnknown as error:
            raise Unreachable(f"{self.url} does not answer") from error
        if not _is_broken(answer):
            if self.sane is not None:
                self.sane.note()
            return call
        return replace(call, headers={**call.headers, **APART})

    async def send(
        self,
        call: rpc.Call,
        *,
        database: str | None = None,
        seconds: float | None = None,
        cookie: str = "",
    ) -> rpc.Answer:
        """Send one call and return what came back, whatever it is.

        Raises:
            Unreachable: Nothing was sent.
            OutcomeUnknown: It was sent, and no whole answer came in `seconds`.
        """
        headers = {**call.headers, "Content-Type": call.content_type}
        host = self.host(database) if database is not None else None
        if host is not None:
            headers["Host"] = host
        if cookie:
            headers["Cookie"] = f"session_id={cookie}"
        seconds = self.seconds if seconds is None else seconds
        return await self._ask("POST", call.path, call.body, headers, seconds)

    async def page(self, path: str, *, database: str) -> rpc.Answer:
        """Get a page of one database, which `path` names as `?db=`.

        Up to 18 the answer to that is a cookie and the same address again; from 19 on
        a header does.

        Raises:
            Unreachable: Nothing was sent.
            OutcomeUnknown: No whole answer came in time.
        """
        headers = {"X-Odoo-Database": database}
        host = self.host(database)
        if host is not None:
            headers["Host"] = host
        answer = await self._ask("GET", path, None, dict(headers), self.seconds)
        if answer.cookie and answer.location:
            headers["Cookie"] = f"session_id={answer.cookie}"
            answer = await self._ask("GET", path, None, headers, self.seconds)
        return answer

    async def _health(self, headers: dict[str, str]) -> rpc.Answer:
        path = f"{HEALTH}?db_server_status=1"
        return await self._ask("GET", path, None, headers, self.seconds)

    async def stream(self, call: rpc.Call, *, seconds: float) -> AsyncGenerator[bytes]:
        """Send a call and yield the file that comes back, piece by piece.

        Raises:
            Unreachable: Nothing was sent.
            OutcomeUnknown: It broke off, or nothing came for `seconds`.
            Refused: Odoo answered with a page instead.
        """
        headers = {**call.headers, "Content-Type": call.content_type}
        limits = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=seconds)
        url = self.url.rstrip("/") + call.path
        request = Request(method="POST", url=url, body=call.body, headers=headers)
        async with opened(self.http, self.breaker, request, limits) as answer:
            if answer.content_type != FILE:
                raise page_failure(await read(answer), call.secrets)
            async for piece in answer.content.iter_any():
                yield piece

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        seconds: float,
    ) -> rpc.Answer:
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        url = self.url.rstrip("/") + path
        request = Request(method=method, url=url, body=body, headers=headers)
        async with opened(self.http, self.breaker, request, limits) as answer:
            return await read(answer)


def _is_broken(answer: rpc.Answer) -> bool:
    failed = answer.status == HTTPStatus.INTERNAL_SERVER_ERROR
    return failed and answer.media_type == "text/html"
