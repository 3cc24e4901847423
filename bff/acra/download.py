"""Fetch the file of a dataset from data.gov.sg: ask for it, wait for it, get it whole.

The address comes from the answer of another, so it must begin as configured; it is
signed and short-lived, and a new one is asked for at each try. What broke off goes on
where it was left, and a file is whole only where its end is told from a broken line.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

import aiohttp
from yarl import URL

from bff.acra.calls import Unusable, broken
from bff.acra.source import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bff.acra.calls import Calls
    from bff.acra.pace import Pace
    from bff.config_acra import Acra

T = TypeVar("T")

CHUNK = 2**20
# A file is made for whoever asks first; that takes some seconds.
POLLS, POLL_PAUSE = 30, 5.0
# What a full disk would do to others on this machine is not ours to try.
DISK_RESERVE = 256 * 2**20
# Seconds without a byte, and for a whole file.
SILENCE, LONGEST = 60.0, 3600.0
# What an address may be written with (RFC 3986), so that all read it alike.
PLAIN = re.compile(r"[A-Za-z0-9\-._~:/?#@!$&'()*+,;=%\[\]]{1,8000}", re.ASCII)
CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", re.ASCII)


@dataclass(slots=True)
class Begun:
    """A file of which *size* bytes are here; *tag* is what it must still be."""

    path: Path
    size: int = 0
    tag: str = ""


class Download:
    """Fetch one dataset's file."""

    def __init__(self, name: str, calls: Calls, settings: Acra, pace: Pace) -> None:
        self._name = name
        self._calls = calls
        self._settings = settings
        self._pace = pace

    async def fetch(self, path: Path) -> str:
        """Write the file to *path*, and return what tells its state from others.

        Raises:
            SourceError: when it cannot be had, is too large, or is somewhere else.
        """
        begun = Begun(path)
        what = f"file of dataset {self._name}"

        async def once() -> str:
            return await self._get(what, await self._link(), begun)

        return await self._calls.again(what, self._pace, once)

    async def _link(self) -> str:
        base = f"{self._settings.download_url}/{self._name}"
        what = f"download of dataset {self._name}"
        link = await self._calls.json(
            what, f"{base}/initiate-download", self._pace, _link_in
        )
        for _ in range(POLLS):
            if link:
                break
            link = await self._calls.json(
                what, f"{base}/poll-download", self._pace, _link_in
            )
            if not link:
                await self._calls.surroundings.sleep(POLL_PAUSE)
        if not link:
            raise SourceError(f"{what}: it does not become ready")
        if not is_permitted(link, self._settings.download_from):
            raise SourceError(
                f"{what}: the file is not where acra.download_from allows it"
            )
        return link

    async def _get(self, what: str, link: str, begun: Begun) -> str:
        headers = {"Accept-Encoding": "identity"}
        if begun.size and begun.tag:
            headers |= {"Range": f"bytes={begun.size}-", "If-Range": begun.tag}
        timeout = aiohttp.ClientTimeout(
            total=LONGEST, sock_connect=10, sock_read=SILENCE
        )
        try:
            async with self._calls.http.get(
                # As it is signed: not a character may change.
                URL(link, encoded=True),
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                whole = self._whole(what, answer, begun)
                await self._keep(what, answer, begun, whole)
                tag, date = (
                    answer.headers.get(n, "") for n in ("ETag", "Last-Modified")
                )
                return f"{begun.size}-{tag or date}" if tag or date else ""
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unusable(broken(error)) from error

    def _whole(
        self, what: str, answer: aiohttp.ClientResponse, begun: Begun
    ) -> int | None:
        """Return how many bytes the file has; None where its chunks tell the end.

        A connection that just ends may have been cut (RFC 9112 section 8).

        Raises:
            Unusable: for what another try may better.
            SourceError: for what it would not.
        """
        status = answer.status
        if status == HTTPStatus.PARTIAL_CONTENT:
            found = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            asked = "Range" in answer.request_info.headers
            if not asked or found is None or int(found[1]) != begun.size:
                begun.size = 0
                raise Unusable("another part than was asked for")
            return int(found[2])
        begun.size = 0
        if status in {HTTPStatus.FORBIDDEN, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
            # The address is too old, or the file is another: both pass.
            raise Unusable(f"status {status}")
        self._calls.check_status(what, answer)
        framing = answer.headers.get("Transfer-Encoding", "").lower()
        if answer.content_length is None and "chunked" not in framing:
            raise Unusable("an answer that does not say where it ends")
        return answer.content_length

    async def _keep(
        self,
        what: str,
        answer: aiohttp.ClientResponse,
        begun: Begun,
        whole: int | None,
    ) -> None:
        """Write what comes behind what is there; count it all."""
        tag = answer.headers.get("ETag", "")
        begun.tag = "" if tag.startswith("W/") else tag
        room = await _on_disk(what, lambda: shutil.disk_usage(begun.path.parent))
        limit = min(
            self._settings.download_limit, begun.size + room.free - DISK_RESERVE
        )
        if (whole or 0) > limit:
            raise SourceError(_too_large(what, self._settings.download_limit, limit))
        mode = "ab" if begun.size else "wb"
        # Unbuffered: what is counted is written, and closing writes nothing more.
        file = await _on_disk(what, lambda: begun.path.open(mode, buffering=0))
        try:
            async for chunk in answer.content.iter_chunked(CHUNK):
                if begun.size + len(chunk) > limit:
                    raise SourceError(
                        _too_large(what, self._settings.download_limit, limit)
                    )
                await _on_disk(what, partial(_write, file, chunk))
                begun.size += len(chunk)
        finally:
            await _on_disk(what, file.close)
        if whole is not None and begun.size != whole:
            raise Unusable("the file broke off")


async def _on_disk(what: str, do: Callable[[], T]) -> T:
    """Return what *do* gives, done in a thread.

    Raises:
        SourceError: when the disk does not let us: another dataset may still fit.
    """
    try:
        return await asyncio.to_thread(do)
    except OSError as error:
        raise SourceError(
            f"{what}: it cannot be written ({error.strerror or type(error).__name__})"
        ) from error


def _write(file: IO[bytes], chunk: bytes) -> None:
    """Write all of *chunk*: an unbuffered file may take a part."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


def is_permitted(url: str, prefixes: Sequence[str]) -> bool:
    """Tell whether *url* begins as one of *prefixes*, each ending in ``/``.

    Scheme, host and port are the same, and the path cannot climb out of the prefix's.
    """
    if not PLAIN.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    segments = unquote(parts.path).replace("\\", "/").split("/")
    if "@" in parts.netloc or {".", ".."} & set(segments):
        return False
    for prefix in prefixes:
        ours = urlsplit(prefix)
        if (
            (parts.scheme, parts.hostname, port)
            == (ours.scheme, ours.hostname, ours.port)
        ) and parts.path.startswith(ours.path):
            return True
    return False


def _link_in(document: Any) -> str:  # noqa: ANN401 - a stranger's JSON
    """Return the address of a file, empty while it is being made.

    Raises:
        Unusable: for an answer that is neither.
    """
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict) or document.get("code") not in {0, None}:
        raise Unusable("an answer that says it is no success")
    link = data.get("url")
    if link is None:
        return ""
    if not isinstance(link, str) or not link:
        raise Unusable("an address that is none")
    return link


def _too_large(what: str, allowed: int, limit: int) -> str:
    if limit < allowed:
        return f"{what}: there is no room for it on this disk"
    return f"{what}: larger than acra.download_limit ({allowed} bytes)"
