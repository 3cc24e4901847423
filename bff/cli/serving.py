"""`bff serve`, `bff worker`, `bff doctor`."""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import asyncpg
import typer
import uvloop

from bff import access_log, migrate
from bff.background import worker
from bff.cli.common import ConfigFile, fail, load, url_of
from bff.config import ConfigError
from bff.doctor import UNREACHABLE, examine
from bff.identity.client_auth import ClientKeyError
from bff.serve import CannotListen, serve, stop_signal
from bff.sessions.sealing import KeyRingError
from bff.workers import Workers, for_worker, problem_with_workers

if TYPE_CHECKING:
    from bff.config import Config

log = logging.getLogger(__name__)


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
        `server.admin_listen` and those that follow.
        """
        settings = load(config)
        count = workers or settings.server.workers
        access_log.configure(settings.telemetry)
        uvloop.run(_require_schema(settings.database.url.get_secret_value()))
        if count == 1:
            _serve(settings)
            return
        if problem := problem_with_workers(settings, count):
            fail(problem)
        several = Workers(
            count, partial(_serve_one, settings), drain=settings.server.drain
        )
        raise typer.Exit(several.run())

    @app.command("worker")
    def worker_command(config: ConfigFile = None) -> None:
        """Do all background work and serve nothing, for `[worker] embedded = false`.

        Setting tenants up, what is asked of their Odoo, new keys, copies made in
        advance, tidying up, and the register: several may run at once.
        """
        settings = load(config)
        url = url_of(settings.database.worker_url, "database.worker_url")
        access_log.configure(settings.telemetry)
        uvloop.run(_require_schema(url))
        uvloop.run(_work(settings))

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


def _serve(settings: Config, number: int | None = None) -> None:
    try:
        uvloop.run(serve(settings, shared=number is not None))
    except (CannotListen, ClientKeyError, ConfigError, KeyRingError) as error:
        fail(str(error))


def _serve_one(settings: Config, number: int) -> None:
    """Be worker *number*: the first alone runs jobs, each has its own admin port."""
    access_log.configure(settings.telemetry)
    own = for_worker(settings, number)
    try:
        _serve(own, number)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)


async def _require_schema(url: str) -> None:
    """End the command where the database is known to be of another release.

    One that cannot be asked may be on its way: then we start, and answer 503 until it
    comes. Only a start is refused: whoever serves goes on through a migration.
    """
    try:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            await migrate.require_current(connection)
        finally:
            connection.terminate()
    except migrate.MigrationError as error:
        fail(str(error))
    except UNREACHABLE as error:
        log.warning("the schema could not be checked: %s", type(error).__name__)


async def _work(settings: Config) -> None:
    async with worker(settings):
        await stop_signal()
