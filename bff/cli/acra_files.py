"""Files that `bff acra ingest` reads, and the one that it writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bff.acra.csv_file import CsvFile, file_name
from bff.acra.report import RefusedFile
from bff.acra.source import SourceError
from bff.cli.common import fail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bff import config
    from bff.acra.source import Dataset

REFUSED_FILE = "acra-refused.jsonl"


def refused_file(
    chosen: Path | None, settings: config.Config | None, paths: Sequence[Path]
) -> RefusedFile:
    """Return where refused records go, or end the command: not into what is read."""
    folder = settings.acra.refused_folder if settings else None
    path = chosen or (folder or Path()) / REFUSED_FILE
    if _identity(path) in map(_identity, paths):
        fail(f"{path} is read: it cannot take refused records")
    return RefusedFile(path)


def local_files(paths: Sequence[Path]) -> Sequence[Dataset]:
    """Return *paths* as datasets, or end the command with what is wrong with them."""
    names = [path.name for path in paths]
    if len(set(map(_identity, paths))) < len(paths):
        fail("a file is given twice")
    found = [
        CsvFile(path, name=file_name(path, whole=names.count(path.name) > 1))
        for path in paths
    ]
    problems = []
    for file in found:
        try:
            file.check()
        except SourceError as error:
            problems.append(str(error))
    if problems:
        fail("\n".join([*problems, "nothing was read"]))
    return found


def _identity(path: Path) -> object:
    """Return what is equal for two names of one file, links included."""
    try:
        found = path.stat()
    except OSError:
        return path.absolute()
    return found.st_dev, found.st_ino
