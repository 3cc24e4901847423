"""Take plain requests for a graph server the direct way: nothing awaited, no query.

Only where every question of `bff.access` and `bff.graph` can be answered at once, and
the answer is yes: a known host, our own origin, a live session whose tokens are fresh,
a tenant, room within the limits, an allowed path. Whatever else, `take` leaves the
request to them: they renew, refuse and explain.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from bff.access import CONFIG
from bff.client_address import TRUSTED, client_address
from bff.config_rules import hosts
from bff.graph import LIVE
from bff.graph_passing import Line, Passage, Passing, Shared
from bff.hardening import Hardener
from bff.origin import Gate, passes
from bff.sessions.browser import CLOCK, COOKIES
from bff.sessions.revocation import ENDED
from bff.telemetry import METRICS, mark_of, new_request_id
from graph_proxy.direct import METHODS, Direct
from graph_proxy.errors import ProxyError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from aiohttp import web

    from bff.config import ProxyTarget
    from bff.front import Front
    from graph_proxy import Proxy
    from graph_proxy.incoming import Incoming

_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")


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
        self._shared = Shared(
            loop, app[LIVE], app[ENDED], app[METRICS], Hardener(config)
        )
        self._clock, self._cookies, self._trusted = (
            app[CLOCK],
            app[COOKIES],
            app[TRUSTED],
        )
        self._hosts = frozenset(hosts(config))
        self._origins = config.server.public_origins
        self._required_header = config.csrf.require_header
        self._max_head = config.server.max_header
        self._scheme, _, self._host = home.partition("://")
        self._lines = [
            Line(
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
        self._lines.sort(key=lambda line: len(line.prefix), reverse=True)

    def take(self, front: Front, asked: Incoming) -> Passing | None:
        """Return who answers; None leaves the request to aiohttp."""
        line = self._line(asked)
        # Of a longer head aiohttp says which line is too long.
        if line is None or len(asked.raw) - len(asked.body) > self._max_head:
            return None
        passage = cast("Passage | None", front.memo)
        if (
            passage is None
            or passage.block is not asked.block
            or passage.line is not line
        ):
            passage = front.memo = self._passage(front, asked, line)
        if (
            passage is None
            or not (asked.method in passage.methods or self._passes(asked, passage))
            or not self._is_live(passage)
        ):
            return None
        identity = new_request_id()
        passing = Passing(self._shared, line, front, asked, passage, identity=identity)
        own = f"X-Request-ID: {identity}\r\n".encode()
        try:
            passing.direct = Direct(
                line.proxy, asked, own, passing, crossing=passage.lines
            )
        except ProxyError:
            return None
        return passing

    def _line(self, asked: Incoming) -> Line | None:
        if asked.method in METHODS:
            for line in self._lines:
                if asked.target.startswith(line.prefix):
                    return line if line.is_direct else None
        return None

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
            and self._shared.ended.surely_lives(passage.ticket.sid)
            and not self._shared.live.draining
            and self._shared.live.has_room(passage.ticket, passage.line.target)
        )

    def _passage(self, front: Front, asked: Incoming, line: Line) -> Passage | None:
        """Decide on the host and open the cookie."""
        host, cookie = asked.get("host"), asked.fields.get("cookie")
        if host is None or host.lower() not in self._hosts or not cookie:
            return None
        ticket = self._cookies.open_access(_jar(cookie))
        if ticket is None or ticket.tenant_id is None:
            return None
        forwarded = asked.get("x-forwarded-for") if self._trusted else None
        address = front.peer
        if forwarded is not None:
            address = client_address(front.peer, [forwarded], self._trusted)
        own = {
            "Authorization": f"Bearer {ticket.access_token}",
            "X-Tenant-ID": str(ticket.tenant_id),
            "X-Forwarded-Proto": self._scheme,
            "X-Forwarded-Host": self._host,
            "X-Forwarded-For": address,
        }
        if key := line.target.gateway_key.get_secret_value():
            own["X-Gateway-Key"] = key
        text = "".join(f"{name}: {value}\r\n" for name, value in own.items())
        if any(map(_UNSAFE.search, own.values())) or not text.isascii():
            return None
        lines = line.proxy.heads.fields(asked.fields) + text.encode()
        return Passage(
            block=asked.block,
            line=line,
            ticket=ticket,
            until=min(ticket.refresh_from, ticket.session_exp),
            lines=lines,
            mark=mark_of(ticket.sid),
            methods=set(),
        )


def _jar(cookie: bytes) -> dict[str, str]:
    """Read a Cookie header; a name that comes twice does not count."""
    jar: dict[str, str] = {}
    for pair in cookie.decode("latin-1").split(";"):
        name, _, value = pair.strip(" ").partition("=")
        jar[name] = "" if name in jar else value
    return jar
