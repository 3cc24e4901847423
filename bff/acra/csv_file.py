"""Read a CSV file of the register, plain or gzip, in constant memory.

A page is what begins in a block of fixed size: the same file gives the same pages,
also when reading goes on in the middle.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from bff.acra.csv_records import fill, layout, lines_of
from bff.acra.records import Cleaner
from bff.acra.source import MarkerStale, Page, SourceError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from bff.acra.csv_records import Layout
    from bff.acra.source import Marker

# Some twenty thousand records, one transaction.
BLOCK = 8 * 2**20
MAX_HEADER = 2**20
GZIP = b"\x1f\x8b"
HEAD = 64 * 1024  # bytes that tell one file from another, with size and time


class CsvFile:
    """A dataset in a file, known by *name*: by default the file's, without folder.

    *version* says of what state its content is, where that is known better than from
    the file: a download that is fetched again goes on where the first one was left.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        version: str | None = None,
        block: int = BLOCK,
    ) -> None:
        self.name = path.name if name is None else name
        self._path = path
        self._version = version
        self._block = block

    def check(self) -> None:
        """Look whether this is a file of the register.

        Raises:
            SourceError: with a sentence, when it is not, or cannot be read.
        """
        with self._opened() as (_, stream):
            self._layout(stream)

    async def pages(self, marker: Marker | None) -> AsyncGenerator[Page]:
        """Give the pages behind *marker*; reading and cleaning is done in a thread.

        Raises:
            MarkerStale: before the first page, when the file is another than it was.
            SourceError: when the file cannot be read (any further).
        """
        pages = self._pages(marker)
        try:
            while True:
                reading = asyncio.ensure_future(asyncio.to_thread(next, pages, None))
                try:
                    page = await asyncio.shield(reading)
                finally:
                    await asyncio.wait([reading])  # a thread cannot be stopped
                if page is None:
                    return
                yield page
        finally:
            pages.close()

    def _pages(self, marker: Marker | None) -> Generator[Page]:
        cleaner = Cleaner()
        with self._opened() as (raw, stream):
            state = _state(raw)
            version = state if self._version is None else self._version
            if marker is not None and marker.get("file") != version:
                raise MarkerStale(f"{self.name} is another file than it was")
            form, byte = self._layout(stream)
            line = 2
            if marker is not None:
                byte, line = marker["byte"], marker["line"]
                stream.seek(byte)
            block, last = b"", False
            while not last:
                block += stream.read(self._block - len(block))
                last = len(block) < self._block
                page = Page({})
                used, count = self._fill(page, block, line, form, cleaner, last=last)
                if not used and not last:
                    used, count = self._skip(page, block, line, stream), 1
                byte, line, block = byte + used, line + count, block[used:]
                page.marker = {"file": version, "byte": byte, "line": line}
                at = byte if raw is stream else raw.tell()
                page.part = at / max(os.fstat(raw.fileno()).st_size, 1)
                if _state(raw) != state:
                    raise SourceError(f"{self.name} was changed while it was read")
                yield page

    def _fill(
        self,
        page: Page,
        block: bytes,
        line: int,
        form: Layout,
        cleaner: Cleaner,
        *,
        last: bool,
    ) -> tuple[int, int]:
        """Put the records of *block* into *page*; return the bytes and lines used."""
        end = len(block) if last else block.rfind(b"\n") + 1
        lines, page.recoded = lines_of(block[:end])
        count = fill(page, lines, line, form, cleaner, last=last)
        for _ in range(len(lines) - count):
            end = block.rfind(b"\n", 0, end - 1) + 1
        return end, count

    def _skip(self, page: Page, block: bytes, line: int, stream: BinaryIO) -> int:
        """Refuse a line that is longer than a block; return its length, all read."""
        length = len(block)
        while piece := stream.readline(self._block):
            length += len(piece)
            if piece.endswith(b"\n"):
                break
        page.refuse(
            line, f"a line of {length:,} bytes", block[:HEAD].decode(errors="replace")
        )
        return length

    @contextmanager
    def _opened(self) -> Generator[tuple[BinaryIO, BinaryIO]]:
        """Open the file as it is, and as what it holds."""
        try:
            with self._path.open("rb") as raw:
                packed = raw.peek(2)[:2] == GZIP
                stream = gzip.GzipFile(fileobj=raw) if packed else raw
                yield raw, cast("BinaryIO", stream)
        except (OSError, EOFError, zlib.error) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise SourceError(f"{self.name} cannot be read: {why}") from error

    def _layout(self, stream: BinaryIO) -> tuple[Layout, int]:
        """Read the header, and return it with its length in bytes."""
        header = stream.readline(MAX_HEADER)
        if not header:
            raise SourceError(f"{self.name} is empty")
        try:
            return layout(header.decode(errors="replace")), len(header)
        except SourceError as error:
            raise SourceError(f"{self.name} {error}") from None


def _state(raw: BinaryIO) -> str:
    """Return what changes when the file does: size, time, and its beginning."""
    found = os.fstat(raw.fileno())
    head = hashlib.sha256(os.pread(raw.fileno(), HEAD, 0)).hexdigest()[:16]
    return f"{found.st_size}-{found.st_mtime_ns}-{head}"
