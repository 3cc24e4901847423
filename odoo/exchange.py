"""One exchange with an HTTP server over aiohttp, and what can go wrong with it."""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from odoo import rpc
from odoo.errors import BadAnswer, OutcomeUnknown, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from odoo.breaker import Breaker

HEALTH = "/web/health"
LARGEST_ANSWER = 8 * 2**20


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is sent; the path and the query in `url` are quoted already."""

    method: str
    url: str
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@asynccontextmanager
async def opened(
    http: aiohttp.ClientSession,
    breaker: Breaker | None,
    request: Request,
    limits: aiohttp.ClientTimeout,
) -> AsyncGenerator[aiohttp.ClientResponse]:
    """Send a request and give its answer, whose body is yet to be read.

    Raises:
        Unreachable: Nothing was sent.
        OutcomeUnknown: It was sent, and no whole answer came within *limits*.
    """
    # A connection kept open may be closed just as it is used again, and nobody could
    # say whether the call was heard: each call gets a new one.
    headers = {**request.headers, "Connection": "close"}
    url = URL(request.url, encoded=True)
    is_look = url.path.endswith(HEALTH)
    with breaker.call(is_look=is_look) if breaker else nullcontext():
        try:
            async with http.request(
                request.method,
                url,
                data=request.body,
                headers=headers,
                timeout=limits,
                allow_redirects=False,
            ) as answer:
                yield answer
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(f"{url.origin()} cannot be reached") from error
        except TimeoutError as error:
            limit = limits.total or limits.sock_read
            raise OutcomeUnknown(f"no answer within {limit:g} s") from error
        except aiohttp.ClientError as error:
            why = type(error).__name__
            raise OutcomeUnknown(f"the connection broke: {why}") from error


async def read(answer: aiohttp.ClientResponse) -> rpc.Answer:
    """Read an answer to its end.

    Raises:
        BadAnswer: It is larger than any of Odoo's.
    """
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise BadAnswer(answer.status)
    session = answer.cookies.get("session_id")
    return rpc.Answer(
        status=answer.status,
        media_type=answer.content_type,
        body=bytes(body),
        cookie="" if session is None else session.value,
        location=answer.headers.get("Location", ""),
    )
