"""Write a file whole or not at all, for its owner alone, and never over another."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def new_file(file: Path) -> Iterator[BinaryIO]:
    """Give a stream whose bytes are in *file* once the context ends well.

    Until then they are in *file*.part, which a killed process leaves behind and the
    next one begins anew.

    Raises:
        FileExistsError: when *file* is there, before or at the end.
        OSError: when it cannot be written.
    """
    if file.exists():
        raise FileExistsError(file)
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(opened, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        # A link, not a renaming, which would replace what has come meanwhile.
        file.hardlink_to(part)
        _sync(file.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """See to it that the file's name survives a power failure."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
