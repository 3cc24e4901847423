"""Hand a request for /graph/* to the graph server as the caller."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

from bff import tracing
from bff.bypass import is_bypass
from bff.client_address import address_of
from bff.current_session import CONFIG, SESSION
from bff.errors import ShuttingDown, TooBusy
from bff.errors_graph import AnswerLost, TooManyStreams
from bff.origin import SAFE_METHODS
from bff.sessions.revocation import ENDED, Cuttable, CutTask
from bff.telemetry import METRICS, REQUEST_ID
from graph_proxy import Allow, Forwarded, Proxy, UpstreamBroken, abort
from graph_proxy.langgraph import LANGGRAPH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from bff.config_proxy import ProxyTarget
    from bff.sessions.session import AccessTicket

log = logging.getLogger(__name__)
PEER = "langgraph"  # in spans
K = TypeVar("K")


@dataclass(slots=True)
class Live:
    """What is streaming now, for limits and for the end of the process."""

    streams: set[Cuttable] = field(default_factory=set)
    total: int = 0
    by_session: dict[int, int] = field(default_factory=dict)  # by `sid.int`
    by_tenant: dict[int | None, int] = field(default_factory=dict)
    draining: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def enter(self, sid: UUID, tenant_id: int | None) -> None:
        """Count an answer that is asked for; it may be long in coming."""
        if not self.total:
            self.idle.clear()
        self.total += 1
        self.by_session[sid.int] = self.by_session.get(sid.int, 0) + 1
        self.by_tenant[tenant_id] = self.by_tenant.get(tenant_id, 0) + 1

    def leave(self, sid: UUID, tenant_id: int | None) -> None:
        """Count it out again."""
        self.total -= 1
        _count_out(self.by_session, sid.int)
        _count_out(self.by_tenant, tenant_id)
        if not self.total:
            self.idle.set()

    def has_room(self, ticket: AccessTicket, target: ProxyTarget) -> bool:
        """Tell whether another answer for *ticket* is within the limits of *target*."""
        return (
            self.total < target.max_in_flight
            and self.by_session.get(ticket.sid.int, 0) < target.max_streams_per_session
            and self.by_tenant.get(ticket.tenant_id, 0) < target.max_streams_per_tenant
        )

    def cut_all(self) -> None:
        """Break every stream that is still open."""
        for stream in list(self.streams):
            stream.cut()


def _count_out(counts: dict[K, int], key: K) -> None:
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]


LIVE = web.AppKey("live", Live)


def make_proxy(target: ProxyTarget) -> Proxy:
    """Return the proxy of one ``[proxy.NAME]`` table."""
    allow = LANGGRAPH
    if "*" in target.allow:
        allow = Allow.everything()
    elif target.allow:
        allow = LANGGRAPH | Allow.segments(target.allow)
    return Proxy(
        upstreams=target.upstreams,
        prefix=target.prefix,
        allow=allow,
        connect_timeout=target.connect_timeout,
        head_timeout=target.head_timeout,
        max_body=target.max_body,
        heartbeat=target.heartbeat,
        forward_headers=target.forward_headers,
    )


def graph(
    proxy: Proxy, target: ProxyTarget
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the handler of one ``[proxy.NAME]`` table.

    A failure after the request was sent must not start a run again: SDKs send a POST
    again after a 5xx, Chromium after a connection that broke without an answer, so
    409 it is. What only reads may be asked again: the connection breaks.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        ticket, live = request[SESSION], request.app[LIVE]
        _check_limits(ticket, live, target)
        headers = _identity_headers(request, ticket, target)
        span = tracing.begin(request.method, PEER)
        if span is not None:
            headers += tracing.headers_of(span).items()
        live.enter(ticket.sid, ticket.tenant_id)
        began = time.perf_counter()
        waiting = CutTask()
        live.streams.add(waiting)
        request.app[ENDED].add(ticket.sid, waiting)
        try:
            stream = await proxy.forward(
                request,
                headers=headers,
                public_url=request.app[CONFIG].canonical_origin,
            )
        except BaseException as error:
            tracing.end(span, error=error)
            live.leave(ticket.sid, ticket.tenant_id)
            if isinstance(error, UpstreamBroken):
                log.warning("the graph server broke off: %s", error)
                if request.method not in SAFE_METHODS:
                    raise AnswerLost from error
                return abort(request)
            if waiting.was_cut and live.draining and request.method not in SAFE_METHODS:
                # A broken connection would let a browser ask the next replica too.
                waiting.survive()
                raise AnswerLost from error
            raise
        finally:
            live.streams.discard(waiting)
            request.app[ENDED].discard(ticket.sid, waiting)
        stream.add_done_callback(lambda: tracing.end(span, stream.status))
        _watch(request, ticket, live, stream)
        if stream.is_stream:
            _time_first_byte(request, target, stream, began)
        if await request.app[ENDED].is_ended(ticket.sid):
            stream.cut()  # it ended while the graph server was thinking
        return stream

    return handle


def _check_limits(ticket: AccessTicket, live: Live, target: ProxyTarget) -> None:
    if live.draining:
        raise ShuttingDown(headers={"Retry-After": "1", "Connection": "close"})
    if live.total >= target.max_in_flight:
        raise TooBusy(headers={"Retry-After": "2"})
    if not live.has_room(ticket, target):
        raise TooManyStreams(headers={"Retry-After": "5"})


def _identity_headers(
    request: web.Request, ticket: AccessTicket, target: ProxyTarget
) -> list[tuple[str, str]]:
    home = request.app[CONFIG].canonical_origin
    scheme, _, host = home.partition("://")
    headers = [
        ("X-Tenant-ID", str(ticket.tenant_id)),
        ("X-Request-ID", request[REQUEST_ID]),
        ("X-Forwarded-For", address_of(request)),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Host", host),
    ]
    if not is_bypass(ticket):  # whom headers name, in development, has no token
        headers.append(("Authorization", f"Bearer {ticket.access_token}"))
    if key := target.gateway_key.get_secret_value():
        headers.append(("X-Gateway-Key", key))
    return headers


def _time_first_byte(
    request: web.Request, target: ProxyTarget, stream: Forwarded, began: float
) -> None:
    first_byte = request.app[METRICS].answers.first_byte
    # As aiohttp's router and the direct way name it.
    route = f"{target.prefix}/{{path}}"
    stream.on_first_byte = lambda: first_byte(route, time.perf_counter() - began)


def _watch(
    request: web.Request, ticket: AccessTicket, live: Live, stream: Forwarded
) -> None:
    """Have *stream* cut when its session ends, and counted out when it is over."""
    ended = request.app[ENDED]
    live.streams.add(stream)
    ended.add(ticket.sid, stream)

    def over() -> None:
        live.streams.discard(stream)
        live.leave(ticket.sid, ticket.tenant_id)
        ended.discard(ticket.sid, stream)

    stream.add_done_callback(over)
