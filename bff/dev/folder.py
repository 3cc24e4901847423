"""Keep what `bff dev` must remember in one folder, one run at a time."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bff.sessions.sealing import KEY_BYTES, format_key

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


class FolderInUse(Exception):
    """Tell that another `bff dev` works on this folder."""


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold *folder* for one run; forgotten by the system when the process dies.

    Raises:
        FolderInUse: when another run holds it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise FolderInUse(
                f"{folder} is in use by {holder}: it is running already. Stop it with "
                "Ctrl-C there, or work in another checkout"
            ) from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        yield


def secret(folder: Path, name: str) -> str:
    """Return the secret *name*, made once."""
    return _once(folder / name, secrets.token_urlsafe(24))


def key_file(folder: Path) -> Path:
    """Return the file with the cookie key ring, made once."""
    _once(folder / "keys", format_key(1, secrets.token_bytes(KEY_BYTES)))
    return folder / "keys"


def write_report(file: Path, report: dict[str, Any]) -> None:
    """Write *report* for scripts."""
    write_private(file, json.dumps(report, indent=2) + "\n")


def write_private(file: Path, text: str) -> None:
    """Write *text*, readable by the owner alone, all or nothing."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)


def _once(file: Path, value: str) -> str:
    if not file.exists():
        write_private(file, value)
    return file.read_text(encoding="utf-8")
