"""A gateway the usual aiohttp way: client in, chunks through, response out.

What a hundred projects have, without their mistakes: no limit on connections, no total
timeout, nothing decompressed, uvloop, no access log. It signs nobody in.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import aiohttp
import uvloop
from aiohttp import web
from multidict import CIMultiDict

if TYPE_CHECKING:
    from collections.abc import Mapping

SESSION = web.AppKey("session", aiohttp.ClientSession)
UPSTREAM = web.AppKey("upstream", str)
HOP_BY_HOP = frozenset(
    {
        "connection",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


async def handle(request: web.Request) -> web.StreamResponse:
    """Pass one request on and its answer back."""
    url = request.app[UPSTREAM] + request.path_qs
    async with request.app[SESSION].request(
        request.method,
        url,
        headers=_crossing(request.headers),
        data=request.content if request.can_read_body else None,
        allow_redirects=False,
    ) as upstream:
        response = web.StreamResponse(
            status=upstream.status, headers=_crossing(upstream.headers)
        )
        await response.prepare(request)
        async for data, _ in upstream.content.iter_chunks():
            await response.write(data)
        await response.write_eof()
        return response


def _crossing(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if name.lower() not in HOP_BY_HOP
    )


async def _run(port: int, upstream: str) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        app = web.Application()
        app[SESSION], app[UPSTREAM] = session, upstream
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_run(int(sys.argv[1]), sys.argv[2]))
