"""Drive the two load programs: `origin` behind the proxies, `listen` before them."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench import programs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

SLACK = 180.0


class LoadFailed(Exception):
    """Tell that a load program ended or said nothing, which proves nothing."""


@asynccontextmanager
async def origin() -> AsyncGenerator[int]:
    """Run the origin and yield its port."""
    process = await asyncio.create_subprocess_exec(
        programs.build("origin"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield int(await _line(process, SLACK))
    finally:
        await _end(process)


@dataclass(slots=True)
class Listener:
    """A running `listen`, all of whose connections have begun or failed."""

    process: asyncio.subprocess.Process
    opened: dict[str, Any]

    async def count(self, seconds: float) -> dict[str, Any]:
        """Count for *seconds* and return what came."""
        assert self.process.stdin is not None  # noqa: S101 - for the type: it is a pipe
        self.process.stdin.write(b"%d\n" % round(seconds * 1000))
        counted = json.loads(await _line(self.process, seconds + SLACK))
        return dict(counted)


@asynccontextmanager
async def listening(
    port: int,
    heads: Sequence[str],
    *,
    connections: int,
    at_once: int,
    again: bool,
    folder: Path,
) -> AsyncGenerator[Listener]:
    """Open *connections* with *heads* in turn and yield them once all have begun.

    `again` asks for one answer after the other instead of one that never ends.

    Raises:
        LoadFailed: when the program ends before its time.
    """
    file = folder / "heads"
    _write(file, heads)
    numbers = map(str, (port, connections, at_once))
    process = await asyncio.create_subprocess_exec(
        programs.build("listen"),
        *numbers,
        file,
        *(["again"] if again else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Listener(process, json.loads(await _line(process, SLACK)))
    finally:
        await _end(process)


def _write(file: Path, heads: Sequence[str]) -> None:
    file.touch(mode=0o600)  # session cookies, even if of a test
    file.write_text("".join(heads), encoding="ascii", newline="")


async def _line(process: asyncio.subprocess.Process, seconds: float) -> bytes:
    assert process.stdout is not None  # noqa: S101 - for the type: it is a pipe
    try:
        line = await asyncio.wait_for(process.stdout.readline(), seconds)
    except TimeoutError as error:
        raise LoadFailed(f"a load program was silent for {seconds:g} s") from error
    if not line:
        raise LoadFailed("a load program ended before its time")
    return line


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    await process.wait()
