"""Call data.gov.sg: at its pace, again after what passes, and never anybody else.

What it answers is a stranger's: bounded, parsed away from the event loop, and never
part of an error's sentence. A redirect is not followed, wherever it leads.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import aiohttp

from bff.acra.pace import backoff, retry_after
from bff.acra.source import SourceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from bff.acra.pace import Pace

log = logging.getLogger(__name__)

T = TypeVar("T")

TRIES = 6
# A page of 10,000 records has some 20 MB.
LARGEST_ANSWER = 128 * 2**20
CHUNK = 2**16
GOOD = (HTTPStatus.OK, HTTPStatus.CREATED)
# What another try may cure; 5xx beside them.
PASSING = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
)


class Unusable(Exception):
    """Say why an answer is no good, though another try may bring a better one."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Time and chance, which tests replace."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random


class Calls:
    """Ask data.gov.sg for JSON; *timeout* in seconds is for one call."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        surroundings: Surroundings,
        *,
        key: str = "",
        timeout: float = 30.0,
    ) -> None:
        self.http = http
        self.surroundings = surroundings
        self._headers = {"Accept": "application/json"}
        if key:
            self._headers["x-api-key"] = key
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=10)

    async def json(
        self,
        what: str,
        url: str,
        pace: Pace,
        read: Callable[[Any], T],
        params: Mapping[str, str] | None = None,
    ) -> T:
        """Return what *read* makes of the JSON at *url*; *what* names it in errors.

        *read* raises `Unusable` for an answer that another try may better.

        Raises:
            SourceError: when no try brought a good answer, or none ever will.
        """

        async def once() -> T:
            return read(await self._get(what, url, params))

        return await self.again(what, pace, once)

    async def again(self, what: str, pace: Pace, once: Callable[[], Awaitable[T]]) -> T:
        """Return what *once* does, at the pace of *pace*, tried up to six times.

        Raises:
            SourceError: when no try was good.
        """
        around = self.surroundings
        reason = ""
        for attempt in range(1, TRIES + 1):
            await around.sleep(pace.wait(around.monotonic()))
            try:
                return await once()
            except Unusable as error:
                reason, pause = str(error), error.pause
            if attempt < TRIES:
                log.info("%s: %s; another try", what, reason)
                pause = max(pause or 0.0, backoff(attempt, around.random()))
                pace.hold(around.monotonic(), pause)
        raise SourceError(f"{what}: {reason}, {TRIES} times over")

    async def _get(
        self, what: str, url: str, params: Mapping[str, str] | None
    ) -> object:
        try:
            async with self.http.get(
                url,
                params=params,
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as answer:
                self.check_status(what, answer)
                if "json" not in answer.content_type:
                    raise Unusable("an answer that is not JSON")
                raw = await _body(what, answer)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unusable(broken(error)) from error
        try:
            # A page takes a while, and others are served meanwhile.
            return await asyncio.to_thread(_parse, raw)
        except (ValueError, RecursionError) as error:
            raise Unusable("an answer that breaks off, or is not JSON") from error

    def check_status(self, what: str, answer: aiohttp.ClientResponse) -> None:
        """Let good answers pass.

        Raises:
            Unusable: for what passes, with the pause that the answer asks for.
            SourceError: for what another try would not change.
        """
        status = answer.status
        if status in GOOD:
            return
        if (
            status in PASSING or HTTPStatus.INTERNAL_SERVER_ERROR <= status < 600  # noqa: PLR2004 - 5xx
        ):
            asked = retry_after(
                answer.headers.get("Retry-After"), self.surroundings.now()
            )
            raise Unusable(f"status {status}", asked)
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            raise SourceError(f"{what}: it sends us elsewhere, which is not followed")
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise SourceError(f"{what}: we are refused ({status}); see acra.api_key")
        raise SourceError(f"{what}: status {status}")


def broken(error: Exception) -> str:
    """Return why no whole answer came, in words of ours."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "it cannot be reached"
    return "the answer broke off"


async def _body(what: str, answer: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    # Counted as it is unpacked: few bytes may pack many.
    async for chunk in answer.content.iter_chunked(CHUNK):
        raw += chunk
        if len(raw) > LARGEST_ANSWER:
            raise SourceError(f"{what}: an answer of more than {LARGEST_ANSWER} bytes")
    return bytes(raw)


def _parse(raw: bytes) -> object:
    return json.loads(raw, parse_constant=_no_number)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
