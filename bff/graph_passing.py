"""One answer on its direct way: hardened, counted, logged, cut with its session."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bff import access_log
from bff.errors_graph import AnswerLost
from bff.origin import SAFE_METHODS
from bff.problems import PROBLEM_JSON, problem_body
from bff.telemetry import new_request_id
from graph_proxy.answers import Framing
from graph_proxy.direct import Direct
from graph_proxy.framing import Counted

if TYPE_CHECKING:
    import asyncio

    from bff.front import Front
    from bff.graph import Live
    from bff.graph_heads import Heads
    from bff.graph_passage import Errand, Passage
    from bff.hardening import Hardener
    from bff.sessions.revocation import EndedSessions
    from bff.telemetry import Metrics
    from graph_proxy import UpstreamBroken
    from graph_proxy.answers import Head
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
    heads: Heads


class Passing(Direct):
    """One answer on its direct way, counted, logged, and cut when its session ends.

    *raw* are all bytes of the request.
    """

    __slots__ = (
        "_awaits_byte",
        "_began",
        "_cors",
        "_errand",
        "_front",
        "_identity",
        "_is_cut",
        "_is_lost",
        "_raw",
        "_sent",
        "_shared",
        "_status",
        "_who",
    )

    def __init__(
        self,
        shared: Shared,
        front: Front,
        errand: Errand,
        passage: Passage,
        raw: bytes,
    ) -> None:
        self._identity = identity = new_request_id()
        super().__init__(
            errand.lane.proxy,
            errand.method,
            errand.target,
            b"%bX-Request-ID: %b\r\n" % (passage.lines, identity.encode()),
            raw[len(raw) - passage.block.length :],
        )
        self._shared, self._front, self._errand = shared, front, errand
        # Not the passage: of an answer that takes hours only so much is held.
        self._who, self._cors = passage.who, passage.cors
        self._raw = raw
        self._began = shared.loop.time()
        self._status = self._sent = 0
        self._awaits_byte = self._is_cut = self._is_lost = False

    def start(self) -> None:
        """Count it in and send it."""
        shared, who = self._shared, self._who
        shared.live.enter(who.sid, who.tenant)
        shared.live.streams.add(self)
        shared.ended.add(who.sid, self)
        super().start()

    def cut(self) -> None:
        """Break it off on both sides; idempotent."""
        self._is_cut = True
        super().cut()

    # What the exchange calls.

    def feed(self, data: bytes) -> None:
        """Take the first bytes of the answer; most are much like others' before."""
        heads = self._shared.heads
        found = heads.rewrite(data, self._identity.encode(), self._cors)
        if found is None:
            super().feed(data)
            return
        kind, written, self._sent, missing = found
        self.answered()
        self._raw = b""
        self._status = kind.status
        self._front.send(written)
        self._count(kind.status_class)
        if missing:
            self.splice(Counted(missing))
        else:
            self.end_whole()

    def sent_for_good(self) -> None:
        """Hold nothing of a request that is never sent again."""
        super().sent_for_good()
        self._raw = b""

    def send_head(self, head: Head, upstream: Upstream, body: bytes) -> None:
        """Send the head, hardened like every other."""
        lane = self._errand.lane
        self._raw = b""
        self._status = head.status
        fields = lane.proxy.fields_for_browser(head, upstream, lane.public)
        if head.framing is Framing.NONE:
            # A 204 has no length (RFC 9110, 8.6); of a 304 nobody needs it.
            fields = [field for field in fields if field[0].lower() != _LENGTH]
        lines = self._shared.hardener.lines(fields, self._identity)
        if head.framing in {Framing.CHUNKED, Framing.CLOSE}:
            lines += "Transfer-Encoding: chunked\r\n"
            # It may stream for hours; what was opened is soon opened again.
            self._front.forget()
            self._awaits_byte = True
        first = f"HTTP/1.1 {head.status} {head.reason}{self._cors.decode()}"
        text = f"{first}\r\n{lines}\r\n"
        self._front.send(text.encode("utf-8", "surrogateescape") + body)
        self._sent = len(body)
        self._count(f"{head.status // 100}xx")
        if self._awaits_byte and body:
            self._time_first_byte()

    def on_body(self, data: bytes) -> None:
        """Send bytes on."""
        if self._awaits_byte:
            self._time_first_byte()
        self._sent += len(data)
        self._front.send(data)

    def on_over(self, error: UpstreamBroken | None) -> None:
        """Count it out; a broken answer breaks the connection."""
        try:
            self._leave()
            if error is None:
                self._front.answered()
            else:
                self._break_off(error)
        except BaseException:
            # Whoever called has only the upstream's connection to close.
            self._front.break_off(at_once=self._is_cut)
            raise
        self._log()

    def on_unavailable(self) -> None:
        """Let aiohttp say so."""
        try:
            self._leave()
        finally:
            self._front.leave(self._raw)

    def _break_off(self, error: UpstreamBroken) -> None:
        """End without an end; what may not be asked twice is told so: see `bff.graph`.

        Once the answer has begun nothing can be said.
        """
        # A cut speaks for itself, but for one at shutdown: another replica is there.
        has_left = self._front.transport is None
        is_said = has_left or (self._is_cut and not self._shared.live.draining)
        if not (self._status or is_said):
            log.warning(
                "the graph server broke off: %s", error, extra={"fields": self._marks()}
            )
            self._is_lost = self.method not in SAFE_METHODS
        if self._is_lost:
            self._say_lost()
            self._front.answered()
            return
        if not self._status:
            self._count("broken")
        self._front.break_off(at_once=self._is_cut)

    def _say_lost(self) -> None:
        lost = AnswerLost()
        body = problem_body(lost, self._identity)
        fields = [("Content-Type", PROBLEM_JSON), ("Content-Length", str(len(body)))]
        lines = self._shared.hardener.lines(fields, self._identity)
        self._status, self._sent = lost.status, len(body)
        first = f"HTTP/1.1 {lost.status} Conflict{self._cors.decode()}"
        self._front.send(f"{first}\r\n{lines}\r\n".encode() + body)
        self._count("4xx")

    def _leave(self) -> None:
        shared, who = self._shared, self._who
        shared.live.leave(who.sid, who.tenant)
        shared.live.streams.discard(self)
        shared.ended.discard(who.sid, self)

    def _marks(self) -> dict[str, object]:
        """Return what log lines say of this answer: no task of its own runs here."""
        return {
            "request_id": self._identity,
            "session": self._who.mark,
            "tenant": self._who.tenant,
        }

    def _count(self, status: str) -> None:
        shared = self._shared
        seconds = shared.loop.time() - self._began
        shared.metrics.answers.count(self._errand.lane.route, status, seconds)

    def _time_first_byte(self) -> None:
        self._awaits_byte = False
        shared = self._shared
        seconds = shared.loop.time() - self._began
        shared.metrics.answers.first_byte(self._errand.lane.route, seconds)

    def _log(self, trace_id: str = "") -> None:
        access_log.log_proxied(
            self.method,
            self._errand.path,
            self._status,
            size=self._sent,
            seconds=self._shared.loop.time() - self._began,
            request_id=self._identity,
            session=self._who.mark,
            tenant=self._who.tenant,
            code=AnswerLost.code if self._is_lost else None,
            trace_id=trace_id,
        )
