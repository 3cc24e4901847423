"""Find and read the files of one folder, and none that lies outside it.

Everything here blocks; call it in a thread. The folder itself may be a link: a release
may be put in its place at any moment.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bff.pages.conditions import CODINGS, Version
from bff.pages.names import PAGES, is_packed_page, type_of
from bff.pages.opening import FolderGone, opened_file, opened_folder
from bff.pages.policy import inline_hashes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import FileIO
    from pathlib import Path

# Larger files are sent piece by piece.
WHOLE = 2**20
# A packed file that is older than the plain one by more seconds is another release's.
TOLERANCE = 60.0
MOST_KEPT = 4096
DIGITS = 32  # of a digest, as an ETag
TRIES = 3
INDEX = b"index.html"


@dataclass(frozen=True, slots=True)
class Found:
    """A file to send: all its bytes, or the open file where they are many."""

    media_type: str
    coding: str | None
    version: Version
    size: int
    content: bytes | FileIO
    scripts: tuple[str, ...] = ()  # what allows those that stand in a page
    is_packed_page: bool = False  # asked for by its own name, packed as it is

    @property
    def is_page(self) -> bool:
        """Tell whether it is a page, not something that pages load."""
        return self.is_packed_page or self.media_type in PAGES

    def read(self, offset: int, length: int) -> bytes:
        """Return so many bytes from *offset* on, fewer at the end."""
        if isinstance(self.content, bytes):
            return self.content[offset : offset + length]
        return os.pread(self.content.fileno(), length, offset)

    def has_changed(self) -> bool:
        """Tell whether the open file is no longer what was found."""
        if isinstance(self.content, bytes):
            return False
        now = os.fstat(self.content.fileno())
        return (now.st_size, now.st_mtime) != (self.size, self.version.modified)


@dataclass(frozen=True, slots=True)
class Moved:
    """The address of a folder that has a page; relative links need its slash."""

    path: str


class Folder:
    """The files below *root*."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # Of large files, by what changes with every version; of pages, by digest.
        self._digests: dict[tuple[int, ...], str] = {}
        self._scripts: dict[str, tuple[str, ...]] = {}

    def find(self, path: str, codings: Sequence[str] = ()) -> Found | Moved | None:
        """Return what is at *path*, packed in the first of *codings* there is.

        *path* is decoded and normalised: `/about` is also `about.html`, or the page
        of the folder `about`.

        Raises:
            FolderGone: when the folder cannot be read.
        """
        names = [name.encode() for name in path[1:].split("/")]
        if any(name.startswith(b".") for name in names):
            return None
        *above, last = names
        with opened_folder(self.root, above) as folder:
            found = self._first(folder, last, codings) if folder is not None else None
        if found is not None:
            return found
        if last:
            return Moved(f"{path}/") if self._has_index(names) else None
        return self.find(f"{path[:-1]}.html", codings) if above else None

    def _first(self, folder: int, last: bytes, codings: Sequence[str]) -> Found | None:
        for name in (last, last + b".html") if last else (INDEX,):
            if (found := self._read(folder, name, codings)) is not None:
                packed = is_packed_page(name.decode())
                return replace(found, is_packed_page=True) if packed else found
        return None

    def _has_index(self, names: list[bytes]) -> bool:
        with opened_folder(self.root, names) as folder:
            if folder is None:
                return False
            opened = opened_file(folder, INDEX)
            if opened is None:
                return False
            opened.close()
            return True

    def _read(self, folder: int, name: bytes, codings: Sequence[str]) -> Found | None:
        plain = opened_file(folder, name)
        if plain is None:
            return None
        media_type = type_of(name.decode())
        found = self._taken(plain, media_type, None)
        oldest = found.version.modified - TOLERANCE
        for coding in codings:
            packed = opened_file(folder, name + CODINGS[coding])
            if packed is None:
                continue
            other = self._taken(packed, media_type, coding, found.scripts)
            if other.version.modified >= oldest:
                _close(found)
                return other
            _close(other)
        return found

    def _taken(
        self,
        file: FileIO,
        media_type: str,
        coding: str | None,
        scripts: tuple[str, ...] = (),
    ) -> Found:
        """Return an open file as something to send; close it if that is its bytes."""
        try:
            known, content, digest = self._steady(file)
        except BaseException:
            file.close()
            raise
        version = Version(digest, known.st_mtime)
        if content is None:
            return Found(media_type, coding, version, known.st_size, file, scripts)
        file.close()
        if coding is None and media_type in PAGES:
            scripts = self._allowed(digest, content)
        return Found(media_type, coding, version, known.st_size, content, scripts)

    def _steady(self, file: FileIO) -> tuple[os.stat_result, bytes | None, str]:
        """Return what is known of a file, its bytes if few, and their digest."""
        for _ in range(TRIES):
            known, content = os.fstat(file.fileno()), None
            file.seek(0)
            if known.st_size > WHOLE:
                digest = self._digest(file, known)
            else:
                content = file.read(WHOLE + 1)
                digest = hashlib.sha256(content).hexdigest()[:DIGITS]
            whole = content is None or len(content) == known.st_size
            if whole and _stamp(os.fstat(file.fileno())) == _stamp(known):
                return known, content, digest
        raise FolderGone("a file changes all the time")

    def _digest(self, file: FileIO, known: os.stat_result) -> str:
        key = _stamp(known)
        if (digest := self._digests.get(key)) is None:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
            if len(self._digests) >= MOST_KEPT:
                self._digests.clear()
            self._digests[key] = digest
        return digest

    def _allowed(self, digest: str, page: bytes) -> tuple[str, ...]:
        if (scripts := self._scripts.get(digest)) is None:
            scripts = inline_hashes(page)
            if len(self._scripts) >= MOST_KEPT:
                self._scripts.clear()
            self._scripts[digest] = scripts
        return scripts


def _close(found: Found) -> None:
    if not isinstance(found.content, bytes):
        found.content.close()


def _stamp(known: os.stat_result) -> tuple[int, ...]:
    return (
        known.st_dev,
        known.st_ino,
        known.st_size,
        known.st_mtime_ns,
        known.st_ctime_ns,
    )
