"""What is decided about a plain request, so that it is decided once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from bff.config_proxy import ProxyTarget
    from bff.front import Front
    from bff.sessions.revocation import EndedSessions
    from bff.sessions.session import AccessTicket
    from graph_proxy import Proxy
    from graph_proxy.incoming import Block


@dataclass(slots=True)
class Lane:
    """One prefix and its proxy."""

    prefix: str
    proxy: Proxy
    target: ProxyTarget
    route: str
    public: str
    is_direct: bool


@dataclass(slots=True)
class Errand:
    """What a request line asks for, allowed and normalised; the same for everybody."""

    lane: Lane
    method: str
    path: str  # as the browser wrote it, without its query
    target: bytes  # as the upstream is asked


@dataclass(slots=True)
class Who:
    """Whose answer it is."""

    sid: UUID
    tenant: int
    mark: str


@dataclass(slots=True, eq=False)
class Passage:
    """What was decided about a connection's last header fields; the same hold again.

    While its front remembers it, it ends with its session: a token is in it.
    """

    front: Front
    ended: EndedSessions
    block: Block
    lane: Lane  # whose gateway key `lines` may hold
    ticket: AccessTicket
    who: Who
    until: float  # from then on, the token wants renewing or the session is over
    lines: bytes  # for the upstream: the browser's fields that may cross, and ours
    cors: bytes  # for the browser, each line behind a break: who may read the answer
    methods: set[str]  # those that the origin allows

    def keep(self) -> None:
        """Be remembered, unless the session has ended."""
        self.front.memo = self
        self.ended.add(self.who.sid, self)

    def drop(self) -> None:
        """Note that it is remembered no more."""
        self.ended.discard(self.who.sid, self)

    def cut(self) -> None:
        """Be forgotten: the session has ended."""
        if self.front.memo is self:
            self.front.forget()
