"""Addresses are taken early, and left without losing whoever has called."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest
from aiohttp import web

from bff import sockets
from bff.sockets import CannotListen, split_address


def test_addresses_are_split() -> None:
    assert split_address("127.0.0.1:8080") == ("127.0.0.1", 8080)
    assert split_address("[::1]:9090") == ("::1", 9090)


def place_of(taken: list[socket.socket]) -> tuple[str, int]:
    host, port = taken[0].getsockname()[:2]
    return str(host), int(port)


def test_what_is_only_bound_refuses_callers_and_keeps_others_away() -> None:
    taken = sockets.take("127.0.0.1:0", "server.listen")
    host, port = place_of(taken)
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, port))
        taken[0].listen()  # from now on it is taken for others
        with pytest.raises(CannotListen, match=r"server\.listen"):
            sockets.take(f"{host}:{port}", "server.listen")
    finally:
        sockets.close(taken)


def test_who_shares_an_address_has_it_together() -> None:
    one = sockets.take("127.0.0.1:0", "server.listen", shared=True)
    host, port = place_of(one)
    another = sockets.take(f"{host}:{port}", "server.listen", shared=True)
    try:
        one[0].listen()
        another[0].listen()
    finally:
        sockets.close([*one, *another])


async def hello(request: web.Request) -> web.Response:
    return web.Response(text=request.path)


async def test_whoever_has_called_when_we_leave_is_answered() -> None:
    app = web.Application()
    app.router.add_get("/{path}", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    taken = sockets.take("127.0.0.1:0", "server.listen")
    place = place_of(taken)
    try:
        await sockets.serve_on(runner, taken)
        # Connected by the system; the loop has had no time to take them.
        callers = [socket.create_connection(place) for _ in range(50)]
        await sockets.leave(runner, taken)

        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place)
        for caller in callers:
            reader, writer = await asyncio.open_connection(sock=caller)
            writer.write(b"GET /here HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).endswith(b"/here")
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    finally:
        await runner.cleanup()
