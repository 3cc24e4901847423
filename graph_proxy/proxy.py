"""Forward one request: decide, send, await the answer's head."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from aiohttp import hdrs

from graph_proxy import headers as crossing
from graph_proxy import paths
from graph_proxy.deadlines import Deadlines
from graph_proxy.errors import BadPath, UpstreamBroken
from graph_proxy.exchange import Body, Exchange
from graph_proxy.langgraph import LANGGRAPH
from graph_proxy.relay import Forwarded
from graph_proxy.requests import HeadWriter, request_head
from graph_proxy.upstream import Pool, Upstream
from graph_proxy.websocket import Tunnel, asks_for_websocket

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Iterable, Sequence

    from aiohttp import StreamReader, web

    from graph_proxy.answers import Head
    from graph_proxy.headers import Header
    from graph_proxy.paths import Allow

_SWITCHING = 101
# Longer ones are decided on anew each time, not to be kept.
_LONG_PATH = 200
_REDIRECTS = range(300, 400)
# Asking twice changes nothing (RFC 9110, 9.2.1).
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Proxy:
    """Forward what lies below `prefix` to one or several upstreams.

    `upstreams` are `http://…`, `https://…` or `unix:/path` addresses; `ssl` overrides
    the system's trust for https ones and must verify. `allow` decides on methods and
    paths. Timeouts are in seconds, `max_body` in bytes. `heartbeat` seconds of silence
    put a comment into an event stream; with None, no byte is invented.
    `forward_headers` names request fields that may cross beside the built-in list.

    Raises:
        ValueError: One of these is not what it must be.
    """

    def __init__(
        self,
        *,
        upstreams: Sequence[str],
        prefix: str = "/graph",
        allow: Allow = LANGGRAPH,
        connect_timeout: float = 5.0,
        head_timeout: float = 300.0,
        idle_timeout: float = 4.0,
        max_body: int = 100 * 2**20,
        heartbeat: float | None = None,
        forward_headers: Iterable[str] = (),
        ssl: tls.SSLContext | None = None,
    ) -> None:
        self.pool = Pool(
            [Upstream(address, ssl=ssl) for address in upstreams],
            connect_timeout=connect_timeout,
            idle_timeout=idle_timeout,
        )
        self.prefix = prefix.rstrip("/")
        try:
            is_normal = paths.normalise(prefix) == prefix
        except BadPath:
            is_normal = False
        if not is_normal:
            raise ValueError(f"{prefix!r} is not a normalised path")
        self._allow = allow
        self.head_timeout = head_timeout
        self.max_body = max_body
        self.heartbeat = heartbeat
        self.extra = crossing.forwardable(forward_headers)
        self.heads = HeadWriter(self.extra, max_body)
        self.heads_due = Deadlines(head_timeout)
        # Of what was refused nothing is kept.
        self._decided = functools.lru_cache(maxsize=2048)(self._decide)
        self.outstanding = 0

    async def close(self) -> None:
        """Drop the pooled connections; exchanges under way are left to end."""
        self.pool.close()

    async def forward(
        self,
        request: web.Request,
        *,
        headers: Iterable[tuple[str, str]],
        public_url: str,
    ) -> Forwarded:
        """Send the request on; return the answer once its head has arrived.

        `headers` are added to those of the browser that may cross, and win over them.
        `public_url` is where the browser reaches the gateway, without a path; redirects
        to the upstream's own host are mapped there.

        Await it in the handler's own task, not in one of your making: when the task
        that called it ends, the exchange ends. Cancelled, it closes the upstream's
        connection, so run the server with `handler_cancellation=True`.

        Check the Origin of a WebSocket handshake before: LangGraph does not, and a
        tunnel once made carries whatever the browser's page likes.

        Raises:
            BadPath: The path is malformed or ambiguous.
            PathRefused: It is none that is forwarded.
            MethodRefused: It is, but not with this method.
            BodyTooLarge: The body exceeds `max_body`.
            BodyBroken: The browser's body ended early or was malformed.
            UpstreamUnavailable: No byte of the request reached an upstream.
            UpstreamBroken: It did, and no answer can be relied on; nobody may be led
                to ask for something with effects twice.
            ValueError: A header of the gateway's own is malformed.
        """
        websocket = asks_for_websocket(request)
        method = paths.UPGRADE if websocket else request.method
        target = self.target(method, request.raw_path)
        fields = crossing.to_upstream(
            request.headers.items(),
            own=crossing.checked(headers),
            extra=self.extra,
            websocket=websocket,
        )
        length, fields = _length_of(request, fields)
        content = request.content if request.body_exists else None
        if websocket:
            fields += [("Connection", "Upgrade"), ("Upgrade", "websocket")]
        elif content is not None and length is None:
            fields.append(("Transfer-Encoding", "chunked"))
        self.outstanding += 1
        try:
            exchange, head = await self._ask(
                request,
                target,
                fields,
                self._body(content, length),
                websocket=websocket,
            )
        except BaseException:
            self.outstanding -= 1
            raise
        public = public_url.rstrip("/") + self.prefix
        answer = self._answer(request, exchange, head, public, websocket=websocket)
        answer.add_done_callback(self._one_less)
        return answer

    def target(self, method: str, raw: str) -> str:
        """Return the target to ask an upstream for, decided on and normalised.

        Raises:
            BadPath, PathRefused, MethodRefused: As `forward` does.
        """
        raw_path, query = paths.split_target(raw)
        if len(raw_path) > _LONG_PATH:
            return self._decide(method, raw_path) + query
        return self._decided(method, raw_path) + query

    def _decide(self, method: str, raw_path: str) -> str:
        path = paths.below(self.prefix, paths.normalise(raw_path))
        self._allow.check(method, path)
        return path

    def _body(self, content: StreamReader | None, length: int | None) -> Body | None:
        if content is None:
            return None
        return Body(content, length=length, limit=self.max_body)

    async def _ask(
        self,
        request: web.Request,
        target: str,
        fields: list[Header],
        body: Body | None,
        *,
        websocket: bool,
    ) -> tuple[Exchange, Head]:
        fresh = False
        while True:
            upstream, connection = await self.pool.acquire(fresh=fresh)
            exchange = Exchange(self.pool, upstream, connection)
            try:
                connection.begin(request.method, upgrade=websocket)
                head = request_head(
                    request.method,
                    upstream.base + target,
                    [("Host", upstream.authority), *fields],
                )
                answer = await exchange.ask(head, body, head_timeout=self.head_timeout)
            except BaseException as error:
                exchange.end()
                await exchange.settled()
                # The upstream had closed a pooled connection before it got the
                # request. Nobody can know that of a POST, so only what may be asked
                # twice is, and once.
                stale = connection.reused and not connection.heard
                again = stale and body is None and request.method in _SAFE
                if not (again and isinstance(error, UpstreamBroken)):
                    raise
                fresh = True
            else:
                return exchange, answer

    def _answer(
        self,
        request: web.Request,
        exchange: Exchange,
        head: Head,
        public: str,
        *,
        websocket: bool,
    ) -> Forwarded:
        fields = self.fields_for_browser(head, exchange.upstream, public)
        if head.status == _SWITCHING:
            return Tunnel(request, exchange, head, fields)
        answer = Forwarded(request, exchange, head, fields, heartbeat=self.heartbeat)
        if websocket:
            answer.force_close()  # the browser's next bytes may not be HTTP
        return answer

    def fields_for_browser(
        self, head: Head, upstream: Upstream, public: str
    ) -> list[Header]:
        """Choose the answer's fields that the browser may see.

        `public` is the prefix's absolute URL, where redirects to *upstream* are mapped.
        """
        fields = crossing.to_browser(head.headers)
        if head.status not in _REDIRECTS:
            return fields
        public_location = functools.partial(
            crossing.public_location,
            authority=upstream.authority,
            base=upstream.base,
            public=public,
        )
        return [
            (name, public_location(value) if name.lower() == "location" else value)
            for name, value in fields
        ]

    def _one_less(self) -> None:
        self.outstanding -= 1


def _length_of(
    request: web.Request, fields: list[Header]
) -> tuple[int | None, list[Header]]:
    """Decide how long the body is announced to be, and write it down."""
    if (
        request.body_exists
        and getattr(request.content, "total_compressed_bytes", None) is not None
    ):
        # aiohttp's server was left to decompress: what is sent is the plain body.
        name = hdrs.CONTENT_ENCODING.lower()
        return None, [field for field in fields if field[0].lower() != name]
    length = request.content_length
    if length is not None:
        fields = [*fields, ("Content-Length", str(length))]
    return length, fields
