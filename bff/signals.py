"""Hear what whoever runs us says by signals: stop, or read the configuration again."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

log = logging.getLogger(__name__)


async def stop_signal() -> str:
    """Wait for SIGTERM or SIGINT and return its name.

    A SIGTERM that follows is ignored: service managers tell a whole group, and a
    minder tells its workers again. A second Ctrl-C ends it all at once.
    """
    loop = asyncio.get_running_loop()
    came: asyncio.Future[str] = loop.create_future()

    def take(name: str) -> None:
        if not came.done():
            came.set_result(name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, take, number.name)
    try:
        return await came
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def on_hangup(what: Callable[[], object]) -> None:
    """Have *what* done on each SIGHUP; one that came before is heard now."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, what)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def not_yet() -> None:
    """Note a SIGHUP that nothing can be done about yet."""
    log.info("SIGHUP: nothing is read again while starting")


async def unless_told(
    stopping: asyncio.Future[str], doing: Coroutine[Any, Any, None]
) -> bool:
    """Do it, and tell whether it was done before the signal to stop came."""
    task = asyncio.ensure_future(doing)
    try:
        either: set[asyncio.Future[Any]] = {task, stopping}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        return not stopping.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
