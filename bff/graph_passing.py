"""One answer on its direct way: hardened, counted, logged, cut with its session."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bff import access_log
from bff.errors import PROBLEM_JSON, AnswerLost, problem_body
from bff.origin import SAFE_METHODS
from graph_proxy.answers import Framing

if TYPE_CHECKING:
    import asyncio

    from bff.config import ProxyTarget
    from bff.front import Front
    from bff.graph import Live
    from bff.hardening import Hardener
    from bff.sessions.revocation import EndedSessions
    from bff.sessions.session import AccessTicket
    from bff.telemetry import Metrics
    from graph_proxy import Proxy, UpstreamBroken
    from graph_proxy.answers import Head
    from graph_proxy.direct import Direct
    from graph_proxy.incoming import Block, Incoming
    from graph_proxy.upstream import Upstream

log = logging.getLogger(__name__)
_LENGTH = "content-length"


@dataclass(slots=True)
class Shared:
    """What all answers of this process share."""

    loop: asyncio.AbstractEventLoop
    live: Live
    ended: EndedSessions
    metrics: Metrics
    hardener: Hardener


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
    until: float  # from then on, the token wants renewing or the session is over
    lines: bytes  # for the upstream: the browser's fields that may cross, and ours
    mark: str
    methods: set[str]  # those that the origin allows


class Passing:
    """One answer on its direct way, counted, logged, and cut when its session ends."""

    __slots__ = (
        "_asked",
        "_began",
        "_front",
        "_identity",
        "_is_cut",
        "_is_lost",
        "_line",
        "_mark",
        "_path",
        "_sent",
        "_shared",
        "_sid",
        "_status",
        "_tenant",
        "direct",
    )

    def __init__(
        self,
        shared: Shared,
        line: Line,
        front: Front,
        asked: Incoming,
        passage: Passage,
        *,
        identity: str,
    ) -> None:
        self.direct: Direct
        self._shared, self._line, self._front = shared, line, front
        self._asked: Incoming | None = asked
        self._path = asked.method, asked.target.partition("?")[0]
        self._sid, self._tenant = passage.ticket.sid, passage.ticket.tenant_id
        self._mark = passage.mark
        self._identity = identity
        self._began = shared.loop.time()
        self._status = self._sent = 0
        self._is_cut = self._is_lost = False

    def start(self) -> None:
        """Count it in and send it."""
        shared = self._shared
        shared.live.enter(self._sid, self._tenant)
        shared.live.streams.add(self)
        shared.ended.add(self._sid, self)
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
        shared, line = self._shared, self._line
        self._asked = None
        self._status = head.status
        fields = line.proxy.fields_for_browser(head, upstream, line.public)
        if head.framing is Framing.NONE:
            # A 204 has no length (RFC 9110, 8.6); of a 304 nobody needs it.
            fields = [field for field in fields if field[0].lower() != _LENGTH]
        lines = shared.hardener.lines(fields, self._identity)
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
        # A cut speaks for itself, but for one at shutdown: another replica is there.
        has_left = self._front.transport is None
        is_said = has_left or (self._is_cut and not self._shared.live.draining)
        if error is not None and not (self._status or is_said):
            log.warning("the graph server broke off: %s", error)
            if self._path[0] not in SAFE_METHODS:
                self._say_lost()
                error = None
        if not self._status:
            self._count("broken")
        if error is None:
            self._front.answered()
        else:
            self._front.break_off(at_once=self._is_cut)
        self._log()

    def _say_lost(self) -> None:
        self._is_lost = True
        lost = AnswerLost()
        body = problem_body(lost, self._identity)
        fields = [("Content-Type", PROBLEM_JSON), ("Content-Length", str(len(body)))]
        lines = self._shared.hardener.lines(fields, self._identity)
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
        shared = self._shared
        shared.live.leave(self._sid, self._tenant)
        shared.live.streams.discard(self)
        shared.ended.discard(self._sid, self)

    def _count(self, status: str) -> None:
        seconds = self._shared.loop.time() - self._began
        self._shared.metrics.answers.count(self._line.route, status, seconds)

    def _log(self) -> None:
        if not (access_log.is_on() or self._is_lost):
            return
        method, path = self._path
        fields: dict[str, object] = {
            "method": method,
            "path": path,
            "status": self._status,
            "bytes": self._sent,
            "seconds": round(self._shared.loop.time() - self._began, 4),
            "request_id": self._identity,
            "session": self._mark,
            "tenant": self._tenant,
        }
        if self._is_lost:
            fields["code"] = AnswerLost.code
        access_log.log_answer(fields)
