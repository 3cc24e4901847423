"""Take plain requests for a graph server the direct way: nothing awaited, no query.

Only where every question of `bff.access` and `bff.graph` can be answered at once, and
the answer is yes: a known host, our own origin, a live session whose tokens are fresh,
a tenant, room within the limits, an allowed path. Whatever else, `take` leaves the
request to them: they renew, refuse and explain.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from bff import access_log
from bff.access import CONFIG
from bff.client_address import TRUSTED, client_address
from bff.config_rules import hosts
from bff.errors import PROBLEM_JSON, AnswerLost, problem_body
from bff.graph import LIVE
from bff.hardening import Hardener
from bff.origin import SAFE_METHODS, Gate, passes
from bff.sessions.browser import CLOCK, COOKIES
from bff.sessions.revocation import ENDED
from bff.telemetry import METRICS, mark_of, new_request_id
from graph_proxy.answers import Framing
from graph_proxy.direct import METHODS, Direct
from graph_proxy.errors import ProxyError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from aiohttp import web

    from bff.config import ProxyTarget
    from bff.front import Front
    from bff.sessions.session import AccessTicket
    from graph_proxy import Proxy, UpstreamBroken
    from graph_proxy.answers import Head
    from graph_proxy.incoming import Block, Incoming
    from graph_proxy.upstream import Upstream

log = logging.getLogger(__name__)
_LENGTH = "content-length"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(slots=True)
class Line:
    """One prefix and its proxy."""

    prefix: str
    proxy: Proxy
    target: ProxyTarget
    route: str
    public: str
    is_direct: bool


@dataclass(slots=True)
class Passage:
    """What was decided about a connection's last header fields; the same hold again."""

    block: Block
    line: Line  # whose gateway key `lines` may hold
    ticket: AccessTicket
    lines: bytes  # for the upstream: the browser's fields that may cross, and ours
    mark: str
    methods: set[str]  # those that the origin allows


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
        self.loop = loop
        self.live, self.ended = app[LIVE], app[ENDED]
        self.metrics, self.hardener = app[METRICS], Hardener(config)
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
            or not self._is_live(passage.ticket, line.target)
        ):
            return None
        identity = new_request_id()
        passing = Passing(self, line, front, asked, passage, identity=identity)
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

    def _is_live(self, ticket: AccessTicket, target: ProxyTarget) -> bool:
        now = self._clock()
        return (
            not ticket.is_over(now)
            and not ticket.should_refresh(now)
            and ticket.tenant_id is not None
            and self.ended.surely_lives(ticket.sid)
            and not self.live.draining
            and self.live.has_room(ticket, target)
        )

    def _passage(self, front: Front, asked: Incoming, line: Line) -> Passage | None:
        """Decide on the host and open the cookie."""
        host, cookie = asked.get("host"), asked.fields.get("cookie")
        if host is None or host.lower() not in self._hosts or not cookie:
            return None
        ticket = self._cookies.open_access(_jar(cookie))
        if ticket is None:
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
        return Passage(asked.block, line, ticket, lines, mark_of(ticket.sid), set())


class Passing:
    """One answer on its direct way, counted, logged, and cut when its session ends."""

    __slots__ = (
        "_asked",
        "_began",
        "_express",
        "_front",
        "_identity",
        "_is_cut",
        "_line",
        "_mark",
        "_path",
        "_sent",
        "_sid",
        "_status",
        "_tenant",
        "direct",
    )

    def __init__(
        self,
        express: GraphExpress,
        line: Line,
        front: Front,
        asked: Incoming,
        passage: Passage,
        *,
        identity: str,
    ) -> None:
        self.direct: Direct
        self._express, self._line, self._front = express, line, front
        self._asked: Incoming | None = asked
        self._path = asked.method, asked.target.partition("?")[0]
        self._sid, self._tenant = passage.ticket.sid, passage.ticket.tenant_id
        self._mark = passage.mark
        self._identity = identity
        self._began = express.loop.time()
        self._status = self._sent = 0
        self._is_cut = False

    def start(self) -> None:
        """Count it in and send it."""
        express = self._express
        express.live.enter(self._sid, self._tenant)
        express.live.streams.add(self)
        express.ended.add(self._sid, self)
        self.direct.start()

    def cut(self) -> None:
        """Break it off on both sides; idempotent."""
        self._is_cut = True
        self.direct.cut()

    def pause(self) -> None:
        """Let the upstream wait."""
        self.direct.pause()

    def resume(self) -> None:
        """Let it go on."""
        self.direct.resume()

    # What the exchange calls.

    def on_head(self, head: Head, upstream: Upstream, body: bytes) -> None:
        """Send the head, hardened like every other."""
        express, line = self._express, self._line
        self._asked = None
        self._status = head.status
        fields = line.proxy.fields_for_browser(head, upstream, line.public)
        if head.framing is Framing.NONE:
            # A 204 has no length (RFC 9110, 8.6); of a 304 nobody needs it.
            fields = [field for field in fields if field[0].lower() != _LENGTH]
        lines = express.hardener.lines(fields, self._identity)
        if head.framing in {Framing.CHUNKED, Framing.CLOSE}:
            lines += "Transfer-Encoding: chunked\r\n"
            # It may stream for hours; what was opened is soon opened again.
            self._front.forget()
        text = f"HTTP/1.1 {head.status} {head.reason}\r\n{lines}\r\n"
        self._front.send(text.encode("utf-8", "surrogateescape") + body)
        self._sent = len(body)
        self._count(f"{head.status // 100}xx")

    def on_body(self, data: bytes) -> None:
        """Send bytes on."""
        self._sent += len(data)
        self._front.send(data)

    def on_over(self, error: UpstreamBroken | None) -> None:
        """Count it out; a broken answer breaks the connection.

        Before it has begun, what may not be asked twice is told so: see `bff.graph`.
        """
        self._leave()
        if error is not None and not (self._status or self._is_cut):
            log.warning("the graph server broke off: %s", error)
            if self._path[0] not in SAFE_METHODS:
                self._say_lost()
                error = None
        if not self._status:
            self._count("broken")
        self._log()
        if error is None:
            self._front.answered()
        else:
            self._front.break_off(at_once=self._is_cut)

    def _say_lost(self) -> None:
        lost = AnswerLost()
        body = problem_body(lost, self._identity)
        fields = [("Content-Type", PROBLEM_JSON), ("Content-Length", str(len(body)))]
        lines = self._express.hardener.lines(fields, self._identity)
        self._status, self._sent = lost.status, len(body)
        self._front.send(
            f"HTTP/1.1 {lost.status} Conflict\r\n{lines}\r\n".encode() + body
        )
        self._count("4xx")

    def on_unavailable(self) -> None:
        """Let aiohttp say so."""
        asked = self._asked
        self._leave()
        if asked is not None:
            self._front.leave(asked.raw)

    def _leave(self) -> None:
        express = self._express
        express.live.leave(self._sid, self._tenant)
        express.live.streams.discard(self)
        express.ended.discard(self._sid, self)

    def _count(self, status: str) -> None:
        seconds = self._express.loop.time() - self._began
        self._express.metrics.answers.count(self._line.route, status, seconds)

    def _log(self) -> None:
        if not access_log.is_on():
            return
        method, path = self._path
        fields: dict[str, object] = {
            "method": method,
            "path": path,
            "status": self._status,
            "bytes": self._sent,
            "seconds": round(self._express.loop.time() - self._began, 4),
            "request_id": self._identity,
            "session": self._mark,
            "tenant": self._tenant,
        }
        access_log.log_answer(fields)


def _jar(cookie: bytes) -> dict[str, str]:
    """Read a Cookie header; a name that comes twice does not count."""
    jar: dict[str, str] = {}
    for pair in cookie.decode("latin-1").split(";"):
        name, _, value = pair.strip(" ").partition("=")
        jar[name] = "" if name in jar else value
    return jar
