"""Run several serving processes on one port, and keep that many alive.

The kernel shares out new connections among them (SO_REUSEPORT). They know of each other
only what replicas do: sessions, leases and ended sessions through PostgreSQL.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from bff import access_log
from bff.sockets import split_address

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from bff.config import Config

log = logging.getLogger(__name__)

# A process that ends sooner never served: the next one would not either.
SETTLED = 15.0
MOST_FAILURES = 3
# Beyond the drain time: what a process needs to let land what still flies (`LANDING` of
# the application), to cut the rest and to close its connections.
GRACE = 20.0
HIGHEST_PORT = 65535
# For the last log lines, of a process that must end though nobody may read them.
LAST_LINES = 1.0


def problem_with_workers(config: Config, count: int) -> str | None:
    """Return why *config* cannot be served by *count* processes, if so."""
    if not (config.session.keys.get_secret_value() or config.session.key_file):
        return (
            "session.keys is not set: several workers need one key ring, or none could "
            "open the other's cookies; `bff keys new` makes a key"
        )
    _, port = split_address(config.server.admin_listen)
    if not 0 < port <= HIGHEST_PORT - count + 1:
        return (
            f"server.admin_listen must name a port between 1 and "
            f"{HIGHEST_PORT - count + 1}: each of the {count} workers has the next one"
        )
    return None


def for_worker(config: Config, number: int) -> Config:
    """Return what worker *number* serves by: its own admin port, jobs in the first."""
    host, port = split_address(config.server.admin_listen)
    server = config.server.model_copy(
        update={"admin_listen": f"{host}:{port + number}"}
    )
    embedded = config.worker.embedded and number == 0
    worker = config.worker.model_copy(update={"embedded": embedded})
    return config.model_copy(update={"server": server, "worker": worker})


def run_tied(
    target: Callable[[int], None], number: int, minder: Connection, patience: float
) -> None:
    """Run ``target(number)`` for no longer than *minder*'s other end is open.

    Who minds us holds it and writes nothing: it closes with that process, however it
    ends. Then this one drains as if told to, *patience* seconds at most.
    """

    def watch() -> None:
        wait([minder])
        log.error("worker %d has lost what minds it, and stops", number)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(patience)
        last = threading.Thread(target=access_log.flush, daemon=True)
        last.start()
        last.join(LAST_LINES)
        os._exit(1)  # deaf to the signal, and nobody else is left to kill it

    threading.Thread(target=watch, name="minder", daemon=True).start()
    target(number)


class Workers:
    """Start *count* processes that run ``target(number)``, and mind them."""

    def __init__(
        self,
        count: int,
        target: Callable[[int], None],
        *,
        drain: float,
        settled: float = SETTLED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._patience = drain + GRACE
        self._settled = settled
        self._clock = clock
        self._context = multiprocessing.get_context("spawn")
        # Only ours may hold the writing end; a spawned process inherits none.
        self._tie, self._hold = self._context.Pipe(duplex=False)
        self._running: dict[int, tuple[SpawnProcess, float]] = {}
        self._numbers = range(count)
        self._failures = 0
        self._told = ""
        self._hangup = False

    def run(self) -> int:
        """Run until SIGTERM or SIGINT, or until they cannot stay up; an exit status."""
        before = {
            number: signal.signal(number, self._tell)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }
        try:
            for number in self._numbers:
                self._start(number)
            while not self._told and self._failures < MOST_FAILURES:
                self._mind()
            return self._stop()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._hold.close()
            self._tie.close()

    def _tell(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGHUP:
            self._hangup = True
        else:
            self._told = signal.Signals(number).name

    def _start(self, number: int) -> None:
        process = self._context.Process(
            target=run_tied,
            args=(self._target, number, self._tie, self._patience),
            name=f"bff-serve-{number}",
        )
        # Held back until the new process can hear it: unheard, it ends a process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        self._running[number] = process, self._clock()

    def _mind(self) -> None:
        """Wait for a moment or for an end, and start anew what has ended."""
        wait([process.sentinel for process, _ in self._running.values()], timeout=0.5)
        if self._hangup:
            self._hangup = False
            self._pass_on()
        for number, (process, began) in list(self._running.items()):
            if process.exitcode is None or self._told:
                continue
            lived = self._clock() - began
            log.error("worker %d ended with %s", number, process.exitcode)
            self._failures = self._failures + 1 if lived < self._settled else 0
            if self._failures >= MOST_FAILURES:
                log.error("workers do not stay up; see their own messages above")
                return
            time.sleep(self._failures)
            self._start(number)

    def _pass_on(self) -> None:
        """Have each read its configuration again."""
        log.info("SIGHUP: passed on to %d workers", len(self._running))
        for process, _ in self._running.values():
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGHUP)

    def _stop(self) -> int:
        """Let them drain, and take down what does not end; 0 if all went well."""
        log.info("%s: stopping %d workers", self._told or "failure", len(self._running))
        processes = [process for process, _ in self._running.values()]
        for process in processes:
            if process.is_alive():
                process.terminate()
        deadline = self._clock() + self._patience
        for process in processes:
            process.join(max(0.0, deadline - self._clock()))
            if process.is_alive():
                process.kill()
                process.join()
        # One that was told before it could listen for signals served nobody yet.
        clean = all(one.exitcode in {0, -signal.SIGTERM} for one in processes)
        return 0 if self._told and clean else 1
