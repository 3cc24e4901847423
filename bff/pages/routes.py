"""Serve the built-in pages and their files."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import ETag, web

from bff.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FOLDER = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css"}


@dataclass(frozen=True, slots=True)
class File:
    """One file of ours, read once."""

    body: bytes
    content_type: str
    etag: str


def page(name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the handler of the page in *name*."""

    async def handle(request: web.Request) -> web.Response:
        return _answer(request, load()[name])

    return handle


async def static(request: web.Request) -> web.Response:
    """Answer with one of the pages' files."""
    found = load().get(request.match_info["path"])
    if found is None:
        raise NotFound
    return _answer(request, found)


async def favicon(request: web.Request) -> web.Response:
    """Answer what browsers ask for unbidden."""
    return _answer(request, load()["favicon.svg"])


@lru_cache(maxsize=1)
def load() -> dict[str, File]:
    """Read all files into memory: few and small; no request touches the disk."""
    return {
        path.relative_to(FOLDER).as_posix(): _read(path)
        for path in FOLDER.rglob("*")
        if path.is_file()
    }


def _read(path: Path) -> File:
    body = path.read_bytes()
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    digest = hashlib.sha256(body).hexdigest()[:20]
    return File(body, kind or "application/octet-stream", digest)


def _answer(request: web.Request, found: File) -> web.Response:
    matches = request.if_none_match or ()
    known = any(tag.value in (found.etag, "*") for tag in matches)
    # The type stands on a 304 too: browsers take it over for what they have stored.
    answer = web.Response(
        status=304 if known else 200,
        body=None if known else found.body,
        content_type=found.content_type,
        charset="utf-8" if found.content_type.startswith("text/") else None,
    )
    answer.etag = ETag(found.etag)
    # Revalidated each time: a new release must not meet an old page's module.
    answer.headers["Cache-Control"] = "no-cache"
    return answer
