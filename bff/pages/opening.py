"""Open what lies in a folder, and nothing that lies outside it.

Each folder on the way is opened by itself and no link is followed, so no name leads
out, whatever is moved meanwhile. Everything here blocks.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from contextlib import contextmanager
from io import FileIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

log = logging.getLogger(__name__)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Not blocked by a pipe that nobody writes to.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOT_THERE = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ELOOP,  # a link
        errno.EMLINK,  # a link, as FreeBSD says it
        errno.ENAMETOOLONG,
        errno.ENXIO,  # a socket
    }
)
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})


class FolderGone(Exception):
    """Tell that the folder cannot be read, or changes all the time."""


@contextmanager
def opened_folder(root: Path, names: list[bytes]) -> Generator[int | None]:
    """Open the folder of *names* below *root*, step by step; None when there is none.

    Raises:
        FolderGone: when *root* cannot be opened.
    """
    try:
        folder = os.open(root, _FOLDER)
    except OSError as error:
        raise FolderGone(f"{root}: {error.strerror}") from error
    try:
        for name in names:
            try:
                below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            except OSError as error:
                _judge(error, name)
                yield None
                return
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def opened_file(folder: int, name: bytes) -> FileIO | None:
    """Open a regular file of an open folder; None when there is none.

    Raises:
        FolderGone: when nobody can say.
    """
    try:
        number = os.open(name, _FILE, dir_fd=folder)
    except OSError as error:
        _judge(error, name)
        return None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        return None
    return FileIO(number, "rb")


def _judge(error: OSError, name: bytes) -> None:
    """Return where *error* means that there is no such thing.

    Raises:
        FolderGone: when it means something else.
    """
    if error.errno in _FORBIDDEN:
        log.warning("a file of the user interface may not be read: %r", name)
    elif error.errno not in _NOT_THERE:
        raise FolderGone(error.strerror) from error
