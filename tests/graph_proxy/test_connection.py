"""What a connection to an upstream is told at its making."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from graph_proxy.connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@pytest.fixture
async def made() -> AsyncGenerator[Connection]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        loop = asyncio.get_running_loop()
        transport, connection = await loop.create_connection(Connection, host, port)
        yield connection
        transport.abort()
        await asyncio.sleep(0)


async def test_small_writes_leave_at_once_and_a_vanished_host_is_noticed(
    made: Connection,
) -> None:
    assert made.transport is not None
    sock = made.transport.get_extra_info("socket")

    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if hasattr(socket, "TCP_KEEPIDLE"):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
