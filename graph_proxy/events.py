"""Where one server-sent event ends and the next begins. No I/O here.

The only use is to know when a comment may be put in without touching an event.
"""

from __future__ import annotations

HEARTBEAT = b": heartbeat\n\n"

# Two line ends of at most two bytes each decide whether an event is over.
_TAIL = 4


class EventBoundaries:
    """Follow a stream and know whether it stands between two events.

    Lines end in CRLF, LF or CR, in any mixture; an empty line ends an event
    (WHATWG HTML, 9.2.6).
    """

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        # The start of a stream is as good as the end of an event.
        self._tail = b"\n\n"

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream, cut anywhere."""
        # The tail of the old matters only when the new is shorter than the tail.
        self._tail = (self._tail + data[-_TAIL:])[-_TAIL:]

    @property
    def at_boundary(self) -> bool:
        """Say whether the bytes so far end with an empty line, or are none."""
        # A CR may still turn out to be half of a CRLF; the LF that would follow a
        # comment put in here is then an empty line of its own, which means nothing.
        lines = self._tail.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return lines.endswith(b"\n\n")
