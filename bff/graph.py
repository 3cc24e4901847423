"""Hand a request for /graph/* to the graph server as the caller."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

from bff.access import CONFIG, SESSION
from bff.client_address import address_of
from bff.errors import ShuttingDown, TooManyStreams
from bff.sessions.revocation import ENDED, Cuttable, CutTask
from bff.telemetry import METRICS, REQUEST_ID
from graph_proxy import Allow, Forwarded, Proxy, UpstreamBroken, abort
from graph_proxy.langgraph import LANGGRAPH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from bff.config import ProxyTarget
    from bff.sessions.session import AccessTicket

log = logging.getLogger(__name__)
K = TypeVar("K")


@dataclass(slots=True)
class Live:
    """What is streaming now, for limits and for the end of the process."""

    streams: set[Cuttable] = field(default_factory=set)
    by_session: Counter[UUID] = field(default_factory=Counter)
    by_tenant: Counter[int | None] = field(default_factory=Counter)
    draining: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def enter(self, ticket: AccessTicket) -> None:
        """Count an answer that is asked for; it may be long in coming."""
        self.by_session[ticket.sid] += 1
        self.by_tenant[ticket.tenant_id] += 1
        self.idle.clear()

    def leave(self, ticket: AccessTicket) -> None:
        """Count it out again."""
        _count_out(self.by_session, ticket.sid)
        _count_out(self.by_tenant, ticket.tenant_id)
        if not self.by_session:
            self.idle.set()

    def cut_all(self) -> None:
        """Break every stream that is still open."""
        for stream in list(self.streams):
            stream.cut()


def _count_out(counter: Counter[K], key: K) -> None:
    # Not `-=`: that walks over everybody's counts at the end of each answer.
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


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

    A failure after the request was sent breaks the connection instead of answering:
    an SDK would take an answer for a reason to start the run again.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        ticket, live = request[SESSION], request.app[LIVE]
        _check_limits(ticket, live, target)
        headers = _identity_headers(request, ticket, target)
        live.enter(ticket)
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
            live.leave(ticket)
            if isinstance(error, UpstreamBroken):
                log.warning("the graph server broke off: %s", error)
                return abort(request)
            raise
        finally:
            live.streams.discard(waiting)
            request.app[ENDED].discard(ticket.sid, waiting)
        _watch(request, ticket, live, stream)
        if await request.app[ENDED].is_ended(ticket.sid):
            stream.cut()  # it ended while the graph server was thinking
        return stream

    return handle


def _check_limits(ticket: AccessTicket, live: Live, target: ProxyTarget) -> None:
    if live.draining:
        raise ShuttingDown(headers={"Retry-After": "1", "Connection": "close"})
    if live.by_session[ticket.sid] >= target.max_streams_per_session:
        raise TooManyStreams(headers={"Retry-After": "5"})
    if live.by_tenant[ticket.tenant_id] >= target.max_streams_per_tenant:
        raise TooManyStreams(headers={"Retry-After": "5"})


def _identity_headers(
    request: web.Request, ticket: AccessTicket, target: ProxyTarget
) -> list[tuple[str, str]]:
    home = request.app[CONFIG].canonical_origin
    scheme, _, host = home.partition("://")
    headers = [
        ("Authorization", f"Bearer {ticket.access_token}"),
        ("X-Tenant-ID", str(ticket.tenant_id)),
        ("X-Request-ID", request[REQUEST_ID]),
        ("X-Forwarded-For", address_of(request)),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Host", host),
    ]
    if key := target.gateway_key.get_secret_value():
        headers.append(("X-Gateway-Key", key))
    return headers


def _watch(
    request: web.Request, ticket: AccessTicket, live: Live, stream: Forwarded
) -> None:
    """Have *stream* cut when its session ends, and counted out when it is over."""
    ended, metrics = request.app[ENDED], request.app[METRICS]
    live.streams.add(stream)
    metrics.streams.inc()
    ended.add(ticket.sid, stream)

    def over() -> None:
        live.streams.discard(stream)
        live.leave(ticket)
        metrics.streams.dec()
        ended.discard(ticket.sid, stream)

    stream.add_done_callback(over)
