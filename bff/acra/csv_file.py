"""Read a CSV file of the register, plain or gzip, in constant memory.

A page is what begins in a block of so many bytes and lines: the same file gives the
same pages, also when reading goes on in the middle.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import re
import stat
import threading
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from bff.acra.csv_records import Stopped, fill, layout, lines_of
from bff.acra.records import Cleaner
from bff.acra.source import MarkerStale, Page, SourceError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from pathlib import Path

    from bff.acra.csv_records import Layout
    from bff.acra.source import Marker

# Some twenty thousand records, one transaction.
BLOCK = 8 * 2**20
# So many of the shortest good lines fit into a block; empty ones, or refused ones of a
# letter each, would come to hundreds of megabytes.
PAGE_LINES = 50_000
# A first page of so many records and none of them good: the rest is no better.
HOPELESS = 1000
# Beyond this no line is passed over: a small gzip file may hold one of terabytes.
MAX_LINE = 64 * 2**20
MAX_HEADER = 2**20
GZIP = b"\x1f\x8b"
FIRST_LINE = 2  # of records: behind the header
PIECE = 2**20
# What a file must not be called.
OTHERS = re.compile(r"@|d_[0-9a-f]{32}$", re.ASCII)
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
        self.name = file_name(path) if name is None else name
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

        Cancelled, it returns when the thread has seen that it is to stop: soon.

        Raises:
            MarkerStale: before the first page, when the file is another than it was.
            SourceError: when the file cannot be read (any further).
        """
        stop = threading.Event()
        pages = self._pages(marker, stop.is_set)
        try:
            while True:
                reading = asyncio.ensure_future(asyncio.to_thread(next, pages, None))
                try:
                    page = await asyncio.shield(reading)
                except asyncio.CancelledError:
                    stop.set()
                    await asyncio.wait([reading])
                    raise
                if page is None:
                    return
                yield page
        finally:
            pages.close()

    def _pages(
        self, marker: Marker | None, stopped: Callable[[], bool]
    ) -> Generator[Page]:
        cleaner = Cleaner()
        with self._opened() as (raw, stream):
            state = _state(raw)
            version = state if self._version is None else self._version
            if marker is not None and marker.get("file") != version:
                raise MarkerStale(f"{self.name} is another file than it was")
            form, byte = self._layout(stream)
            line = FIRST_LINE
            if marker is not None:
                byte, line = marker["byte"], marker["line"]
                self._go_to(byte, stream, stopped)
            block, last = b"", False
            while not last:
                block += stream.read(self._block - len(block))
                ended = len(block) < self._block
                end = _end(block, ended=ended)
                last = ended and end == len(block)
                page = Page({})
                lines, page.recoded = lines_of(block[:end])
                count = fill(
                    page, lines, line, form, cleaner, last=last, stopped=stopped
                )
                used = _back(block, end, len(lines) - count)
                if not end and not last:
                    used, count = self._skip(page, block, line, stream, stopped), 1
                if marker is None and line == FIRST_LINE:
                    self._give_up(page)
                byte, line, block = byte + used, line + count, block[used:]
                page.marker = {"file": version, "byte": byte, "line": line}
                at = byte if raw is stream else raw.tell()
                page.part = at / max(os.fstat(raw.fileno()).st_size, 1)
                if _state(raw) != state:
                    raise SourceError(f"{self.name} was changed while it was read")
                yield page

    def _go_to(self, byte: int, stream: BinaryIO, stopped: Callable[[], bool]) -> None:
        """Let *stream* go on at *byte*, as seldom as a gzip file is read for it."""
        if not isinstance(stream, gzip.GzipFile):
            stream.seek(byte)
            return
        while (left := byte - stream.tell()) > 0:
            if stopped():
                raise Stopped
            if not stream.read(min(left, self._block)):
                return

    def _give_up(self, page: Page) -> None:
        """Let a first *page* pass that is worth going on.

        Raises:
            SourceError: when all of its many records are refused.
        """
        if len(page.refused) == page.read >= HOPELESS:
            first = page.refused[0]
            raise SourceError(
                f"{self.name}: none of its first {page.read:,} records is good; "
                f"line {first.line}: {first.reason}"
            )

    def _skip(
        self,
        page: Page,
        block: bytes,
        line: int,
        stream: BinaryIO,
        stopped: Callable[[], bool],
    ) -> int:
        """Refuse a line that is longer than a block; return its length, all read.

        Raises:
            SourceError: when there is no end of it.
        """
        length = len(block)
        while piece := stream.readline(min(self._block, PIECE)):
            length += len(piece)
            if piece.endswith(b"\n"):
                break
            if stopped():
                raise Stopped
            if length > MAX_LINE:
                raise SourceError(
                    f"{self.name}: line {line} has more than {MAX_LINE:,} bytes"
                )
        page.refuse(
            line, f"a line of {length:,} bytes", block[:HEAD].decode(errors="replace")
        )
        return length

    @contextmanager
    def _opened(self) -> Generator[tuple[BinaryIO, BinaryIO]]:
        """Open the file as it is, and as what it holds."""
        try:
            # A pipe would be waited for, and can be read only once.
            if not stat.S_ISREG(self._path.stat().st_mode):
                raise SourceError(f"{self.name} cannot be read: it is no regular file")
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


def file_name(path: Path, *, whole: bool = False) -> str:
    """Return what the dataset in *path* is called; no other row of ours is."""
    name = os.fsencode(path if whole else path.name).decode(errors="backslashreplace")
    return f"./{name}" if OTHERS.match(name) else name


def _end(block: bytes, *, ended: bool) -> int:
    """Return where the lines of *block* end that make a page; has the file *ended*?"""
    end = len(block) if ended else block.rfind(b"\n") + 1
    if block.count(b"\n", 0, end) <= PAGE_LINES:
        return end
    end = 0
    for _ in range(PAGE_LINES):
        end = block.index(b"\n", end) + 1
    return end


def _back(block: bytes, end: int, lines: int) -> int:
    """Return where the last *lines* of those before *end* begin."""
    for _ in range(lines):
        end = block.rfind(b"\n", 0, end - 1) + 1
    return end


def _state(raw: BinaryIO) -> str:
    """Return what changes when the file does: size, time, and its beginning."""
    found = os.fstat(raw.fileno())
    head = hashlib.sha256(os.pread(raw.fileno(), HEAD, 0)).hexdigest()[:16]
    return f"{found.st_size}-{found.st_mtime_ns}-{head}"
