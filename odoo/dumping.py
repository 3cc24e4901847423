"""Write Odoo's backup of a database somewhere, piece by piece."""

from __future__ import annotations

import asyncio
import struct
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol

from odoo import errors, rpc
from odoo.names import checked

if TYPE_CHECKING:
    from odoo.databases import Databases

# pg_dump and the copy of the files come before the first byte.
SILENT_SECONDS = 600.0
_PATH = "/web/database/backup"
# APPNOTE.TXT 4.3: of a zip's first file, of its end, and of the end beyond 4 GiB.
_BEGIN, _END, _LONG_END = b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x07"
_END_FORMAT, _LONG_BYTES, _LOCATOR_BYTES = "<4s8xIIH", 76, 20
_UNTOLD = 2**32 - 1


class Sink(Protocol):
    """What takes the bytes, such as aiohttp's `StreamResponse`."""

    async def write(self, data: bytes, /) -> object:
        """Take some more bytes."""


@dataclass(frozen=True)
class ToFile:
    """A sink over an open file; the loop does not wait for the disk."""

    file: BinaryIO

    async def write(self, data: bytes, /) -> None:
        """Append some bytes."""
        await asyncio.to_thread(self.file.write, data)


async def dump(databases: Databases, name: str, sink: Sink) -> int:
    """Write a database and its files as a zip, and return how many bytes it is.

    POST /web/database/backup (odoo/addons/web/controllers/database.py, 16 to 20): the
    zip holds `dump.sql`, `manifest.json` and the folder `filestore`, and Odoo restores
    it. Whatever this raises, what *sink* got until then is no backup.

    Raises:
        BadName: Nothing was sent.
        AccessDenied: The master password is wrong.
        ManagerDisabled: `list_db = False`: no backup by Odoo; use pg_dump.
        ServerFault: Odoo knows no such database, or has no pg_dump.
        OutcomeUnknown: It broke off, or what came is no whole zip.
        OdooError: Odoo is away, or refused.
    """
    server, master = databases.server, databases.master
    fields = {"master_pwd": master, "name": checked(name), "backup_format": "zip"}
    call = await server.apart(rpc.form(_PATH, fields, secrets=(master,)))
    seen = _Zip()
    async with aclosing(server.stream(call, seconds=SILENT_SECONDS)) as answer:
        async for piece in answer:
            seen.take(piece)
            await sink.write(piece)
    if not seen.is_whole:
        raise errors.OutcomeUnknown("the backup broke off: it is no whole zip")
    return seen.size


@dataclass
class _Zip:
    """What has been seen of a zip: its size, its first bytes and its last."""

    size: int = 0
    head: bytes = b""
    tail: bytes = field(default=b"", repr=False)

    def take(self, piece: bytes) -> None:
        self.size += len(piece)
        self.head = (self.head + piece[: len(_BEGIN)])[: len(_BEGIN)]
        kept = _LOCATOR_BYTES + struct.calcsize(_END_FORMAT)
        self.tail = (self.tail + piece[-kept:])[-kept:]

    @property
    def is_whole(self) -> bool:
        """Tell whether the end is there, and tells of as many bytes as came."""
        length = struct.calcsize(_END_FORMAT)
        if self.head != _BEGIN or len(self.tail) < length:
            return False
        mark, listed, at, comment = struct.unpack(_END_FORMAT, self.tail[-length:])
        is_long = self.tail[:-length].startswith(_LONG_END)
        if mark != _END or comment:
            return False
        if _UNTOLD in {listed, at}:
            return is_long
        return bool(at + listed + length + _LONG_BYTES * is_long == self.size)
