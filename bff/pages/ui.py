"""Put a user interface of others in the place of the built-in pages.

It gets every address that is not the gateway's. Ours win, by the first part of their
path and as a whole, so that a UI works the same after a release that adds one there.
"""

from __future__ import annotations

import logging
import re
from functools import partial
from typing import TYPE_CHECKING

from bff.config import ConfigError
from bff.current_session import CONFIG
from bff.errors import NotFound
from bff.pages.directory import Directory
from bff.pages.folder import Folder
from bff.pages.upstream import Upstream
from graph_proxy.paths import normalise, split_target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aiohttp import web

    from bff.config_ui import Ui

log = logging.getLogger(__name__)

# Of our own pages, those whose address a user interface takes over.
TAKEN_OVER = frozenset({"/", "/favicon.ico"})


def add(app: web.Application, reserved: Sequence[str]) -> None:
    """Add the user interface's route, if it is not the built-in one.

    *reserved* are the paths that it does not get, with all below them.

    Raises:
        ConfigError: when the folder that holds it does not exist.
    """
    config = app[CONFIG]
    path_of = partial(own_path, reserved)
    if config.ui.mode == "builtin":
        return
    if config.ui.mode == "upstream":
        upstream = Upstream(config, path_of)
        app.on_shutdown.append(upstream.close)
        handler = upstream.handle
    else:
        root = folder_of(config.ui)
        if not root.is_dir():
            raise ConfigError([f"ui.directory: {root} is no folder"])
        for problem in clashes(root, reserved):
            log.warning("user interface: %s", problem)
        handler = Directory(Folder(root), config.ui, path_of).handle
    # As for any address of ours, an unknown one below those is 404, with 405 for what
    # takes another method.
    others = "|".join(re.escape(path[1:]) for path in reserved)
    app.router.add_route("*", f"/{{path:(?!(?:{others})(?:/|$)).*}}", handler)


def folder_of(ui: Ui) -> Path:
    """Return the folder of `directory`.

    Raises:
        ConfigError: when none is set.
    """
    if ui.directory is None:
        raise ConfigError(["ui.directory: missing"])
    return ui.directory


def own_path(reserved: Sequence[str], request: web.Request) -> str:
    """Return the path that is asked for, normalised.

    Raises:
        BadPath: when it could mean different things to different readers.
        NotFound: when it is the gateway's, written so that our routes do not know it.
    """
    path = normalise(split_target(request.raw_path)[0])
    if any(path == one or path.startswith(f"{one}/") for one in reserved):
        raise NotFound
    return path


def clashes(root: Path, reserved: Sequence[str]) -> list[str]:
    """Return a sentence for each file or folder in *root* whose address is ours."""
    return [
        f"{name} is never shown at {path}, which is the gateway's"
        for path in reserved
        for name in (path[1:], f"{path[1:]}.html")
        if (root / name).exists()
    ]
