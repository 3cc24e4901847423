"""One request in several shapes: one goes the direct way, the others aiohttp's."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bff.dev.ports import free_port
from bff.graph import LIVE
from tests.bff.proxied import with_proxy
from tests.bff.tabs import Tab, Ways, tab
from tests.fakes.upstream import fake_upstream
from tests.graph_proxy.world import until
from tests.world import gateway

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from aiohttp import web

    from tests.databases import Databases
    from tests.fakes.upstream import FakeUpstream, Peer
    from tests.world import Browser, World

STREAM = "/graph/threads/t/stream"
RUN = "/graph/threads/t/runs/stream"
MB = 2**20
SSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


@dataclass(frozen=True)
class Shape:
    """How a request is put."""

    name: str
    fields: tuple[str, ...] = ()
    version: str = "1.1"
    is_chunked: bool = False
    heartbeat: bool = False  # asked of the gateway that puts some in
    is_direct: bool = False

    def written(
        self, one: Tab, method: str, path: str, *fields: str, body: bytes | None
    ) -> bytes:
        """Write the request; a body that is None is none."""
        if body is not None and self.is_chunked:
            fields = (*fields, "Transfer-Encoding: chunked")
            body = b"%x;why=not\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b""
            raw = one.written(method, path, *self.fields, *fields) + body
        else:
            raw = one.written(method, path, *self.fields, *fields, body=body)
        return raw.replace(b" HTTP/1.1\r\n", f" HTTP/{self.version}\r\n".encode(), 1)


DIRECT = Shape("direct", is_direct=True)
HEARTBEAT = Shape("heartbeat", heartbeat=True)
CHUNKED = Shape("chunked", is_chunked=True)
CLOSING = Shape("closing", fields=("Connection: close",))
OLD = Shape("HTTP/1.0", version="1.0")
SHAPES = DIRECT, HEARTBEAT, CHUNKED, CLOSING, OLD


@dataclass
class Scene:
    """Two gateways over a scripted upstream, one of which beats, and one person."""

    world: World
    upstream: FakeUpstream
    alice: Browser
    apps: dict[bool, web.Application]
    urls: dict[bool, str]
    ways: dict[bool, Ways]

    @asynccontextmanager
    async def tab(
        self, shape: Shape = DIRECT, who: Browser | None = None
    ) -> AsyncGenerator[Tab]:
        """Open a connection to the gateway that is asked in this shape."""
        url = self.urls[shape.heartbeat]
        async with tab(self.world, who or self.alice, url) as made:
            yield made

    async def asked(
        self,
        one: Tab,
        shape: Shape,
        path: str,
        *fields: str,
        method: str = "POST",
        body: bytes | None = b"{}",
    ) -> tuple[int, dict[str, str]]:
        """Ask and return the answer's head; check that it went the way it should."""
        if method in {"GET", "HEAD"}:
            body = None
        await one.send(shape.written(one, method, path, *fields, body=body))
        status, headers = await one.head()
        went = self.ways[shape.heartbeat].last()
        assert went == (shape.is_direct or (shape is CHUNKED and body is None))
        return status, dict(headers)

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        lives = [app[LIVE] for app in self.apps.values()]
        await until(lambda: not any(live.total for live in lives), within=5)


@asynccontextmanager
async def scene(
    databases: Databases,
    script: Callable[[Peer], Awaitable[None]],
    *,
    beside: Sequence[str] = (),
    server: dict[str, Any] | None = None,
    **changes: Any,
) -> AsyncGenerator[Scene]:
    """Run both gateways, told *changes* of the proxy's settings.

    *beside* are further upstreams' addresses; *server* is how the scripted one listens.
    """
    async with (
        fake_upstream(script, **(server or {})) as upstream,
        with_proxy(
            databases, upstreams=[*beside, upstream.url], **changes
        ).running() as world,
    ):
        target = world.config.proxy["graph"].model_copy(update={"heartbeat": 3600.0})
        beating = world.config.model_copy(update={"proxy": {"graph": target}})
        port = free_port()
        async with (
            gateway(beating, port, world.clock) as (app, _),
            world.signed_in() as alice,
        ):
            apps = {False: world.app, True: app}
            yield Scene(
                world,
                upstream,
                alice,
                apps,
                {False: world.url, True: f"http://127.0.0.1:{port}"},
                {key: Ways(one) for key, one in apps.items()},
            )


async def piece(one: Tab, headers: dict[str, str], size: int) -> bytes:
    """Read so much of a body, in chunks or not."""
    if headers.get("transfer-encoding") != "chunked":
        return await one.reader.readexactly(size)
    data = b""
    while len(data) < size:
        data += await one.chunk()
    return data
