"""Stream a tenant's latest scores as JSON or CSV, as fast as the reader takes them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from bff.auditing import entry_of
from bff.current_session import SESSION
from bff.database import DatabaseUnavailable
from bff.errors import BadRequest, Unavailable
from bff.errors_access import RoleMissing, SessionEnded
from bff.exports.formats import CSV, JSON
from bff.exports.queries import DEFAULT_LIMIT, MOST, Asked
from bff.exports.slots import EXPORTS
from bff.sessions.revocation import ENDED

if TYPE_CHECKING:
    from bff.exports.formats import Format
    from bff.sessions.session import AccessTicket

log = logging.getLogger(__name__)

# Who may have people's names and addresses.
CONTACT_ROLES = frozenset({"ops", "admin"})
# Bytes that leave at once; what is shorter leaves when the query is over.
PIECE = 64 * 1024


class ReaderLeft(Exception):
    """Tell that nobody takes the rows any more.

    Not a ConnectionError, which would look like the database's within a transaction.
    """


async def scores_json(request: web.Request) -> web.StreamResponse:
    """Stream the scores as one JSON array."""
    return await _export(request, JSON)


async def scores_csv(request: web.Request) -> web.StreamResponse:
    """Stream the scores as CSV, the header always there."""
    return await _export(request, CSV)


class Sending:
    """Send rows in pieces; the answer begins with the first of them."""

    def __init__(self, request: web.Request, form: Format) -> None:
        self.stream = web.StreamResponse(headers=form.headers)
        self._request = request
        self._shape = form.shape()
        self._rows: list[bytes] = []
        self._size = 0

    async def take(self, data: bytes) -> None:
        """Take some whole rows, and wait while the reader has enough to read.

        Raises:
            ReaderLeft: when there is no reader.
        """
        self._rows.append(data)
        self._size += len(data)
        if self._size >= PIECE:
            await self._send(self._gathered())

    async def end(self) -> None:
        """Send what is left.

        Raises:
            ReaderLeft: when there is no reader.
        """
        await self._send(self._gathered() + self._shape.end())

    def _gathered(self) -> bytes:
        rows = b"".join(self._rows)
        self._rows.clear()
        self._size = 0
        return self._shape.rows(rows) if rows else b""

    async def _send(self, data: bytes) -> None:
        try:
            if not self.stream.prepared:
                await self.stream.prepare(self._request)
            await self.stream.write(data)
        except ConnectionError as error:
            raise ReaderLeft from error


class Cut:
    """Break an answer off when its session ends."""

    def __init__(self, request: web.Request) -> None:
        self._request = request

    def cut(self) -> None:
        """Drop the connection and what waits in it; the handler is cancelled."""
        if self._request.transport is not None:
            self._request.transport.abort()


async def _export(request: web.Request, form: Format) -> web.StreamResponse:
    ticket = request[SESSION]
    asked = _asked(request, ticket)
    if request.method == "HEAD":
        return web.StreamResponse(headers=form.headers)
    exports, ended, cut = request.app[EXPORTS], request.app[ENDED], Cut(request)
    ended.add(ticket.sid, cut)
    try:
        async with exports.admitted(asked.tenant_id):
            if await ended.is_ended(ticket.sid):
                raise SessionEnded
            return await _send(request, form, asked)
    finally:
        ended.discard(ticket.sid, cut)


async def _send(request: web.Request, form: Format, asked: Asked) -> web.StreamResponse:
    """Send what is asked for; once begun, break off rather than end too early."""
    exports, sending = request.app[EXPORTS], Sending(request, form)
    entry = entry_of(
        request,
        "scores.exported",
        limit=asked.limit,
        format=form.name,
        include=["contacts"] if asked.contacts else [],
    )
    try:
        async with asyncio.timeout(exports.max_seconds):
            await exports.copy(
                asked.tenant_id,
                form.query(asked),
                sending.take,
                entry=entry,
                options=form.options,
            )
            await sending.end()
    except ReaderLeft as error:
        raise ConnectionResetError("the reader has left") from error
    except (TimeoutError, DatabaseUnavailable) as error:
        late = isinstance(error, TimeoutError)
        why = f"it took over {exports.max_seconds:g} s" if late else str(error)
        if not sending.stream.prepared:
            raise Unavailable(headers={"Retry-After": "30"}) from error
        log.warning("an export broke off: %s", why)
        Cut(request).cut()
        raise ConnectionAbortedError("the export broke off") from error
    return sending.stream


def _asked(request: web.Request, ticket: AccessTicket) -> Asked:
    """Read what is asked for.

    Raises:
        BadRequest: when it cannot be understood.
        RoleMissing: when contacts are asked for by who may not have them.
    """
    if ticket.tenant_id is None:  # the route's access has seen to it
        raise BadRequest
    limit, included = _limit(request), request.query.getall("include", [])
    if any(one != "contacts" for one in included):
        raise BadRequest("include must be contacts, or be left out.")
    if included and not CONTACT_ROLES.intersection(ticket.roles):
        raise RoleMissing
    return Asked(ticket.tenant_id, limit, contacts=bool(included))


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(DEFAULT_LIMIT))
    short = len(text) <= len(str(MOST)) and text.isascii() and text.isdigit()
    if not (short and 1 <= int(text) <= MOST):
        raise BadRequest(f"limit must be a number from 1 to {MOST}.")
    return int(text)
