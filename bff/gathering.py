"""A request while it arrives. No I/O here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph_proxy import incoming

if TYPE_CHECKING:
    from graph_proxy.incoming import Block, Incoming

# Larger requests are streamed, which aiohttp does.
MOST_GATHERED = 256 * 1024
# Of a head. What comes in more is not worth it: aiohttp parses as it comes.
MOST_PIECES = 16
_END = b"\r\n\r\n"


class Gathering:
    """The pieces of a plain request that has not arrived whole.

    Of a head longer than *max_head* bytes aiohttp says what is wrong with it.
    """

    __slots__ = ("_data", "_is_line_here", "_max_head", "_needed", "_pieces")

    def __init__(self, max_head: int) -> None:
        self._max_head = max_head
        self._data = bytearray()
        self._is_line_here = False
        self._pieces = 0
        self._needed = 0  # bytes of the body still to come; 0: the head is not whole

    def take(self) -> bytes:
        """Return what has been gathered, and hold it no longer."""
        data = bytes(self._data)
        self._data.clear()
        self._needed = self._pieces = 0
        return data

    def feed(
        self, data: bytes, known: Block | None
    ) -> tuple[Incoming | None, bytes] | None:
        """Return the request and its bytes; None while more of it is awaited.

        A request of None is no plain one. Where the head has come and the body not, the
        rest is missing: `hold` it, or let others read on. *known* as for
        `incoming.read`.
        """
        if not self._data:
            asked = incoming.read(data, known)
            if asked is not None:
                return asked, data
            return self._begin(data)
        seen = len(self._data)
        self._data += data
        if self._needed:
            self._needed -= len(data)
            if self._needed > 0:
                return None
        # What was looked through before is not looked through again.
        elif self._data.find(_END, max(0, seen - len(_END) + 1)) < 0:
            return self._wait(is_line_end=b"\n" in data)
        data = self.take()
        return incoming.read(data, known), data

    def hold(self, data: bytes, missing: int) -> None:
        """Wait for the *missing* rest of a request whose head *data* begins with."""
        self._data += data
        self._needed = missing

    def _begin(self, data: bytes) -> tuple[None, bytes] | None:
        if len(data) > self._max_head or not incoming.may_become_plain(data):
            return None, data
        self._data += data
        self._is_line_here = b"\n" in data
        self._pieces = 1
        return None

    def _wait(self, *, is_line_end: bool) -> tuple[None, bytes] | None:
        """Wait on, unless the head is none of ours or comes in too many pieces."""
        self._pieces += 1
        is_ours = self._pieces <= MOST_PIECES and len(self._data) <= self._max_head
        if is_ours and is_line_end and not self._is_line_here:
            self._is_line_here = True
            is_ours = incoming.may_become_plain(bytes(self._data))
        return None if is_ours else (None, self.take())
