"""Show a user interface that is a folder of static files.

Pages need a session and are kept by nobody; everything else is open, and kept for as
long as its name promises. Nothing is written into the files: what a page's own scripts
need stands in the policy that goes with it.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

from aiohttp import web

from bff.access import OPEN_PAGE, PAGE, guarded, is_navigation
from bff.errors import (
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    RangeRefused,
)
from bff.hardening import SAME_FOR_ALL
from bff.pages.away import away
from bff.pages.conditions import (
    Outcome,
    Unsatisfiable,
    codings,
    judge,
    part,
    written_date,
)
from bff.pages.folder import Folder, Found, Moved
from bff.pages.names import covers, is_lasting, is_text, may_be_page
from bff.pages.opening import FolderGone
from bff.pages.policy import policy
from graph_proxy.paths import split_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from bff.config_ui import Ui
    from bff.pages.conditions import Version

Answer = TypeVar("Answer", bound=web.StreamResponse)

log = logging.getLogger(__name__)

METHODS = ("GET", "HEAD")
NOT_FOUND_PAGE = "/404.html"
PIECE = 256 * 1024
LASTING = "public, max-age=31536000, immutable"
ASKED_ABOUT = "no-cache"
FOUND = web.RequestKey("ui_found", Found)
STATUS = web.RequestKey("ui_status", int)


class Directory:
    """Answer with the files of one folder; *path_of* reads a request's path."""

    def __init__(
        self, folder: Folder, ui: Ui, path_of: Callable[[web.Request], str]
    ) -> None:
        self._folder = folder
        self._ui = ui
        self._path_of = path_of
        self._policy = policy(ui.csp)
        self._open = guarded(self._send, OPEN_PAGE)
        self._closed = guarded(self._send, PAGE)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Show a file of the user interface, or the page that stands for its address.

        Raises:
            MethodNotAllowed: files are only read.
            NotFound: there is nothing at the address.
            UiUnavailable: the folder cannot be read.
        """
        if request.method not in METHODS:
            raise MethodNotAllowed(headers={"Allow": ", ".join(METHODS)})
        path = self._path_of(request)
        liked = codings(request.headers.get("Accept-Encoding"))
        visits = is_navigation(request)
        try:
            found, status = await asyncio.to_thread(
                self._look, path, liked, visits=visits
            )
        except FolderGone as error:
            log.warning("the user interface cannot be read: %s", error)
            return away(request, error)
        if isinstance(found, Moved):
            _, query = split_target(request.raw_path)
            return web.Response(status=307, headers={"Location": f"{path}/{query}"})
        request[FOUND], request[STATUS] = found, status
        is_open = not found.is_page or covers(self._ui.public, path)
        try:
            return await (self._open if is_open else self._closed)(request)
        finally:
            if not isinstance(found.content, bytes):
                await asyncio.to_thread(found.content.close)

    def _look(
        self, path: str, liked: tuple[str, ...], *, visits: bool
    ) -> tuple[Found | Moved, int]:
        """Return what to send for *path*, and with which status; blocks."""
        found = self._folder.find(unquote(path), liked)
        if found is not None:
            return found, HTTPStatus.OK
        if not visits:
            raise NotFound
        if self._ui.fallback and may_be_page(path):
            page = self._folder.find(f"/{self._ui.fallback}", liked)
            if page is None:
                raise FolderGone(f"there is no {self._ui.fallback}")
            return page, HTTPStatus.OK
        page = self._folder.find(NOT_FOUND_PAGE, liked)
        if page is None:
            raise NotFound
        return page, HTTPStatus.NOT_FOUND

    async def _send(self, request: web.Request) -> web.StreamResponse:
        found, status = request[FOUND], request[STATUS]
        headers = self._headers(request, found)
        begin, length = 0, found.size
        if status == HTTPStatus.OK:
            headers |= _validators(found.version)
            outcome = judge(request.headers, found.version)
            if outcome is Outcome.FAILED:
                raise PreconditionFailed
            if outcome is Outcome.NOT_MODIFIED:
                status, length = HTTPStatus.NOT_MODIFIED, 0
            elif request.method == "GET" and (asked := _asked(request, found)):
                begin, length = asked
                said = f"bytes {begin}-{begin + length - 1}/{found.size}"
                status, headers["Content-Range"] = HTTPStatus.PARTIAL_CONTENT, said
        if isinstance(found.content, bytes) or not length:
            body = found.read(begin, length) if length else None
            answer = web.Response(status=status, headers=headers, body=body)
            return _marked(answer, found)
        stream = _marked(web.StreamResponse(status=status, headers=headers), found)
        stream.content_length = length
        await stream.prepare(request)
        if request.method == "GET":
            await _write(stream, found, begin, length)
        return stream

    def _headers(self, request: web.Request, found: Found) -> dict[str, str]:
        charset = "; charset=utf-8" if is_text(found.media_type) else ""
        headers = {
            "Content-Type": found.media_type + charset,
            "Cache-Control": "no-store",
            "Vary": "Accept-Encoding",
            "Content-Security-Policy": self._policy,
        }
        if found.scripts:
            said = policy(self._ui.csp, scripts=found.scripts)
            headers["Content-Security-Policy"] = said
        if not found.is_page:
            lasts = is_lasting(self._path_of(request), self._ui.immutable)
            headers["Cache-Control"] = LASTING if lasts else ASKED_ABOUT
        if found.coding:
            headers["Content-Encoding"] = found.coding
        return headers


def _validators(version: Version) -> dict[str, str]:
    return {
        "ETag": f'"{version.etag}"',
        "Last-Modified": written_date(version.modified),
        "Accept-Ranges": "bytes",
    }


def _asked(request: web.Request, found: Found) -> tuple[int, int] | None:
    try:
        return part(request.headers, found.size, found.version)
    except Unsatisfiable as error:
        size = {"Content-Range": f"bytes */{found.size}"}
        raise RangeRefused(headers=size) from error


def _marked(answer: Answer, found: Found) -> Answer:
    if not found.is_page:
        answer[SAME_FOR_ALL] = True
    return answer


async def _write(
    stream: web.StreamResponse, found: Found, begin: int, length: int
) -> None:
    """Send so many bytes of an open file, from *begin* on.

    Raises:
        ConnectionResetError: when the file changes on the way: half of one version and
            half of another must not look like a whole.
    """
    left = length
    while left:
        data = await asyncio.to_thread(
            found.read, begin + length - left, min(PIECE, left)
        )
        left -= len(data)
        if not data or (not left and await asyncio.to_thread(found.has_changed)):
            raise ConnectionResetError("a file changed while it was sent")
        await stream.write(data)
