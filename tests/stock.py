"""Databases copied ahead, in a thread, so that no test waits for its own."""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Generator

AHEAD = 3
PAUSE = 0.02
PATIENCE = 30.0


class Stock:
    """Copy *template* before it is asked for; drop what was used."""

    def __init__(self, url: str, template: str) -> None:
        self._url = url
        self._template = template
        self._ready: queue.Queue[str | Exception] = queue.Queue()
        self._spent: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._over = threading.Event()

    def take(self) -> str:
        """Return the name of a fresh database."""
        taken = self._ready.get(timeout=PATIENCE)
        if isinstance(taken, Exception):
            raise taken
        return taken

    def give_back(self, name: str) -> None:
        """Have *name* dropped when there is time."""
        self._spent.put(name)

    @contextmanager
    def kept(self) -> Generator[Stock]:
        """Keep the stock filled for as long as the context is open."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._keep())
        except Exception as error:  # noqa: BLE001 - raised again by whoever takes
            self._ready.put(error)

    async def _keep(self) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            numbers = itertools.count(1)
            while not self._over.is_set():
                if self._ready.qsize() < AHEAD:
                    name = f"test_{next(numbers)}"
                    # Four times as fast as through the log, which nobody replays.
                    await connection.execute(
                        f"CREATE DATABASE {name} TEMPLATE {self._template} "
                        "OWNER bff_owner STRATEGY file_copy"
                    )
                    self._ready.put(name)
                elif not self._spent.empty():
                    name = self._spent.get()
                    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
                else:
                    await asyncio.sleep(PAUSE)
        finally:
            await connection.close()
