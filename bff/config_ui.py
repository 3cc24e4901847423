"""The user interface in the configuration: its section, and what may be wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import Field

from bff.config_base import Origin, Section
from graph_proxy.errors import BadPath
from graph_proxy.headers import forwardable
from graph_proxy.paths import normalise

if TYPE_CHECKING:
    from bff.config import Config

# What may be added to. The rest of the policy keeps pages from being framed and from
# running plugins, and no UI needs it otherwise.
DIRECTIVES = frozenset(
    {
        "child-src",
        "connect-src",
        "font-src",
        "form-action",
        "frame-src",
        "img-src",
        "manifest-src",
        "media-src",
        "script-src",
        "style-src",
        "worker-src",
    }
)
# Where everybody's address would do, the directive would keep nothing.
_NARROW = frozenset({"connect-src", "form-action", "script-src", "worker-src"})
_EVERYBODY = re.compile(
    r"(?:(?:https?|wss?|data|filesystem):(?://)?+)?+(?:\*(?::[0-9*]+)?)?(?:/.*)?",
    re.IGNORECASE,
)
_SOURCE = re.compile(r"'[a-zA-Z0-9+/=_-]+'|[a-zA-Z0-9*._~:/%?&=+@!$()\[\]-]+")
_PAGE = re.compile(r"(?!\.)[\w.-]+\.html", re.ASCII)


class Ui(Section):
    """The user interface: our own pages, a folder of files, or another server."""

    mode: Literal["builtin", "directory", "upstream"] = Field(
        "builtin", description="Whose pages browsers see (docs/ui.md)."
    )
    directory: Path | None = Field(
        None, description="The folder of static files, for `directory`."
    )
    upstream: Origin = Field(
        "",
        description="The server, for `upstream`: http://HOST:PORT, https://HOST or "
        "unix:/path.",
    )
    fallback: str = Field(
        "index.html",
        description="The page of `directory` for addresses that are no file: a "
        "single-page application's. Without one they get 404.html, where there is one.",
    )
    public: tuple[str, ...] = Field(
        (
            "/_next/static/",
            "/_app/immutable/",
            "/_astro/",
            "/_nuxt/",
            "/assets/",
            "/favicon.ico",
            "/robots.txt",
            "/manifest.json",
            "/manifest.webmanifest",
            "/site.webmanifest",
        ),
        description="Paths that need no session; one that ends in / stands for all "
        "below it. Of `directory`, all files but HTML need none anyway.",
    )
    immutable: tuple[str, ...] = Field(
        ("/_next/static/", "/_app/immutable/", "/_astro/", "/_nuxt/"),
        description="Folders of `directory` whose files never change under one name; "
        "`/assets/NAME-HASH.EXT` is known beside them.",
    )
    csp: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Further sources for the Content-Security-Policy, by directive.",
    )
    forward_headers: tuple[str, ...] = Field(
        (), description="Further request headers that pass to `upstream`."
    )
    connect_timeout: float = Field(5.0, gt=0, description="Seconds.")
    head_timeout: float = Field(
        120.0,
        gt=0,
        description="Seconds until `upstream` answers; what compiles at the first "
        "request takes its time.",
    )
    max_body: int = Field(
        10 * 2**20, gt=0, description="Largest body sent to `upstream`, bytes."
    )


def problems_of(config: Config) -> list[str]:
    """Return one sentence for each problem, each beginning with its key."""
    ui = config.ui
    found = [*_paths(ui), *_policy(ui)]
    if ui.mode == "directory" and ui.directory is None:
        found.append('ui.directory: missing; ui.mode = "directory" needs a folder')
    if ui.mode == "upstream" and not ui.upstream:
        found.append('ui.upstream: missing; ui.mode = "upstream" needs an address')
    if ui.upstream and not _is_upstream(ui.upstream):
        found.append("ui.upstream: give http://HOST:PORT, https://HOST or unix:/path")
    elif ui.upstream and ui.upstream in config.server.public_origins:
        found.append("ui.upstream: is the gateway itself")
    if ui.fallback and not _PAGE.fullmatch(ui.fallback):
        found.append('ui.fallback: give a page of the folder, like index.html, or ""')
    try:
        forwardable(ui.forward_headers)
    except ValueError as error:
        found.append(f"ui.forward_headers: {error}")
    return found


def _paths(ui: Ui) -> list[str]:
    found = []
    for key, paths in (("public", ui.public), ("immutable", ui.immutable)):
        for index, path in enumerate(paths):
            try:
                is_normal = normalise(path) == path
            except BadPath:
                is_normal = False
            if not is_normal:
                found.append(f"ui.{key}.{index}: give a plain path, like /assets/")
    found += [
        f"ui.immutable.{index}: end it in /; a file's name is no promise"
        for index, path in enumerate(ui.immutable)
        if not path.endswith("/") or path == "/"
    ]
    return found


def _policy(ui: Ui) -> list[str]:
    found = []
    for name, sources in ui.csp.items():
        if name not in DIRECTIVES:
            found.append(f"ui.csp.{name}: only {', '.join(sorted(DIRECTIVES))}")
            continue
        for index, source in enumerate(sources):
            key = f"ui.csp.{name}.{index}"
            if not _SOURCE.fullmatch(source) or source == "'none'":
                found.append(f"{key}: give one source, like https://cdn.example.com")
            elif name in _NARROW and _EVERYBODY.fullmatch(source):
                found.append(f"{key}: {source} lets everybody in; name the hosts")
    return found


def _is_upstream(address: str) -> bool:
    if address.startswith("unix:/"):
        return True
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and port != 0
        and "@" not in parts.netloc
        and not (set(address) & set("?#"))
        and not any(sign.isspace() for sign in address)
    )
