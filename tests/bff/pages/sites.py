"""Small user interfaces, and gateways that show them."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Any

from tests.bff.raw import RawAnswer, exchange, head
from tests.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.databases import Databases

SCRIPT = "window.began = 1"
PAGE = (
    f"<!doctype html><title>A</title><script>{SCRIPT}</script>"
    '<script src="/_next/static/chunks/main.js"></script>'
)
FILES = {
    "index.html": PAGE,
    "about.html": "<title>About</title>",
    "docs/index.html": "<title>Docs</title>",
    "docs/deep/page.html": "<title>Deep</title>",
    "_next/static/chunks/main.js": "export {}",
    "_next/static/chunks/app/[id]/page.js": "export const id = 1",
    "assets/index-DkPqYzW1.js": "export const vite = 1",
    "assets/logo.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
    "data.json": "{}",
    "app.wasm": "\0asm",
    "module.mjs": "export {}",
    "main.js.map": "{}",
    "font.woff2": "font",
    "site.webmanifest": "{}",
    "robots.txt": "User-agent: *",
    ".env": "SECRET",
    ".git/config": "SECRET",
    "docs/.hidden": "SECRET",
}


def made(root: Path, files: dict[str, str] | None = None) -> Path:
    """Write *files* below *root* and return it."""
    for name, text in (FILES if files is None else files).items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return root


def packed(place: Path) -> bytes:
    """Put a `.gz` and a (pretended) `.br` beside a file; return the latter's bytes."""
    content = place.read_bytes()
    place.with_name(f"{place.name}.gz").write_bytes(gzip.compress(content))
    brotli = b"pretended brotli of " + content
    place.with_name(f"{place.name}.br").write_bytes(brotli)
    return brotli


def aged(place: Path, seconds: float) -> None:
    """Let a file have been written so many seconds before."""
    at = place.stat().st_mtime - seconds
    os.utime(place, (at, at))


def showing(databases: Databases, root: Path, **ui: Any) -> World:
    """Return a gateway that shows the folder *root*."""
    told = {"mode": "directory", "directory": root, **ui}
    return World(databases, settings={"ui": told})


async def raw(world: World, line: str, *headers: str) -> RawAnswer:
    """Send a request line as it is."""
    return await exchange(world.url, head(world.url, line, *headers))
