"""`bff serve`, `bff worker`, `bff doctor`."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
import uvloop

from bff import access_log, config, patience, tracing
from bff.background import worker
from bff.cli.common import ConfigFile, fail, load, url_of
from bff.config import ConfigError
from bff.database import LOST
from bff.doctor import examine
from bff.identity.client_auth import ClientKeyError
from bff.reloading import Reloading
from bff.serve import serve
from bff.sessions.keyring import load_ring
from bff.sessions.sealing import KeyRingError
from bff.signals import not_yet, on_hangup, stop_signal, unless_told
from bff.sockets import CannotListen
from bff.telemetry import Metrics
from bff.worker_listener import watched
from bff.workers import Workers, for_worker, problem_with_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from bff.config import Config

log = logging.getLogger(__name__)

TO_MEND = (
    CannotListen,
    ClientKeyError,
    ConfigError,
    KeyRingError,
    patience.DatabaseRefused,
    tracing.NoTraces,
)


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""

    @app.command("serve")
    def serve_command(
        config: ConfigFile = None,
        workers: Annotated[
            int | None,
            typer.Option(min=1, help="Processes on the one port; `server.workers`."),
        ] = None,
    ) -> None:
        """Serve browsers until SIGTERM, then drain streams and leave.

        With several workers each has an admin listener of its own: the port of
        `server.admin_listen` and those that follow. SIGHUP reads key ring and log
        level again. A database that is not there yet is waited for.
        """
        settings = load(config)
        count = workers or settings.server.workers
        access_log.configure(settings.telemetry)
        if count == 1:
            _serve(settings, config)
            return
        if problem := problem_with_workers(settings, count):
            fail(problem)
        _require_database(settings)
        several = Workers(
            count,
            partial(_serve_one, settings, config),
            drain=settings.server.unready + settings.server.drain,
        )
        raise typer.Exit(several.run())

    @app.command("worker")
    def worker_command(config: ConfigFile = None) -> None:
        """Do all background work and serve nothing, for `[worker] embedded = false`.

        Setting tenants up, what is asked of their Odoo, new keys, copies made in
        advance, tidying up, and the register: several may run at once.
        """
        settings = load(config)
        url_of(settings.database.worker_url, "database.worker_url")
        access_log.configure(settings.telemetry)
        with _one_sentence(), tracing.sent(settings):
            uvloop.run(_work(settings, _reread(config)))

    @app.command("doctor")
    def doctor_command(config: ConfigFile = None) -> None:
        """Check everything the gateway needs, a line each; exit 1 if any is wrong."""
        settings = load(config)
        wrong = 0
        for finding in uvloop.run(examine(settings)):
            typer.echo(str(finding))
            wrong += not finding.ok
        if wrong:
            raise typer.Exit(1)


def _serve(settings: Config, file: Path | None, number: int | None = None) -> None:
    with _one_sentence(), tracing.sent(settings):
        shared = number is not None
        uvloop.run(serve(settings, shared=shared, reread=_reread(file)))


def _reread(file: Path | None) -> Callable[[], Config]:
    return partial(config.load, file)


@contextmanager
def _one_sentence() -> Generator[None]:
    """End the command with one sentence for what an operator has to mend."""
    try:
        yield
    except TO_MEND as error:
        fail(str(error))


def _serve_one(settings: Config, file: Path | None, number: int) -> None:
    """Be worker *number*: the first alone runs jobs, each has its own admin port."""
    access_log.configure(settings.telemetry)
    own = for_worker(settings, number)
    try:
        _serve(own, file, number)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)


def _require_database(settings: Config) -> None:
    """End the command where a database is there and cannot be used.

    Each worker waits for one that is not.
    """
    for key, url in patience.urls_of(settings).items():
        try:
            uvloop.run(patience.look(url, key))
        except patience.DatabaseRefused as error:
            fail(str(error))
        except LOST:
            return


async def _work(settings: Config, reread: Callable[[], Config]) -> None:
    stopping = asyncio.ensure_future(stop_signal())
    on_hangup(not_yet)
    await asyncio.sleep(0)  # so that signals are heard
    ring = load_ring(settings)
    url = settings.database.worker_url.get_secret_value()
    metrics = Metrics()
    async with watched(settings, metrics):
        usable = patience.until_usable({"database.worker_url": url}, log.debug)
        if not await unless_told(stopping, usable):
            return
        on_hangup(Reloading(settings, reread, ring))
        async with worker(settings, metrics, ring):
            log.info("working")
            log.info("%s: ending", await stopping)
