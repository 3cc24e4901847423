"""Readers of exports who take their time."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.bff.raw import head
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import asyncpg

    from tests.databases import Databases
    from tests.world import Browser

JSON, CSV = "/export/latest_scores.json", "/export/latest_scores.csv"
# What an answer in chunks ends with when it is complete (RFC 9112 section 7.1).
LAST_CHUNK = b"\r\n0\r\n\r\n"
STATES = """
SELECT state, wait_event FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'bff-exports'
  AND backend_type = 'client backend' AND state <> 'idle'
"""


class Reader:
    """A connection that reads when it is told to."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    async def some(self) -> bytes:
        """Read what is there, at least a byte."""
        return await self._reader.read(1 << 16)

    async def rest(self) -> bytes:
        """Read until the other side closes."""
        got = bytearray()
        while data := await self._reader.read(1 << 20):
            got += data
        return bytes(got)

    def leave(self) -> None:
        """Close the connection."""
        self._writer.close()


@asynccontextmanager
async def reading(browser: Browser, path: str) -> AsyncGenerator[Reader]:
    """Ask as *browser*, with little room for what has not been read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    sock.setblocking(False)  # noqa: FBT003 - the socket module's own way
    port = urlsplit(browser.url).port
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    writer.write(
        head(
            browser.world.url,
            f"GET {path}",
            "Sec-Fetch-Site: same-origin",
            f"Cookie: {cookie}",
        )
    )
    try:
        yield Reader(reader, writer)
    finally:
        writer.close()


async def fill(databases: Databases, rows: int, *, size: int = 4000) -> None:
    """Give Acme and Globex so many scores more, of so many bytes each."""
    async with databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO companies (name) "
            "SELECT 'c' || n FROM generate_series(1, $1) AS n",
            rows,
        )
        await superuser.execute(
            "INSERT INTO lead_scores (tenant_id, company_id, score, rationale) "
            "SELECT tenant_id, company_id, company_id % 1000, repeat('x', $1) "
            "FROM companies, tenants ON CONFLICT DO NOTHING",
            size,
        )


@asynccontextmanager
async def locked(databases: Databases) -> AsyncGenerator[None]:
    """Let every query of scores wait."""
    async with databases.superuser() as superuser, superuser.transaction():
        await superuser.execute("LOCK TABLE lead_scores IN ACCESS EXCLUSIVE MODE")
        yield


async def exporting(superuser: asyncpg.Connection) -> list[asyncpg.Record]:
    """Return what the exports' connections do, but for those that do nothing."""
    found: list[asyncpg.Record] = await superuser.fetch(STATES)
    return found


async def until_stalled(superuser: asyncpg.Connection, count: int = 1) -> None:
    """Wait until so many exports wait for their readers."""

    async def stalled() -> bool:
        states = await exporting(superuser)
        return [row["wait_event"] for row in states] == ["ClientWrite"] * count

    await until(stalled, seconds=30)


async def until_over(superuser: asyncpg.Connection) -> None:
    """Wait until no export keeps PostgreSQL busy; much longer than it should take."""

    async def over() -> bool:
        return not await exporting(superuser)

    await until(over, seconds=20)
