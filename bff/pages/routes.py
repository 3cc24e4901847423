"""Serve the built-in pages and their files."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass, replace
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from aiohttp import ETag, web

from bff.config_identity import Register
from bff.current_session import CONFIG
from bff.errors import NotFound
from bff.pages.conditions import codings
from bff.pages.modules import hinted
from bff.pages.words import filled, only, sentences

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FOLDER = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css"}

# What is sent packed to whoever takes it: alike for all, so its length tells nothing.
PACKED = frozenset({"text/javascript", "text/css"})
WORDS = "strings.js"
# Pages that tell how an account is opened, one form of each for every way.
BY_MODE = ("login.html", "register.html")
MODES: tuple[str, ...] = get_args(Register.model_fields["mode"].annotation)
OFF = "off"


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
    mode = request.app[CONFIG].registration.mode
    return _answer(request, load()[_form("login.html", mode)])


async def register(request: web.Request) -> web.Response:
    """Show how an account is opened here, or that none is (404)."""
    mode = request.app[CONFIG].registration.mode
    answer = _answer(request, load()[_form("register.html", mode)])
    if mode == OFF and answer.status == HTTPStatus.OK:
        answer.set_status(HTTPStatus.NOT_FOUND)
    return answer


async def static(request: web.Request) -> web.Response:
    """Answer with one of the pages' files."""
    found = load().get(request.match_info["path"])
    if found is None:
        raise NotFound
    if found.content_type not in PACKED:
        return _answer(request, found)
    if "gzip" not in codings(request.headers.get("Accept-Encoding")):
        answer = _answer(request, found)
    else:
        answer = _answer(request, _packed(found))
        answer.headers["Content-Encoding"] = "gzip"
    answer.headers["Vary"] = "Accept-Encoding"
    return answer


async def favicon(request: web.Request) -> web.Response:
    """Answer what browsers ask for unbidden."""
    return _answer(request, load()["favicon.svg"])


@lru_cache(maxsize=1)
def load() -> dict[str, File]:
    """Read all files into memory: few and small; no request touches the disk."""
    read = {
        path.relative_to(FOLDER).as_posix(): path.read_bytes()
        for path in FOLDER.rglob("*")
        if path.is_file()
    }
    modules = {
        name: body.decode() for name, body in read.items() if name.endswith(".js")
    }
    words = sentences(modules[WORDS])
    pages = {
        name: hinted(filled(body.decode(), words), modules)
        for name, body in read.items()
        if name.endswith(".html")
    }
    forms = {
        _form(name, mode): only(pages[name], mode) for name in BY_MODE for mode in MODES
    }
    written = {name: text.encode() for name, text in (pages | forms).items()}
    return {name: _file(name, body) for name, body in (read | written).items()}


def _form(name: str, mode: str) -> str:
    return f"{mode}/{name}"


def _file(name: str, body: bytes) -> File:
    kind = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
    digest = hashlib.sha256(body).hexdigest()[:20]
    return File(body, kind or "application/octet-stream", digest)


@lru_cache(maxsize=128)
def _packed(found: File) -> File:
    body = gzip.compress(found.body, mtime=0)
    return replace(found, body=body, etag=f"{found.etag}-gz")


@lru_cache(maxsize=64)
def _naming(found: File, origins: tuple[str, ...]) -> File:
    """Return a page that tells its scripts where else than here one may return to."""
    if not origins or found.content_type != "text/html":
        return found
    meta = f'<meta name="return-origins" content="{" ".join(origins)}">\n</head>'
    return _file("page.html", found.body.replace(b"</head>", meta.encode(), 1))


def _answer(request: web.Request, found: File) -> web.Response:
    found = _naming(found, request.app[CONFIG].split_origins)
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
