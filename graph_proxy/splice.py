"""An answer that is passed on as it comes: first its head, then its body's bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from graph_proxy.answers import (
    MAX_HEAD,
    Framing,
    Head,
    MalformedAnswer,
    read_head,
)
from graph_proxy.errors import UpstreamBroken
from graph_proxy.framing import (
    LAST_CHUNK,
    Body,
    Chunked,
    Counted,
    MalformedBody,
    Unended,
)

if TYPE_CHECKING:
    from graph_proxy.connection import Connection

_HEAD_END = b"\r\n\r\n"
_MOST_INTERIM = 100


class Reader(Protocol):
    """Whoever takes an answer as it comes; ends it by taking itself off `splice`."""

    reusable: bool  # the connection, for another answer

    def feed(self, data: bytes) -> None:
        """Take what the upstream sent."""

    def lost(self, error: Exception | None) -> None:
        """Note that the connection is gone."""


class Receiver(Protocol):
    """Whoever the answer is for; called from the event loop, never to block."""

    def on_head(self, head: Head, body: bytes) -> None:
        """Take the head, and what of the body came with it."""

    def on_body(self, data: bytes) -> None:
        """Take further bytes of the body, framed as HTTP/1.1 frames them."""

    def on_end(self) -> None:
        """Note that the answer is complete; the last bytes have been handed over."""

    def on_broken(self, error: UpstreamBroken) -> None:
        """Note that there will be no clean end."""


class Splice:
    """Read one answer from a connection and hand it to a receiver.

    Of the body only the end is looked for. With a *body* its head has been read, and
    leaves the connection open.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_head",
        "_interim",
        "_method",
        "_receiver",
        "reusable",
    )

    def __init__(
        self,
        connection: Connection,
        method: str,
        receiver: Receiver,
        body: Body | None = None,
    ) -> None:
        self._connection = connection
        self._receiver = receiver
        self._method = method
        self._interim = 0
        self._head = b""
        self._body = body
        self.reusable = body is not None

    @property
    def answered(self) -> bool:
        """Say whether the head has arrived."""
        return self._body is not None

    def feed(self, data: bytes) -> None:
        """Take what the upstream sent."""
        body = self._body
        if body is None:
            self._feed_head(data)
            return
        try:
            data = body.feed(data)
        except MalformedBody as error:
            self._break(str(error), error)
            return
        if data:
            self._receiver.on_body(data)
        if body.done and self._connection.splice is self:
            self._end(body)

    def lost(self, error: Exception | None) -> None:
        """Note that the connection is gone; only a close-delimited answer ends so."""
        if self._connection.splice is not self:
            return
        if error is None and isinstance(self._body, Unended):
            self._receiver.on_body(LAST_CHUNK)
            self._end(self._body)
        else:
            self._break("the upstream's connection ended inside the answer", error)

    def _feed_head(self, data: bytes) -> None:
        data = self._head + data if self._head else data
        while 0 <= (at := data.find(_HEAD_END)) < MAX_HEAD:
            end = at + len(_HEAD_END)
            try:
                found = read_head(data[:end], self._method)
            except MalformedAnswer as error:
                self._break(str(error), error)
                return
            data = data[end:]
            if found is not None:
                self._head = b""
                head, self.reusable = found
                self._begin(head, data)
                return
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                self._break("the upstream says nothing but that it will answer", None)
                return
        if len(data) > MAX_HEAD:
            self._break("the head of the answer is too long", None)
        else:
            self._head = data

    def _begin(self, head: Head, data: bytes) -> None:
        self._body = body = _body_of(head)
        try:
            passed = body.feed(data) if data else b""
        except MalformedBody as error:
            self._break(str(error), error)
            return
        self._receiver.on_head(head, passed)
        # The receiver may have ended it all.
        if body.done and self._connection.splice is self:
            self._end(body)

    def _end(self, body: Body) -> None:
        self.reusable = self.reusable and not body.excess
        self._connection.splice = None
        self._receiver.on_end()

    def _break(self, why: str, error: Exception | None) -> None:
        self.reusable = False
        self._connection.splice = None
        broken = UpstreamBroken(why)
        broken.__cause__ = error
        self._receiver.on_broken(broken)


def _body_of(head: Head) -> Body:
    if head.framing is Framing.CHUNKED:
        return Chunked()
    return Unended() if head.framing is Framing.CLOSE else Counted(head.length)
