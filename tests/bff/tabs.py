"""A signed-in browser's connections as raw sockets, and which way its requests go."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bff.express import EXPRESS
from bff.listener import LISTENER
from tests.graph_proxy.world import Browser, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp import web

    from bff.express import Exchange
    from bff.front import Front
    from graph_proxy.incoming import Incoming
    from tests.world import Browser as Person
    from tests.world import World


class Tab(Browser):
    """One connection of one person, to the gateway or to another replica of it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        host: str,
        cookies: dict[str, str],
    ) -> None:
        super().__init__(reader, writer)
        self.host = host
        self.cookies = cookies

    def written(
        self, method: str, path: str, *headers: str, body: bytes | None = None
    ) -> bytes:
        """Write a request as a page's fetch would send it."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given = {line.partition(":")[0].lower() for line in headers}
        usual = (
            f"Host: {self.host}",
            "Sec-Fetch-Site: same-origin",
            "Sec-Fetch-Mode: cors",
            f"Origin: http://{self.host}",
            f"Cookie: {cookies}",
        )
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [line for line in usual if line.partition(":")[0].lower() not in given]
        lines += headers
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + (body or b"")

    async def ask(
        self,
        path: str,
        *headers: str,
        method: str = "GET",
        body: bytes | None = None,
        version: str = "1.1",
    ) -> None:
        assert version == "1.1"
        await self.send(self.written(method, path, *headers, body=body))


@asynccontextmanager
async def tab(
    world: World, person: Person | None = None, url: str | None = None
) -> AsyncGenerator[Tab]:
    """Open a connection to *url*, the gateway's unless told; without a person, none's.

    The buffer is small, so that who does not read is soon noticed. A gateway that does
    not hear yet of ended sessions would ask, which is not the direct way.
    """
    await until(lambda: world.app[LISTENER].hears, within=10)
    port = int((url or world.url).rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
    made = Tab(
        reader,
        writer,
        world.url.removeprefix("http://"),
        dict(person.cookies) if person else {},
    )
    try:
        yield made
    finally:
        await made.leave()


class Ways:
    """Watch which requests an application takes the direct way."""

    def __init__(self, app: web.Application) -> None:
        self.seen: list[bool] = []
        self._express = app[EXPRESS]
        app[EXPRESS].take = self._take  # type: ignore[method-assign] # only to watch
        app[EXPRESS].again = self._again  # type: ignore[method-assign] # the same
        # Those whose fields were the last request's, byte for byte.
        self.repeats = 0

    def _take(self, front: Front, asked: Incoming) -> Exchange | None:
        exchange = type(self._express).take(self._express, front, asked)
        self.seen.append(exchange is not None)
        return exchange

    def _again(self, front: Front, data: bytes) -> Exchange | None:
        exchange = type(self._express).again(self._express, front, data)
        if exchange is not None:
            self.seen.append(True)
            self.repeats += 1
        return exchange

    def last(self) -> bool:
        """Say whether the last request went the direct way; forget the others."""
        was = bool(self.seen) and self.seen[-1]
        self.seen.clear()
        return was
