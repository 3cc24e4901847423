"""Keeping the state across restarts: one JSON file that only its owner reads."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_LOG = logging.getLogger(__name__)
_VERSION = 1


class StateFile:
    """The file, or nothing at all when there is no path."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written = ""

    @property
    def is_kept(self) -> bool:
        """Tell whether anything is written at all."""
        return self._path is not None

    def read(self) -> dict[str, Any] | None:
        """Return what was saved; an unusable file counts as none."""
        if self._path is None or not self._path.exists():
            return None
        try:
            saved = json.loads(self._path.read_text())
            if saved["version"] == _VERSION:
                return dict(saved["state"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            _LOG.warning("%s is unusable, starting afresh: %r", self._path, error)
        return None

    def write(self, state: dict[str, Any]) -> None:
        """Replace the file in one step, when there is something new."""
        text = json.dumps({"version": _VERSION, "state": state})
        if self._path is None or text == self._written:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes the file with mode 0600.
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".provider-")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
            os.replace(name, self._path)  # noqa: PTH105 -- the name is a string already
        except BaseException:
            os.unlink(name)  # noqa: PTH108 -- the name is a string already
            raise
        self._written = text
