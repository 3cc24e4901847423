"""Give a folder for a file that is fetched, and remove those that nobody owns any more.

Whoever is killed leaves the folder behind. Its owner holds a lock on it while it lives,
on whichever machine or in whichever container that shares the disk.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bff.acra.source import SourceError

if TYPE_CHECKING:
    from collections.abc import Generator

log = logging.getLogger(__name__)

PREFIX = "bff-acra-"
# Seconds within which a new folder gets its lock.
YOUNG = 60.0


@contextmanager
def a_folder() -> Generator[Path]:
    """Give an empty folder below `TMPDIR`, which is gone afterwards.

    Raises:
        SourceError: when there can be none.
    """
    try:
        _sweep(Path(tempfile.gettempdir()))
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        raise SourceError(
            f"no folder can be made in TMPDIR ({error.strerror or 'none is usable'})"
        ) from error
    try:
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Generator[bool]:
    """Hold the lock of *folder*, if it can be had; the system takes it off the dead."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(opened)


def _sweep(parent: Path) -> None:
    """Remove our folders in *parent* whose owner is dead."""
    for folder in parent.glob(f"{PREFIX}*"):
        # Others sweep, too; and not everything that is called so is ours.
        with suppress(OSError):
            found = folder.lstat()
            if found.st_uid != os.geteuid() or time.time() - found.st_mtime < YOUNG:
                continue
            with _locked(folder) as dead:
                if dead:
                    shutil.rmtree(folder, ignore_errors=True)
                    log.info("a folder that a killed worker had left is removed")
