"""The direct way as a browser's connection sees it: who takes a request, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aiohttp import web

if TYPE_CHECKING:
    from bff.front import Front
    from graph_proxy.incoming import Block, Incoming


class Memo(Protocol):
    """What the direct way wants to remember of a connection's last request."""

    block: Block

    def drop(self) -> None:
        """Note that it is remembered no more."""


class Exchange(Protocol):
    """An answer on its direct way."""

    def start(self) -> None:
        """Send the request on."""

    def cut(self) -> None:
        """Break it off."""

    def pause(self) -> None:
        """Stop for a browser that does not keep up."""

    def resume(self) -> None:
        """Go on."""


class Express(Protocol):
    """Whoever takes requests on the direct way."""

    max_head: int  # in bytes; longer heads are aiohttp's to refuse

    def wants(self, front: Front, asked: Incoming) -> bool:
        """Say whether a request, whose body is awaited, would be taken by now."""

    def take(self, front: Front, asked: Incoming) -> Exchange | None:
        """Return who will answer; None leaves the request, untouched, to aiohttp."""

    def again(self, front: Front, data: bytes) -> Exchange | None:
        """Return who will answer a request much like the last; None: look closer."""


# Set by an application whose plain requests may go the direct way.
EXPRESS: web.AppKey[Express] = web.AppKey("express")
