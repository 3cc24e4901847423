"""A request while it arrives. No I/O here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph_proxy import incoming

if TYPE_CHECKING:
    from graph_proxy.incoming import Block, Incoming

# Larger requests are streamed, which aiohttp does; of longer heads it says so.
MOST_GATHERED = 256 * 1024
MOST_HEAD = 64 * 1024


class Gathering:
    """The pieces of a plain request that has not arrived whole."""

    __slots__ = ("_needed", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._needed = 0  # bytes of the body still to come; 0: the head is not whole

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def take(self) -> bytes:
        """Return what has been gathered, and hold it no longer."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data

    def feed(
        self, data: bytes, known: Block | None
    ) -> tuple[Incoming | None, bytes] | None:
        """Return the request and its bytes; None while more of it is awaited.

        A request of None is no plain one. Of a large one the body's rest is missing.
        *known* as for `incoming.read`.
        """
        if self._pieces:
            self._pieces.append(data)
            if self._needed > len(data):
                self._needed -= len(data)
                return None
            data = self.take()
        asked = incoming.read(data, known)
        if asked is None:
            if len(data) > MOST_HEAD or not incoming.may_become_plain(data):
                return None, data
            self._needed = 0
        elif not asked.missing or asked.missing + len(data) > MOST_GATHERED:
            return asked, data
        else:
            self._needed = asked.missing
        self._pieces.append(data)
        return None
