"""`bff serve`, `bff worker`, `bff doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
import uvloop

from bff import app as application
from bff.cli.common import ConfigFile, fail, load, url_of
from bff.doctor import examine
from bff.serve import CannotListen, serve, stop_signal
from bff.sessions.sealing import KeyRingError
from bff.telemetry import configure_logging

if TYPE_CHECKING:
    from bff.config import Config


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""

    @app.command("serve")
    def serve_command(config: ConfigFile = None) -> None:
        """Serve browsers until SIGTERM, then drain streams and leave."""
        settings = load(config)
        configure_logging(settings.telemetry)
        try:
            uvloop.run(serve(settings))
        except (CannotListen, KeyRingError) as error:
            fail(str(error))

    @app.command("worker")
    def worker_command(config: ConfigFile = None) -> None:
        """Run onboarding jobs only, for where `bff serve` does not embed a worker."""
        settings = load(config)
        url_of(settings.database.worker_url, "database.worker_url")
        configure_logging(settings.telemetry)
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


async def _work(settings: Config) -> None:
    async with application.worker(settings):
        await stop_signal()
