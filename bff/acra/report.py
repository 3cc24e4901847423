"""Say what came of reading the register: counts, and a file of what was refused."""

from __future__ import annotations

import json
import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path

    from bff.acra.source import Refusal

# Bytes of a line of the file, and lines of it that are remembered: some 20 MB.
LONGEST, MOST_KNOWN = 2**16, 200_000


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of records; `read` is the sum of all but `recoded`."""

    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    # Followed on the same page by another record of the same UEN, which counts.
    repeated: int = 0
    refused: int = 0
    # Lines that were not UTF-8, whatever became of their records.
    recoded: int = 0

    def __add__(self, other: Counts) -> Counts:
        names = (one.name for one in fields(self))
        return Counts(*(getattr(self, name) + getattr(other, name) for name in names))

    def as_json(self) -> dict[str, int]:
        """Return them by name, for `acra_runs.counts` and markers."""
        return asdict(self)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Counts:
        """Return what `as_json` gave, also of another release."""
        return cls(**{one.name: int(found.get(one.name, 0)) for one in fields(cls)})

    def __str__(self) -> str:
        said = (
            f"{self.read:,} records: {self.new:,} new, {self.changed:,} changed, "
            f"{self.unchanged:,} unchanged, {self.refused:,} refused"
        )
        if self.repeated:
            said += f", {self.repeated:,} followed by another of the same UEN"
        if self.recoded:
            said += f"; {self.recoded:,} lines were not UTF-8 and read as cp1252"
        return said


class CannotReport(Exception):
    """Say in one sentence why refused records cannot be written down."""


class RefusedFile:
    """A file of refused records, one JSON object a line; made when there is one.

    Several commands may write into one: nothing in it is ever changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # In an encoding that every database takes.
        self.name = os.fsencode(path.absolute()).decode(errors="backslashreplace")
        self._known: set[bytes] = set()
        self._looked = False

    def check(self) -> None:
        """Look whether it can be written, before hours of reading.

        Raises:
            CannotReport: when it cannot.
        """
        with self._told():
            try:
                mode = self.path.stat().st_mode
            except FileNotFoundError:
                self._try_out(self.path.resolve())
                return
            if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
                raise CannotReport(f"{self.path} cannot be written: it is no file")
            with self.path.open("ab"):
                pass

    def size(self) -> int:
        """Return how long it is, bytes; 0 while there is none.

        Raises:
            CannotReport: when nobody can tell.
        """
        with self._told():
            try:
                return self.path.stat().st_size
            except FileNotFoundError:
                return 0

    def remember(self, dataset: str, since: int) -> None:
        """Do not write records of *dataset* again that stand behind byte *since*.

        A page that was written down and never committed comes again.

        Raises:
            CannotReport: when the file cannot be read.
        """
        self._known.clear()
        begins = json.dumps({"dataset": dataset}).encode()[:-1] + b", "
        with self._told():
            if not self.path.is_file():
                return
            with self.path.open("rb") as stream:
                stream.seek(since)
                while line := stream.readline(LONGEST):
                    if line.startswith(begins) and len(self._known) < MOST_KNOWN:
                        self._known.add(_digest(line))

    def write(self, dataset: str, refused: Iterable[Refusal]) -> None:
        """Append *refused* records of *dataset*, but those that it remembers.

        Raises:
            CannotReport: when they cannot be written.
        """
        lines = [
            json.dumps({"dataset": dataset, **asdict(one)}).encode() + b"\n"
            for one in refused
        ]
        if self._known:
            lines = [line for line in lines if _digest(line) not in self._known]
        if not lines:
            return
        with self._told(), self.path.open("ab") as stream:
            if not self._looked and self._is_torn():
                stream.write(b"\n")
            self._looked = True
            stream.writelines(lines)

    def _is_torn(self) -> bool:
        """Tell whether somebody was killed while writing the last line."""
        if not self.path.is_file() or not self.path.stat().st_size:
            return False
        with self.path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read() != b"\n"

    @staticmethod
    def _try_out(path: Path) -> None:
        """Make the file and take it away again, unless somebody else makes it."""
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            path.unlink()

    @contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise CannotReport(
                f"{self.path} cannot be written: {error.strerror}"
            ) from error


def _digest(line: bytes) -> bytes:
    return blake2b(line, digest_size=16).digest()
