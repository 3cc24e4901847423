"""HTTP by hand, for what no client library would send."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class RawAnswer:
    """Everything that came back until the connection closed."""

    raw: bytes

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in map(_cut, lines)}

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


async def exchange(url: str, request: bytes, *, timeout: float = 5.0) -> RawAnswer:  # noqa: ASYNC109 - a test's patience
    """Send these bytes and read until the other side closes."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection("127.0.0.1", where.port)
    try:
        writer.write(request)
        return RawAnswer(await asyncio.wait_for(reader.read(), timeout))
    finally:
        writer.close()
        with suppress(OSError):  # the other side may have reset it
            await writer.wait_closed()


def head(url: str, line: str = "GET /auth/session", *headers: str) -> bytes:
    """Write a request's head for the host of *url*, closing afterwards."""
    lines = [
        f"{line} HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        "Connection: close",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def _cut(line: str) -> tuple[str, str, str]:
    return line.partition(":")
