"""Take plain requests for a graph server the direct way: nothing awaited, no query.

Only where every question of `bff.access` and `bff.graph` can be answered at once, and
the answer is yes: a known host, our own origin, a live session whose tokens are fresh,
a tenant, room within the limits, an allowed path. Whatever else, `take` leaves the
request to them: they renew, refuse and explain.

A browser sends the same header fields with request after request. What was decided
about them is a `Passage`, and holds for its connection as long as the bytes are the
same; what a request line asks for is an `Errand`, the same for everybody. `again` needs
no more than these two, and whether the session still lives.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from bff import tracing
from bff.client_address import TRUSTED, client_address
from bff.config_server import hosts
from bff.cors import Cors
from bff.current_session import CONFIG
from bff.graph import LIVE
from bff.graph_heads import Heads
from bff.graph_passage import Errand, Lane, Passage, Who
from bff.graph_passing import Passing, Shared
from bff.graph_traced import TracedPassing
from bff.hardening import Hardener
from bff.lifecycle import LIFECYCLE
from bff.origin import Gate, passes
from bff.sessions.browser import CLOCK, COOKIES
from bff.sessions.revocation import ENDED
from bff.telemetry import METRICS, mark_of
from graph_proxy import incoming
from graph_proxy.direct import METHODS
from graph_proxy.errors import PathRefused, ProxyError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from aiohttp import web

    from bff.config_proxy import ProxyTarget
    from bff.front import Front
    from graph_proxy import Proxy
    from graph_proxy.incoming import Incoming

_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")
# What is decided on request lines is kept for so many, of no more bytes each.
_MOST_ERRANDS = 2048
_LONG_LINE = 256
# Longer fields are decided on each time: idle connections are many.
_LONG_BLOCK = 8192


class GraphExpress:
    """Decide on requests, from what is at hand."""

    def __init__(
        self,
        app: web.Application,
        proxies: Mapping[str, tuple[Proxy, ProxyTarget]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        config = app[CONFIG]
        home = config.canonical_origin
        hardener = Hardener(config)
        self._live, self._ended = app[LIVE], app[ENDED]
        self._lifecycle = app[LIFECYCLE]
        self._shared = Shared(
            loop, self._live, self._ended, app[METRICS], hardener, Heads(hardener)
        )
        self._clock, self._cookies, self._trusted = (
            app[CLOCK],
            app[COOKIES],
            app[TRUSTED],
        )
        self._hosts = frozenset(hosts(config))
        self._origins, self._cors = config.trusted_origins, Cors(config)
        self._required_header = config.csrf.require_header
        self.max_head = config.server.max_header
        self._scheme, _, self._host = home.partition("://")
        # Decided once: without traces nothing here knows of them.
        self._passing = TracedPassing if tracing.is_on() else Passing
        # Of what is refused nothing is kept.
        self._errand = lru_cache(maxsize=_MOST_ERRANDS)(self._decide)
        self._lanes = [
            Lane(
                prefix=f"{target.prefix}/",
                proxy=proxy,
                target=target,
                route=f"{target.prefix}/{{path}}",
                public=home + target.prefix,
                # To put comments in, events must be read.
                is_direct=target.heartbeat is None,
            )
            for proxy, target in proxies.values()
        ]
        # As aiohttp's router: of two prefixes that fit, the longer one counts.
        self._lanes.sort(key=lambda lane: len(lane.prefix), reverse=True)

    def again(self, front: Front, data: bytes) -> Passing | None:
        """Return who answers a request whose fields are the last one's; else None.

        *data* must be a request line that is known, those very fields and as much of a
        body as they say, and nothing more.
        """
        passage = front.memo
        if not isinstance(passage, Passage):
            return None
        block = passage.block
        head = len(data) - block.length
        begin = head - len(block.raw)
        if (
            not 0 < begin <= _LONG_LINE
            or head > self.max_head
            or not data.startswith(block.raw, begin)
        ):
            return None
        try:
            errand = self._errand(data[:begin])
        except ProxyError:
            return None
        if (
            errand.lane is not passage.lane
            or errand.method not in passage.methods
            or not self._is_live(passage)
        ):
            return None
        return self._passing(self._shared, front, errand, passage, data)

    def take(self, front: Front, asked: Incoming) -> Passing | None:
        """Return who answers; None leaves the request to aiohttp."""
        found = self._look_at(front, asked)
        if found is None:
            return None
        errand, passage = found
        return self._passing(self._shared, front, errand, passage, asked.raw)

    def wants(self, front: Front, asked: Incoming) -> bool:
        """Say whether a request, whose body is awaited, would be taken by now."""
        return self._look_at(front, asked) is not None

    def _look_at(self, front: Front, asked: Incoming) -> tuple[Errand, Passage] | None:
        # Of a longer head aiohttp says which line is too long.
        if len(asked.raw) - len(asked.body) > self.max_head:
            return None
        line = asked.raw[: asked.raw.index(b"\n") + 1]
        passage = front.memo
        try:
            find = self._errand if len(line) <= _LONG_LINE else self._decide
            errand = find(line)
            if (
                not isinstance(passage, Passage)
                or passage.block is not asked.block
                or passage.lane is not errand.lane
            ):
                front.forget()
                passage = self._passage(front, asked, errand.lane)
                if passage is not None and len(asked.block.raw) <= _LONG_BLOCK:
                    passage.keep()
        except ProxyError:
            return None
        if passage is None:
            return None
        if not (errand.method in passage.methods or self._passes(asked, passage)):
            return None
        return (errand, passage) if self._is_live(passage) else None

    def _decide(self, line: bytes) -> Errand:
        """Return what a request line asks for.

        Raises:
            ProxyError: Not that, or not this way.
        """
        method, target = incoming.request_line(line)
        if method in METHODS:
            for lane in self._lanes:
                if target.startswith(lane.prefix):
                    if not lane.is_direct:
                        break
                    decided = lane.proxy.target(method, target).encode()
                    return Errand(lane, method, target.partition("?")[0], decided)
        raise PathRefused("the path is none that goes the direct way")

    def _passes(self, asked: Incoming, passage: Passage) -> bool:
        allowed = passes(
            asked.method,
            asked,
            self._origins,
            Gate.EVERY_REQUEST,
            required_header=self._required_header,
        )
        if allowed:
            passage.methods.add(asked.method)
        return allowed

    def _is_live(self, passage: Passage) -> bool:
        return (
            self._clock() < passage.until
            and self._ended.surely_lives(passage.who.sid)
            and not self._live.draining
            and not self._lifecycle.leaving
            and self._live.has_room(passage.ticket, passage.lane.target)
        )

    def _passage(self, front: Front, asked: Incoming, lane: Lane) -> Passage | None:
        """Decide on the host and open the cookie.

        Raises:
            BodyTooLarge: The fields announce more than may be sent.
        """
        host, cookie = asked.get("host"), asked.fields.get("cookie")
        if host is None or host.lower() not in self._hosts or not cookie:
            return None
        ticket = self._cookies.open_access(_jar(cookie))
        if ticket is None or ticket.tenant_id is None:
            return None
        forwarded = asked.get("x-forwarded-for")
        hops = () if forwarded is None else (forwarded,)
        address = client_address(front.peer, hops, self._trusted)
        own = {
            "Authorization": f"Bearer {ticket.access_token}",
            "X-Tenant-ID": str(ticket.tenant_id),
            "X-Forwarded-Proto": self._scheme,
            "X-Forwarded-Host": self._host,
            "X-Forwarded-For": address,
        }
        if key := lane.target.gateway_key.get_secret_value():
            own["X-Gateway-Key"] = key
        text = "".join(f"{name}: {value}\r\n" for name, value in own.items())
        if any(map(_UNSAFE.search, own.values())) or not text.isascii():
            return None
        return Passage(
            front=front,
            ended=self._ended,
            block=asked.block,
            lane=lane,
            ticket=ticket,
            who=Who(ticket.sid, ticket.tenant_id, mark_of(ticket.sid)),
            until=min(ticket.refresh_from, ticket.session_exp),
            lines=lane.proxy.heads.fields(asked.block) + text.encode(),
            cors=self._cors.lines(asked.get("origin")).encode(),
            methods=set(),
        )


def _jar(cookie: bytes) -> dict[str, str]:
    """Read a Cookie header; a name that comes twice does not count."""
    jar: dict[str, str] = {}
    for pair in cookie.decode("latin-1").split(";"):
        name, _, value = pair.strip(" ").partition("=")
        jar[name] = "" if name in jar else value
    return jar
