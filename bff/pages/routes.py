"""Serve the built-in pages and their files."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import ETag, web

from bff.access import CONFIG
from bff.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FOLDER = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css"}


# A part of the sign-in page: only where people may open an account themselves.
SELF_SERVICE = re.compile(rb"<!-- self-service -->.*?<!-- /self-service -->", re.DOTALL)
CLOSED = "login.html (closed)"


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


async def login(request: web.Request) -> web.Response:
    """Show the sign-in page, with a way to a new account where there is one."""
    is_open = request.app[CONFIG].registration.mode == "self_service"
    return _answer(request, load()["login.html" if is_open else CLOSED])


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
    found = {
        path.relative_to(FOLDER).as_posix(): _file(path.name, path.read_bytes())
        for path in FOLDER.rglob("*")
        if path.is_file()
    }
    name = "login.html"
    found[CLOSED] = _file(name, SELF_SERVICE.sub(b"", found[name].body))
    return found


def _file(name: str, body: bytes) -> File:
    kind = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
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
