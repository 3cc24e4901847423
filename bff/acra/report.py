"""Say what came of reading the register: counts, and a file of what was refused."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path

    from bff.acra.source import Refusal


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
    """A file of refused records, one JSON object a line; made when there is one."""

    def __init__(self, path: Path) -> None:
        self.path = path

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

    def write(self, dataset: str, refused: Iterable[Refusal]) -> None:
        """Append *refused* records of *dataset*.

        Raises:
            CannotReport: when they cannot be written.
        """
        text = "".join(
            json.dumps({"dataset": dataset, **asdict(one)}) + "\n" for one in refused
        )
        if text:
            with self._told(), self.path.open("a", encoding="ascii") as stream:
                stream.write(text)

    def back_to(self, size: int) -> None:
        """Forget what was written behind *size*: its page was never committed.

        Raises:
            CannotReport: when that cannot be done.
        """
        if self.size() > size:
            with self._told(), self.path.open("r+b") as stream:
                stream.truncate(size)

    @contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise CannotReport(
                f"{self.path} cannot be written: {error.strerror}"
            ) from error
