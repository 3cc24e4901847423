"""The direct way by itself: a browser's bytes in, an upstream's out, no socket."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from bff.client_address import TRUSTED
from bff.current_session import CONFIG
from bff.front import Front
from bff.graph import LIVE, Live, make_proxy
from bff.graph_direct import GraphExpress
from bff.lifecycle import LIFECYCLE, Lifecycle
from bff.sessions.browser import CLOCK, COOKIES
from bff.sessions.cookies import Cookies
from bff.sessions.revocation import ENDED, EndedSessions
from bff.telemetry import METRICS, Metrics
from graph_proxy.connection import Connection
from tests.bff.configs import DEV, load
from tests.bff.sessions.tickets import NOW, PLAIN, make_pair, ring

if TYPE_CHECKING:
    from bff.database import Database
    from bff.listener import Listener
    from bff.sessions.session import AccessTicket
    from bff.wire import QuietHandler


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def take(self) -> bytes:
        data, self.sent = self.sent, b""
        return data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 5000) if name == "peername" else None


class Kept(Connection):
    """A connection to an upstream that always stands."""

    def is_stale(self) -> bool:
        return False


class Elsewhere:
    """Stands where aiohttp would, and keeps what is left to it."""

    is_idle = True
    writing_paused = False

    def __init__(self) -> None:
        self.got = b""

    def connection_made(self, _: object) -> None: ...

    def data_received(self, data: bytes) -> None:
        self.got += data

    def take(self) -> bytes:
        data, self.got = self.got, b""
        return data


class Deaf:
    """A listener that is connected and hears nothing."""

    hears = True

    def on(self, *_: object) -> None: ...

    def on_connect(self, _: object) -> None: ...


class Lanes:
    """Several browsers' connections to one gateway, and people to send requests as."""

    host = "localhost:8080"

    def __init__(self, *people: str) -> None:
        config = load(
            {**DEV, "BFF_PROXY__GRAPH__UPSTREAMS": '["http://127.0.0.1:9"]'}, None
        )
        self.now = NOW
        self.cookies = Cookies(ring(), PLAIN)
        self.tickets: dict[str, AccessTicket] = {}
        self.jars: dict[str, str] = {}
        for number, name in enumerate(people, 1):
            pair = make_pair(sub=name, tenant_id=number)
            access = replace(pair.access, access_token=f"token-of-{name}")
            self.tickets[name] = access
            pair = replace(pair, access=access)
            headers = self.cookies.set_headers(pair, {}, self.now)
            self.jars[name] = "; ".join(one.partition(";")[0] for one in headers)
        self.ended = EndedSessions(
            cast("Database", None), cast("Listener", Deaf()), lambda: self.now
        )
        self.live, self.metrics = Live(), Metrics()
        target = config.proxy["graph"]
        self.proxy = make_proxy(target)
        app = {
            CONFIG: config,
            CLOCK: lambda: self.now,
            COOKIES: self.cookies,
            TRUSTED: (),
            LIFECYCLE: Lifecycle(),
            LIVE: self.live,
            ENDED: self.ended,
            METRICS: self.metrics,
        }
        loop = asyncio.get_running_loop()
        self.express = GraphExpress(
            cast("Any", app), {"graph": (self.proxy, target)}, loop
        )
        self.upstream = self.proxy.pool._upstreams[0]
        self.up = Wire()
        self.kept = Kept()
        self.kept.transport = cast("asyncio.Transport", self.up)
        self.kept.loop = loop
        self.upstream.keep(self.kept, 1e6)

    def browser(self) -> tuple[Front, Wire, Elsewhere]:
        """Open a connection of a browser."""
        elsewhere = Elsewhere()
        front = Front(
            lambda _: cast("QuietHandler", elsewhere), self.express, lambda _: None
        )
        wire = Wire()
        front.transport = cast("asyncio.Transport", wire)
        front.peer = "127.0.0.1"
        return front, wire, elsewhere

    def close(self) -> None:
        """Stop the timers."""
        self.proxy.pool.close()
        if self.proxy.heads_due._timer is not None:
            self.proxy.heads_due._timer.cancel()


def request(
    method: str, target: str, host: str, cookie: str, *fields: str, body: bytes = b""
) -> bytes:
    """Write a request as a page's fetch would send it."""
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {host}",
        "Sec-Fetch-Site: same-origin",
        *fields,
        f"Cookie: {cookie}",
    ]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "\r\n"]).encode() + body
