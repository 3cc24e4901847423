"""Take our addresses early, serve on them when we can, and leave them losing nobody.

An address that is taken is told before anything else is waited for. A socket that is
only bound refuses whoever calls, which is how balancers learn to ask another.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Sequence

# Connections that wait to be taken: many come at once when another replica leaves.
BACKLOG = 1024


class CannotListen(Exception):
    """Tell which address is taken, and what to do about it."""


def split_address(listen: str) -> tuple[str, int]:
    """Return host and port of ``host:port``."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def take(listen: str, key: str, *, shared: bool = False) -> list[socket.socket]:
    """Return sockets bound to *listen*, one for each address of its name.

    *key* is the setting that named it; *shared* lets other processes have it, too.

    Raises:
        CannotListen: when it is taken or not ours.
    """
    host, port = split_address(listen)
    taken: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            host or None,
            port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
        # A name may be listed twice with one address.
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            taken.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.settimeout(0)  # not to be waited for
            one.bind(address)
    except OSError as error:
        close(taken)
        raise CannotListen(
            f"{listen} cannot be listened on ({error.strerror or error}): stop what "
            f"holds it, or choose another address with {key}"
        ) from error
    return taken


async def serve_on(runner: web.AppRunner, sockets: Sequence[socket.socket]) -> None:
    """Serve *runner* on *sockets*; they stay ours, and may be served on again.

    Raises:
        CannotListen: when another process was quicker to listen.
    """
    for one in sockets:
        try:
            await web.SockSite(runner, one.dup(), backlog=BACKLOG).start()
        except OSError as error:
            raise CannotListen(
                f"{one.getsockname()} cannot be listened on "
                f"({error.strerror or error}): stop what holds it"
            ) from error


async def leave(runner: web.AppRunner, sockets: Sequence[socket.socket]) -> None:
    """Take no more connections, but those that were made already; close *sockets*.

    A connection that nobody has taken yet is reset with its socket, and the request on
    it lost.
    """
    for site in list(runner.sites):
        await site.stop()
    loop, server = asyncio.get_running_loop(), runner.server
    waiting = [made for one in sockets for made in _accepted(one)]
    close(sockets)
    if server is not None:
        for made in waiting:
            with suppress(OSError):  # it has left meanwhile
                await loop.connect_accepted_socket(server, made)


def close(sockets: Sequence[socket.socket]) -> None:
    """Give *sockets* up."""
    for one in sockets:
        one.close()


def _accepted(listening: socket.socket) -> list[socket.socket]:
    """Return the connections that wait to be taken; none if nobody ever listened."""
    made = []
    with suppress(OSError):  # BlockingIOError: there are no more
        while True:
            connection, _ = listening.accept()
            connection.settimeout(0)
            made.append(connection)
    return made
