"""A gateway in one process and a browser on a raw socket."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

import graph_proxy
from graph_proxy import Forwarded, Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

OWN = [
    ("Authorization", "Bearer token-of-the-user"),
    ("X-Tenant-ID", "acme"),
    ("X-Request-ID", "r-1"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-Host", "localhost:8080"),
]
PUBLIC = "http://localhost:8080"
# What a promise of 200 ms may take on a busy machine.
SOON = 2.0


class Browser:
    """One connection to the gateway; speaks and hears bytes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ask(
        self,
        path: str,
        *headers: str,
        method: str = "GET",
        body: bytes | None = None,
        version: str = "1.1",
    ) -> None:
        lines = [f"{method} {path} HTTP/{version}", "Host: localhost:8080", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join([*lines, "\r\n"]).encode() + (body or b""))

    async def head(self) -> tuple[int, list[tuple[str, str]]]:
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        first, *lines = raw.decode()[:-4].split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        return int(first.split(" ")[1]), [
            (name.lower(), value) for name, value in pairs
        ]

    async def chunk(self) -> bytes:
        line = await asyncio.wait_for(self.reader.readline(), 10)
        size = int(line.partition(b";")[0], 16)
        data = await self.reader.readexactly(size)
        assert await self.reader.readexactly(2) == b"\r\n"
        return data

    async def body(self, headers: list[tuple[str, str]]) -> bytes:
        fields = dict(headers)
        if "content-length" in fields:
            return await self.reader.readexactly(int(fields["content-length"]))
        if fields.get("transfer-encoding") == "chunked":
            chunks = []
            while data := await self.chunk():
                chunks.append(data)
            return b"".join(chunks)
        return await self.reader.read()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        status, headers = await self.head()
        return status, dict(headers), await self.body(headers)

    async def rest(self) -> tuple[bytes, bool]:
        """Read to the end; say whether it ended by RST."""
        data = b""
        try:
            while more := await asyncio.wait_for(self.reader.read(2**16), 10):
                data += more
        except ConnectionError:
            return data, True
        return data, False

    async def leave(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@dataclass
class Gateway:
    """What a test looks at: the proxy, its answers, what handlers met."""

    proxy: Proxy
    port: int = 0
    answers: list[Forwarded] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    over: list[Forwarded] = field(default_factory=list)
    browsers: list[Browser] = field(default_factory=list)
    after_forward: Callable[[Forwarded], Awaitable[None]] | None = None
    mark_fails: bool = False
    public_url: str = PUBLIC
    own: list[tuple[str, str]] = field(default_factory=lambda: list(OWN))

    async def browser(self, *, limit: int = 2**26) -> Browser:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, limit=limit
        )
        browser = Browser(reader, writer)
        self.browsers.append(browser)
        return browser

    async def get(
        self, path: str, *headers: str, **options: Any
    ) -> tuple[int, dict[str, str], bytes]:
        browser = await self.browser()
        await browser.ask(path, *headers, **options)
        return await browser.answer()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            answer = await self.proxy.forward(
                request, headers=self.own, public_url=self.public_url
            )
        except graph_proxy.UpstreamBroken as error:
            self.errors.append(error)
            return graph_proxy.abort(request)
        except graph_proxy.ProxyError as error:
            self.errors.append(error)
            return web.Response(status=_STATUS[type(error)])
        except asyncio.CancelledError as error:
            self.errors.append(error)
            raise
        self.answers.append(answer)
        answer.add_done_callback(lambda: self.over.append(answer))
        if self.after_forward is not None:
            await self.after_forward(answer)
        return answer

    async def settled(self) -> None:
        """Wait until no exchange is under way."""
        await until(lambda: self.proxy.outstanding == 0)


_STATUS = {
    graph_proxy.BadPath: 400,
    graph_proxy.BodyBroken: 400,
    graph_proxy.PathRefused: 404,
    graph_proxy.MethodRefused: 405,
    graph_proxy.BodyTooLarge: 413,
    graph_proxy.UpstreamUnavailable: 502,
}


async def until(condition: Callable[[], object], within: float = SOON) -> None:
    """Wait for something to come true, looking often."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - conditions of all kinds
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def gateway(
    *upstreams: str, server: dict[str, Any] | None = None, **options: Any
) -> AsyncGenerator[Gateway]:
    """Run a gateway on a free port; everything but the proxy's options is as in bff."""
    here = Gateway(Proxy(upstreams=upstreams, **options))
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", here.handle)

    async def mark(request: web.BaseRequest, response: web.StreamResponse) -> None:
        if isinstance(response, Forwarded):
            if here.mark_fails:
                raise LookupError
            response.headers.add("Set-Cookie", "nx_access=1")
            response.headers.add("Set-Cookie", "nx_refresh=2")

    app.on_response_prepare.append(mark)
    runner = web.AppRunner(
        app, handler_cancellation=True, shutdown_timeout=0.1, **(server or {})
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    here.port = runner.addresses[0][1]
    try:
        yield here
    finally:
        for browser in here.browsers:
            await browser.leave()
        await here.proxy.close()
        await runner.cleanup()
